"""What an estimator says of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stonekey.keys import NO_KEY, ClassLabel, Key, KeySignature, key_fields


@dataclass(frozen=True)
class SegmentEstimate:
    """One segment: seconds from ``start`` to ``end``, probabilities (outputs,) in table order.

    ``counted`` is False for a silent segment, which has no say in the track's result.
    """

    start: float
    end: float
    probabilities: np.ndarray
    counted: bool = True


@dataclass(frozen=True)
class KeyEstimate:
    """The key of a recording.

    Attributes:
        key: most probable key; None for a 12-signature model and where there is no key.
        signature: its key signature, of either kind of model; None where there is no key.
        confidence: probability of the answer, or of what it would be where the model is not sure
            enough to give one; 0 to 1, 0 where there is no sound.
        probabilities: by key (24) or key signature (12), in the model's order: the mean over the
            segments, at the model's temperature (`stonekey.model.confidence`); empty where there is
            no sound.
        segments: outputs of each segment with its times.
        duration: length of the recording in seconds.
        model: name of the model.
        warnings: anything a user should know, in words.
        tuning: how far the music lies above A = 440 Hz, in cents (-50 to 50, negative below it),
            before any correction; None where there is no steady tone.
    """

    key: Key | None
    signature: KeySignature | None
    confidence: float
    probabilities: dict[ClassLabel, float]
    segments: tuple[SegmentEstimate, ...]
    duration: float
    model: str
    warnings: tuple[str, ...] = ()
    tuning: float | None = None

    @property
    def label(self) -> ClassLabel | None:
        """The answer: a key, a key signature, or None for "no key"."""
        return self.key if self.key is not None else self.signature

    def __str__(self) -> str:
        return NO_KEY if self.label is None else str(self.label)

    def top(self, count: int) -> list[tuple[ClassLabel, float]]:
        """The ``count`` most probable labels, best first; equal ones in the model's order."""
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])
        return ranked[:count]

    def as_dict(self, notation: str = "musical", top: int = 3) -> dict[str, Any]:
        """The JSON object of a file's result, without the file's name.

        ``key`` is null where there is no key; ``tonic`` and ``mode`` also for a
        12-signature model. Probabilities and times are rounded to be read.
        """
        return {
            **key_fields(self.label, notation),
            "confidence": round(self.confidence, 4),
            "top": [
                {"key": k.format(notation), "probability": round(p, 4)} for k, p in self.top(top)
            ],
            "duration": round(self.duration, 3),
            "segments": len(self.segments),
            "tuning": None if self.tuning is None else round(self.tuning, 1),
            "model": self.model,
            "warnings": list(self.warnings),
            "error": None,
        }
