"""The metadata in a model file, beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from stonekey.keys import ClassLabel
from stonekey.model.class_table import parse_class_table
from stonekey.model.settings import MAX_ACTIVATIONS, Architecture, FrontEnd, real, whole
from stonekey.text import json_text, printable

FORMAT = "stonekey-1"
MAX_METADATA = 1_000_000  # characters


@dataclass(frozen=True)
class ModelInfo:
    """Everything about a model but its weights; stored as metadata with them.

    ``class_table`` labels the outputs in order; None when it is not known yet (a model
    trained without labels is calibrated afterwards). ``omega`` is the circle of the
    training loss: 7 fifths, 1 semitones. ``training`` is a free record of how it was made.
    ``segment_temperature``: of a segment's outputs before the mean over segments,
    ``confidence_temperature``: of that
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
    segment_temperature: float = 1.0
    confidence_temperature: float = 1.0
    min_clarity: float = 0.0

    def __post_init__(self) -> None:
        if (
            not isinstance(self.name, str)
            or len(self.name) > 200
            or printable(self.name) != self.name
        ):
            raise ValueError("its name is not one printable line of at most 200 characters")
        if not isinstance(self.licence, str) or not isinstance(self.training, dict):
            raise ValueError("its licence must be text and its training record an object")
        if self.omega is not None:
            whole("omega", self.omega, 1, 12)
        for name in ("segment_temperature", "confidence_temperature"):
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

    @property
    def shortest_samples(self) -> int:
        """Samples that the network needs: a second, or more for its stages."""
        arch, front_end = self.architecture, self.front_end
        needed = ((arch.min_frames if arch else 0) * front_end.average - 1) * front_end.hop
        return max(front_end.sample_rate, needed)

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
            "segment_temperature": json_text(self.segment_temperature, ascii=True),
            "confidence_temperature": json_text(self.confidence_temperature, ascii=True),
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

        def older(name: str, old: str) -> Any:  # models of earlier versions have the old name
            return json.loads(metadata.get(name, metadata.get(old, "1")))

        return cls(
            name=metadata["name"],
            front_end=FrontEnd.from_dict(json.loads(metadata["front_end"])),
            architecture=architecture and Architecture.from_dict(architecture),
            class_table=table and parse_class_table(table),
            omega=json.loads(metadata["omega"]),
            licence=metadata["licence"],
            training=json.loads(metadata["training"]),
            segment_temperature=older("segment_temperature", "softness"),
            confidence_temperature=older("confidence_temperature", "temperature"),
            min_clarity=json.loads(metadata.get("min_clarity", "0")),
        )
