"""Model files: tensors with readable metadata (safetensors), and the published format.

This is the only place that knows how a model is stored. Nothing here needs torch.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stonekey.files import sha256, write_atomically
from stonekey.keys import ClassLabel, parse_class_table
from stonekey.model.published import PUBLISHED, read_published
from stonekey.model.settings import MAX_ACTIVATIONS, Architecture, FrontEnd, real, whole
from stonekey.model.tensors import check_shapes, check_values
from stonekey.text import json_text, one_line, printable, shown

FORMAT = "stonekey-1"
# Characters of a description, and bytes of a file with the networks that `settings` allows.
MAX_METADATA = 1_000_000
MAX_BYTES = 500_000_000


class CheckpointError(Exception):
    """A model file that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class ModelInfo:
    """Everything about a model but its weights; stored as metadata with them.

    ``class_table`` labels the outputs in order; None when it is not known yet (a model
    trained without labels is calibrated afterwards). ``omega`` is the circle of the
    training loss: 7 fifths, 1 semitones. ``training`` is a free record of how it was made.
    ``softness``: of a segment's signatures before the mean over segments, ``temperature``: of that
    mean, and ``min_clarity``: a recording less clear than this has no key
    (`stonekey.model.confidence`).
    """

    name: str
    front_end: FrontEnd
    architecture: Architecture | None
    class_table: tuple[ClassLabel, ...] | None
    omega: int | None = None
    licence: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    softness: float = 1.0
    temperature: float = 1.0
    min_clarity: float = 0.0

    def __post_init__(self) -> None:
        if (
            not isinstance(self.name, str)
            or len(self.name) > 200
            or printable(self.name) != self.name
        ):
            raise ValueError("its name is not one printable line of at most 200 characters")
        if not isinstance(self.licence, str) or not isinstance(self.training, dict):
            raise ValueError("its licence is no text, or the record of its training no object")
        if self.omega is not None:
            whole("omega", self.omega, 1, 12)
        for name in ("softness", "temperature"):
            real(name, getattr(self, name), 0.01, 100)
        real("min_clarity", self.min_clarity, 0, 1)
        arch, front_end, table = self.architecture, self.front_end, self.class_table
        if arch is None:
            return
        if table is not None and len(table) != arch.outputs:
            raise ValueError(f"{arch.outputs} outputs, but names for {len(table)}")
        frames = front_end.frames(front_end.segment_samples)
        if frames * front_end.crop_bins * max(arch.channels) > MAX_ACTIVATIONS:
            raise ValueError("its network is too large for segments of that length")

    def to_metadata(self) -> dict[str, str]:
        """As strings, for safetensors or ONNX metadata."""
        table = self.class_table
        return {
            "format": FORMAT,
            "name": self.name,
            "front_end": json_text(self.front_end.as_dict(), ascii=True),
            "architecture": json_text(
                self.architecture and self.architecture.as_dict(), ascii=True
            ),
            "class_table": json_text(table and [str(label) for label in table], ascii=True),
            "omega": json_text(self.omega, ascii=True),
            "licence": self.licence,
            "training": json_text(self.training, ascii=True),
            "softness": json_text(self.softness, ascii=True),
            "temperature": json_text(self.temperature, ascii=True),
            "min_clarity": json_text(self.min_clarity, ascii=True),
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> ModelInfo:
        """Inverse of `to_metadata`; ValueError or KeyError when it is not ours."""
        if sum(map(len, metadata.values())) > MAX_METADATA:
            raise ValueError(f"its metadata is longer than {MAX_METADATA} characters")
        if metadata.get("format") != FORMAT:
            raise ValueError(f"not a stonekey model (format {metadata.get('format')!r})")
        architecture = json.loads(metadata["architecture"])
        table = json.loads(metadata["class_table"])
        return cls(
            name=metadata["name"],
            front_end=FrontEnd.from_dict(json.loads(metadata["front_end"])),
            architecture=architecture and Architecture.from_dict(architecture),
            class_table=table and parse_class_table(table),
            omega=json.loads(metadata["omega"]),
            licence=metadata["licence"],
            training=json.loads(metadata["training"]),
            softness=json.loads(metadata.get("softness", "1")),
            temperature=json.loads(metadata.get("temperature", "1")),
            min_clarity=json.loads(metadata.get("min_clarity", "0")),
        )


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


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a model file of ours (``.safetensors``) or of the published format (``.pt``).

    A published file is recognised by its checksum and then has its class table; any other
    of that format comes without one, to be calibrated.

    Raises:
        CheckpointError: when the file is missing, broken, refused or of another kind.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: is larger than {MAX_BYTES // 10**6} MB")
        loaded = _load_ours(path) if path.suffix == ".safetensors" else _load_published(path)
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


def _load_ours(path: Path) -> Checkpoint:
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
            check_network(info, shapes)
            return Checkpoint(info, {name: stored.get_tensor(name) for name in names})
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def check_network(info: ModelInfo, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse tensors that are not of the network described; ValueError says how."""
    if info.architecture is None:
        raise ValueError("it describes no network")
    check_shapes(shapes, info.architecture, info.front_end.crop_bins)


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
