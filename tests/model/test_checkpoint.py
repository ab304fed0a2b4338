"""Model files: what is kept, what is refused, and what a failed write leaves."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import ROOT

torch = pytest.importorskip("torch")

from random_models import random_checkpoint  # noqa: E402

from stonekey.files import write_atomically  # noqa: E402
from stonekey.model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint  # noqa: E402
from stonekey.model.info import ModelInfo  # noqa: E402
from stonekey.model.settings import FrontEnd  # noqa: E402
from stonekey.model.torchfile import read_torch_file  # noqa: E402
from stonekey.network.stone import Stone  # noqa: E402

PUBLISHED = ("semitone_ks", "semisupervised_ks_mode", "skey")


def published(shared: Path, name: str) -> Path:
    return shared / "golden" / "checkpoints" / f"{name}.pt"


def assert_equal(a: Checkpoint, b: Checkpoint) -> None:
    assert a.info == b.info
    assert a.tensors.keys() == b.tensors.keys()
    for name, value in a.tensors.items():
        assert value.dtype == b.tensors[name].dtype
        np.testing.assert_array_equal(value, b.tensors[name])


@pytest.mark.parametrize("norm", ["joint", "frame"])
def test_round_trip(tmp_path: Path, norm: str) -> None:
    record = {"epochs": 3, "data": ["a", "ü"], "loss": 0.25}
    saved = random_checkpoint(norm, omega=7, licence="MIT", training=record)
    save_checkpoint(saved, tmp_path / "deep" / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "deep" / "model.safetensors")
    assert_equal(saved, loaded)
    assert loaded.info.training == record
    waveform = torch.randn(1, 70_000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        assert torch.equal(
            Stone.from_checkpoint(saved)(waveform), Stone.from_checkpoint(loaded)(waveform)
        )
    assert not Stone.from_checkpoint(loaded).training


def test_round_trip_without_a_class_table(tmp_path: Path) -> None:
    labelled = random_checkpoint("frame")
    table = labelled.info.class_table
    assert table is not None
    stone = Stone.from_checkpoint(labelled)
    stone.class_table = None
    save_checkpoint(stone.to_checkpoint("new"), tmp_path / "new.safetensors")
    loaded = load_checkpoint(tmp_path / "new.safetensors")
    assert loaded.info.class_table is None
    assert loaded.info.omega is None
    assert loaded.with_class_table(table).info.class_table == table


def test_metadata_is_readable_without_the_package(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint("frame", omega=1, licence="CC0"), path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    metadata = header["__metadata__"]
    assert metadata["name"] == "random"
    assert metadata["licence"] == "CC0"
    assert json.loads(metadata["omega"]) == 1
    assert json.loads(metadata["front_end"])["sample_rate"] == 22050
    assert json.loads(metadata["front_end"])["segment_seconds"] == 15.0
    assert json.loads(metadata["architecture"])["norm"] == "frame"
    assert json.loads(metadata["class_table"])[:2] == ["C major / A minor", "Db major / Bb minor"]


def test_metadata_of_another_format_is_refused() -> None:
    info = ModelInfo("x", FrontEnd(), None, None)
    assert ModelInfo.from_metadata(info.to_metadata()) == info
    with pytest.raises(ValueError, match="stonekey-99"):
        ModelInfo.from_metadata({**info.to_metadata(), "format": "stonekey-99"})
    with pytest.raises(ValueError, match="tuning"):
        ModelInfo.from_metadata({**info.to_metadata(), "front_end": '{"tuning": 3}'})


def test_a_setting_that_is_gone_may_say_what_still_holds() -> None:
    info = random_checkpoint().info
    assert info.architecture is not None
    for value in (False, True):
        settings = {**info.architecture.as_dict(), "mode_head": value}
        metadata = {**info.to_metadata(), "architecture": json.dumps(settings)}
        if value:
            with pytest.raises(ValueError, match="mode_head"):
                ModelInfo.from_metadata(metadata)
        else:
            assert ModelInfo.from_metadata(metadata) == info


@pytest.mark.parity
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_read_as_torch_reads_them(shared: Path, name: str) -> None:
    scalar = np._core.multiarray.scalar
    allowed = [
        (scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        np.dtypes.Float64DType,
    ]
    with torch.serialization.safe_globals(allowed):
        expected = torch.load(published(shared, name), weights_only=True, map_location="cpu")
    compared = 0

    def compare(ours: Any, theirs: Any) -> None:
        nonlocal compared
        if isinstance(theirs, torch.Tensor):
            assert isinstance(ours, np.ndarray)
            array = theirs.detach().numpy()
            assert ours.dtype == array.dtype
            np.testing.assert_array_equal(ours, array)
            compared += 1
        elif isinstance(theirs, dict):
            assert list(ours) == list(theirs)
            for key in theirs:
                compare(ours[key], theirs[key])
        elif isinstance(theirs, (list, tuple)):
            assert type(ours) is type(theirs)
            assert len(ours) == len(theirs)
            for a, b in zip(ours, theirs, strict=True):
                compare(a, b)
        else:
            assert type(ours) is type(theirs)
            assert ours == theirs

    compare(read_torch_file(published(shared, name)), expected)
    assert compared > 50


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_file_to_ours(shared: Path, tmp_path: Path, name: str) -> None:
    loaded = load_checkpoint(published(shared, name))
    save_checkpoint(loaded, tmp_path / "ours.safetensors")
    assert_equal(load_checkpoint(tmp_path / "ours.safetensors"), loaded)
    assert loaded.info.training["epoch"] > 0
    assert loaded.info.front_end == FrontEnd()


def test_published_format_of_unknown_weights(shared: Path, tmp_path: Path) -> None:
    """Someone's own training with the published code: readable, outputs not yet named."""
    path = tmp_path / "own_run.pt"
    with torch.serialization.safe_globals(
        [
            (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
            np.dtype,
            np.dtypes.Float64DType,
        ]
    ):
        contents = torch.load(
            published(shared, "semitone_ks"), weights_only=True, map_location="cpu"
        )
    name = "chromanet.classifier.bias"
    contents["stone"][name] = contents["stone"][name].detach() + 1
    contents["val_loss"] = float(contents["val_loss"])
    torch.save(contents, path)
    loaded = load_checkpoint(path)
    assert loaded.info.class_table is None
    assert loaded.info.name == "own_run"
    assert loaded.info.architecture is not None
    assert loaded.info.architecture.outputs == 12
    bias = load_checkpoint(published(shared, "semitone_ks")).tensors["classifier.bias"]
    np.testing.assert_array_equal(loaded.tensors["classifier.bias"], bias + 1)


def write_torch_zip(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)


class Call:
    """Pickles as a call, the way an attack does."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "named"),
    [(os.system, "system"), (eval, "eval"), (exec, "exec"), (getattr, "getattr"),
     (subprocess.check_output, "check_output"), (np.load, "load")],
)  # fmt: skip
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_file_does_not_run(
    tmp_path: Path, function: Any, named: str, protocol: int
) -> None:
    marker = tmp_path / "marker"
    arguments = {
        "eval": f"open({str(marker)!r}, 'w')",
        "exec": f"open({str(marker)!r}, 'w')",
        "check_output": ["touch", str(marker)],
    }
    argument = arguments.get(named, f"touch {marker}")
    pickled = pickle.dumps({"stone": Call(function, argument)}, protocol=protocol)
    path = tmp_path / "model.pt"
    write_torch_zip(path, pickled)
    with pytest.raises(CheckpointError, match=rf"names \w+\.{named},") as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert not marker.exists()
    if named == "system":  # the attack is a real one: plain pickle falls for it
        pickle.loads(pickled)
        assert marker.exists()


def test_code_saved_by_torch_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "model.pt"
    torch.save({"stone": {"chromanet.x": Call(os.system, f"touch {marker}")}}, path)
    with pytest.raises(CheckpointError, match=r"names \w+\.system,"):
        load_checkpoint(path)
    assert not marker.exists()


def test_a_dotted_name_does_not_reach_through_an_admitted_one(tmp_path: Path) -> None:
    """Protocol 4 lets a name hold dots: ``codecs.builtins.eval`` and the like."""
    path = tmp_path / "model.pt"
    name = b"encode.__globals__"
    for module, attribute in ((b"_codecs", name), (b"torch", b"os.system"), (b"collections",
                              b"OrderedDict.__init__.__globals__")):  # fmt: skip
        strings = b"".join(
            pickle.SHORT_BINUNICODE + bytes([len(s)]) + s for s in (module, attribute)
        )
        pickled = pickle.PROTO + b"\x04" + strings + pickle.STACK_GLOBAL + pickle.STOP
        pickletools.dis(pickled, out=io.StringIO())
        write_torch_zip(path, pickled)
        with pytest.raises(CheckpointError, match=rf"names {module.decode()}\."):
            load_checkpoint(path)


def tensor_pickle(size: str, stride: str, offset: int = 0, key: str = "0") -> bytes:
    """A file of one tensor with the shape given, as text of the pickle's opcodes."""
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage"
        b"\nX" + struct.pack("<I", len(key)) + key.encode() + b"X\x03\x00\x00\x00cpuK\x04tQ"
        b"J" + struct.pack("<i", offset) + f"({size}t({stride}t".encode("latin-1") + b"\x89"
        b"ccollections\nOrderedDict\n)RtR."
    )


