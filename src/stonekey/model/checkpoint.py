"""Model files: tensors with readable metadata (safetensors), and the published format.

This is the only place that knows how a model is stored. Nothing here needs torch.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stonekey.files import sha256, write_atomically
from stonekey.keys import ClassLabel, parse_class_table
from stonekey.model.published import PUBLISHED, read_published
from stonekey.model.settings import Architecture, FrontEnd
from stonekey.text import json_text

FORMAT = "stonekey-1"


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
            softness=float(json.loads(metadata.get("softness", "1"))),
            temperature=float(json.loads(metadata.get("temperature", "1"))),
            min_clarity=float(json.loads(metadata.get("min_clarity", "0"))),
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
        return _load_ours(path) if path.suffix == ".safetensors" else _load_published(path)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path}: not a model file (expected .safetensors, .onnx or a torch .pt file)"
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything, MemoryError too
        raise CheckpointError(f"{path}: cannot be read as a model: {error}") from error


def _load_ours(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            info = ModelInfo.from_metadata(stored.metadata() or {})
            names = list(stored.keys())
            return Checkpoint(info, {name: stored.get_tensor(name) for name in names})
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def _load_published(path: Path) -> Checkpoint:
    contents = read_published(path)
    digest = sha256(path)
    known = next((model for model in PUBLISHED if model.sha256 == digest), None)
    info = ModelInfo(
        name=known.name if known else path.stem,
        front_end=contents.front_end,
        architecture=contents.architecture,
        class_table=known.class_table if known else None,
        licence=known.licence if known else "",
        training=contents.training,
    )
    return Checkpoint(info, contents.tensors)
