"""Read the tensors of a ``torch.save`` file without torch.

The core install predicts with the published checkpoints too, and they are torch files. This
admits what ``torch.load(weights_only=True)`` admits for them, tensors and the few named
globals below, and nothing else: a file that names any other global is refused unread.
"""

from __future__ import annotations

import codecs
import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

MAX_BYTES = 500_000_000
MAX_PICKLE_BYTES = 1_000_000


class RefusedPickleError(pickle.UnpicklingError):
    """The file names something other than tensors and plain values."""


_STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "BoolStorage": np.bool_,
}


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    if dtype.hasobject:
        raise RefusedPickleError("an object scalar in the file")
    return np.frombuffer(data, dtype=dtype, count=1)[0]


def _dtype(code: str, *_: Any) -> np.dtype[Any]:
    if code != "f8":
        raise RefusedPickleError(f"a NumPy scalar of type {code!r} in the file")
    return np.dtype("<f8")


def _tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> np.ndarray:
    extent = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    # A stride of 0 would let a few bytes stand for any amount of memory.
    largest = max(extent, math.prod(size)) if 0 not in size else 0
    if min((offset, *size, *stride), default=0) < 0 or largest > storage.size:
        raise RefusedPickleError("a tensor that reaches outside its storage")
    strides = tuple(s * storage.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


class _DType:
    """Stands in for ``numpy.dtype``: its pickled state (byte order) is not needed."""

    def __new__(cls, *args: Any) -> Any:
        return _DTypeState(_dtype(*args))


class _DTypeState:
    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        pass


_GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "_codecs.encode": codecs.encode,
    "numpy.dtype": _DType,
    "numpy.core.multiarray.scalar": lambda dtype, data: _scalar(dtype.dtype, data),
    "numpy._core.multiarray.scalar": lambda dtype, data: _scalar(dtype.dtype, data),
}


# The one in Python: the one in C sets aside as much memory as a damaged file names.
class _Unpickler(pickle._Unpickler):
    def __init__(self, stream: IO[bytes], storage: Callable[[str, type], np.ndarray]) -> None:
        super().__init__(stream)
        self._storage = storage
        self._bytes = 0

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        found = _GLOBALS.get(f"{module}.{name}")
        if found is _tensor:
            return self._counted_tensor
        if found is None:
            raise RefusedPickleError(
                f"it names {module}.{name}, and only tensors and plain values are admitted"
            )
        return found

    def _counted_tensor(self, *args: Any) -> np.ndarray:
        # One storage may be asked for any number of times.
        tensor = _tensor(*args)
        self._bytes += tensor.nbytes
        if self._bytes > MAX_BYTES:
            raise RefusedPickleError(f"tensors of more than {MAX_BYTES // 10**6} MB")
        return tensor

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key, _device, _size = pid
        if kind != "storage":
            raise RefusedPickleError(f"an unknown kind of record: {kind!r}")
        return self._storage(key, dtype)


def read_torch_file(path: Path) -> Any:
    """Load a zip-format ``torch.save`` file, its tensors as NumPy arrays.

    Raises:
        RefusedPickleError: when it holds anything but tensors and plain values.
        zipfile.BadZipFile, KeyError, OSError: when the file has another format.
    """
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise RefusedPickleError("it is compressed, which torch.save never does")
        pickled = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
        if pickled is None:
            raise KeyError("no data.pkl inside: not a torch.save file")
        if archive.getinfo(pickled).file_size > MAX_PICKLE_BYTES:
            raise RefusedPickleError(f"its data.pkl is larger than {MAX_PICKLE_BYTES} bytes")
        root = pickled.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != (
            b"little"
        ):
            raise KeyError("a big-endian file")

        def storage(key: str, dtype: type) -> np.ndarray:
            return np.frombuffer(archive.read(f"{root}data/{key}"), dtype=dtype)

        return _Unpickler(io.BytesIO(archive.read(pickled)), storage).load()