def test_a_tensor_inside_its_storage_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    four = np.arange(4, dtype=np.float32).tobytes()
    write_torch_zip(path, tensor_pickle("K\x02", "K\x01", offset=1), {"0": four})
    np.testing.assert_array_equal(read_torch_file(path), [1, 2])


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ("K\x05", "K\x01", 0),
        ("K\x04", "K\x01", 1),
        ("K\x02", "K\x04", 0),
        ("K\x02", "K\x01", -1),
        ("J\xff\xff\xff\xff", "K\x01", 0),
        ("J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", "K\x00K\x00", 0),  # 16 EiB from four bytes
        ("K\x02", "K\x01K\x01", 0),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(
    tmp_path: Path, size: str, stride: str, offset: int
) -> None:
    path = tmp_path / "model.pt"
    four = np.arange(4, dtype=np.float32).tobytes()
    write_torch_zip(path, tensor_pickle(size, stride, offset), {"0": four})
    reason = "argument" if stride.count("K") == 2 > size.count("J") else "reaches outside"
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(path)


def test_a_missing_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    write_torch_zip(path, tensor_pickle("K\x02", "K\x01", key="7"), {"0": bytes(16)})
    with pytest.raises(CheckpointError, match="data/7"):
        load_checkpoint(path)


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    """torch.save never compresses; a small file that unpacks to gigabytes is an attack."""
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_pickle("K\x02", "K\x01"))
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(CheckpointError, match="it is compressed"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "contents",
    [
        {},
        [],
        {"stone": 3, "gin_info": [], "audio": {}},
        {"stone": OrderedDict(), "gin_info": ["a = __import__('os')"], "audio": {}},
        {"stone": OrderedDict(), "gin_info": 3, "audio": {}},
        {"stone": OrderedDict(), "gin_info": [], "audio": {"sr": 22050, "dur": 15}},
    ],
)
def test_other_torch_files_are_refused(tmp_path: Path, contents: Any) -> None:
    path = tmp_path / "other.pt"
    torch.save(contents, path)
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        load_checkpoint(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04N.", b"key: C major\n", bytes(64), b"\xff" * 64, b"PK\x03\x04junk"]
)
def test_garbage_is_refused_by_name(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"garbage{suffix}"):
        load_checkpoint(path)


