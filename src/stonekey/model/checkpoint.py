"""Model files: tensors with readable metadata (safetensors), and the published format.

This is the only place that knows how a model is stored. Nothing here needs torch.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stonekey.files import sha256, write_atomically
from stonekey.keys import ClassLabel
from stonekey.model.info import MAX_METADATA, ModelInfo
from stonekey.model.published import PUBLISHED, read_published
from stonekey.model.tensors import check_shapes, check_values
from stonekey.text import one_line, shown

# Bytes of a file with the networks that `stonekey.model.settings` allows.
MAX_BYTES = 500_000_000
# In the record of a training: the import path of a network that is not ChromaNet.
NETWORK = "network"


class CheckpointError(Exception):
    """A model file that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """A model: its description and the tensors of its ChromaNet by name."""

    info: ModelInfo
    tensors: dict[str, np.ndarray]

    def with_class_table(self, table: tuple[ClassLabel, ...]) -> Checkpoint:
        """The same model with its outputs labelled."""
        return replace(self, info=replace(self.info, class_table=table))


def save_checkpoint(checkpoint: Checkpoint, path: Path | str) -> None:
    """Write our format: safetensors with the description as readable metadata."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in checkpoint.tensors.items()}
    data = save(tensors, metadata=checkpoint.info.to_metadata())
    write_atomically(Path(path), lambda temporary: temporary.write_bytes(data))


def load_checkpoint(path: Path | str, own_network: bool = False) -> Checkpoint:
    """Read a model file in stonekey's format (``.safetensors``) or the published one (``.pt``).

    A published file is recognised by its checksum and then has its class table; any other
    of that format comes without one, to be calibrated.

    Args:
        path: model file.
        own_network: take the weights of a network that is the user's own; for those who build it.

    Raises:
        CheckpointError: when the file is missing, broken, refused or of another kind.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: is larger than {MAX_BYTES // 10**6} MB")
        ours = path.suffix == ".safetensors"
        loaded = _load_ours(path, own_network) if ours else _load_published(path)
        check_values(loaded.tensors)
        return loaded
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path}: not a model file (expected .safetensors, .onnx or a torch .pt file)"
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything, MemoryError too
        why = one_line(str(error)) or type(error).__name__
        raise CheckpointError(f"{path}: cannot be read as a model: {why}") from error


def _load_ours(path: Path, own_network: bool) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as stream:  # which is read whole before anything can be asked of it
        header = int.from_bytes(stream.read(8), "little")
    if header > 2 * MAX_METADATA:
        raise CheckpointError(f"{path}: its header is longer than {2 * MAX_METADATA} bytes")
    try:
        with safe_open(path, framework="numpy") as stored:
            info = ModelInfo.from_metadata(stored.metadata() or {})
            names = list(stored.keys())
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in names}
            if (network := info.training.get(NETWORK)) is None:
                check_network(info, shapes)
            elif not own_network:
                raise CheckpointError(
                    f"{path}: its network is {shown(str(network))}, which only its own code can "
                    "build: Stone.from_checkpoint(load_checkpoint(path, own_network=True), network)"
                )
            return Checkpoint(info, {name: stored.get_tensor(name) for name in names})
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def check_network(info: ModelInfo, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse tensors that are not of the network described; ValueError says how."""
    if info.architecture is None:
        raise ValueError("it describes no network")
    front_end = info.front_end
    check_shapes(shapes, info.architecture, front_end.crop_bins, len(front_end.harmonics))


def _load_published(path: Path) -> Checkpoint:
    contents = read_published(path)
    digest = sha256(path)
    known = next((model for model in PUBLISHED if model.sha256 == digest), None)
    info = ModelInfo(
        name=known.name if known else shown(path.stem)[:200],
        front_end=contents.front_end,
        architecture=contents.architecture,
        class_table=known.class_table if known else None,
        licence=known.licence if known else "",
        training=contents.training,
    )
    check_network(info, {name: value.shape for name, value in contents.tensors.items()})
    return Checkpoint(info, contents.tensors)