def test_missing_files_and_folders_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("none.safetensors", "none.pt"):
        with pytest.raises(CheckpointError, match=f"{name}: no such file"):
            load_checkpoint(tmp_path / name)
    for name in ("folder.safetensors", "folder.pt"):
        (tmp_path / name).mkdir()
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(tmp_path / name)


def test_truncated_files_are_refused_by_name(shared: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.safetensors"
    save_checkpoint(random_checkpoint("joint"), ours)
    for whole in (ours, published(shared, "semitone_ks")):
        data = whole.read_bytes()
        cut = tmp_path / f"cut{whole.suffix}"
        for size in (4, 100, len(data) // 2, len(data) - 100, len(data) - 1):
            cut.write_bytes(data[:size])
            with pytest.raises(CheckpointError, match=f"cut{whole.suffix}"):
                load_checkpoint(cut)


def test_flipped_bytes_are_refused_by_name_or_harmless(shared: Path, tmp_path: Path) -> None:
    """Whatever a damaged pickle raises inside, users see one kind of error."""
    data = published(shared, "semisupervised_ks_mode").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        pickled = archive.read(name)
        storages = {
            n.rsplit("/", 1)[1]: archive.read(n) for n in archive.namelist() if "/data/" in n
        }
    path = tmp_path / "flipped.pt"
    rng = np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(60):
        damaged = bytearray(pickled)
        damaged[int(rng.integers(len(damaged)))] ^= int(rng.integers(1, 256))
        write_torch_zip(path, bytes(damaged), storages)
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            refused.append(str(error))
    assert len(refused) > 8
    assert all("flipped.pt" in message for message in refused)


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}, {"format": "stonekey-1"}):
        save_file({"x": np.zeros(3, np.float32)}, path, metadata=metadata)
        with pytest.raises(CheckpointError, match=r"other\.safetensors"):
            load_checkpoint(path)


def test_wrong_tensors_are_refused_with_the_name(tmp_path: Path) -> None:
    whole = random_checkpoint("joint")
    tensors = dict(whole.tensors)
    del tensors["classifier.bias"]
    path = tmp_path / "partial.safetensors"
    save_checkpoint(Checkpoint(whole.info, tensors), path)
    from stonekey.estimate.backends import OnnxBackend, TorchBackend

    for backend in (OnnxBackend, TorchBackend):
        with pytest.raises(CheckpointError, match="classifier"):
            backend(path)


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save_checkpoint(random_checkpoint(), tmp_path / "model.safetensors")
    finally:
        os.umask(old)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o640


def test_an_exception_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


FULL_DISK = """
import resource, sys
from pathlib import Path
from stonekey.model.checkpoint import load_checkpoint, save_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(checkpoint, sys.argv[1])
except OSError as error:
    print(type(error).__name__, error)
else:
    sys.exit("nothing failed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint(), path)
    before = path.read_bytes()
    assert len(before) > 150_000
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    assert "OSError" in result.stdout
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
