"""The result of an estimator."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from stonekey.estimate.record import FIELDS
from stonekey.keys import NO_KEY, ClassLabel, Key, KeySignature, key_fields


class ByValue:
    """A dataclass that is compared and hashed by what its fields hold, arrays included."""

    def _values(self) -> tuple[Any, ...]:
        values = (getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]
        return tuple(map(_hashable, values))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, ByValue):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return tuple(value.items()) if isinstance(value, dict) else value


@dataclass(frozen=True, eq=False)
class SegmentEstimate(ByValue):
    """One segment, from ``start`` to ``end`` in seconds.

    ``probabilities`` (outputs,) are in the order of the class table. ``counted`` is False for a
    silent segment, which the track's result ignores.
    """

    start: float
    end: float
    probabilities: np.ndarray = field(repr=False)
    counted: bool = True


@dataclass(frozen=True, eq=False)
class KeyEstimate(ByValue):
    """The key of a recording.

    Attributes:
        key: most probable key; None for "no key", and for a 12-signature model.
        signature: most probable key signature, from either kind of model; None for "no key".
        confidence: probability of the answer, 0 to 1. For "no key", probability of the best
            label; 0 for silence.
        probabilities: of each key (24) or key signature (12), in the order of the class table:
            the mean over the segments, at the fitted confidence temperature
            (`stonekey.model.confidence`). Empty for silence.
        segments: outputs of each segment with its times.
        duration: length of the recording in seconds.
        model: name of the model.
        warnings: anything a user should know, in words.
        tuning: deviation from A = 440 Hz before any correction, in cents (-50 to 50, positive
            when the music is sharp); None if there is no steady tone.
    """

    key: Key | None
    signature: KeySignature | None
    confidence: float
    probabilities: dict[ClassLabel, float] = field(repr=False)
    segments: tuple[SegmentEstimate, ...] = field(repr=False)
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

    def _repr_html_(self) -> str:
        """The estimate as a notebook shows it: its probabilities on the circle of fifths."""
        from stonekey.estimate.circle import circle_html

        lines = [f"{self.confidence:.0%} confidence"]
        if self.key is not None:
            lines.append(f"{self.key.format('camelot')} · {self.signature}")
        if self.tuning is not None:
            lines.append(f"{self.tuning:+.0f} cents from A = 440 Hz")
        minutes, seconds = divmod(round(self.duration), 60)
        lines += [f"{minutes}:{seconds:02d} · {self.model}", *self.warnings]
        return circle_html(self.probabilities, self.label, lines)

    def top(self, count: int) -> list[tuple[ClassLabel, float]]:
        """The ``count`` most probable labels, best first; ties in the order of the class table."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]

    def to_dict(self, notation: str = "musical", top: int = 3) -> dict[str, Any]:
        """The record, for JSON: `stonekey.estimate.record.FIELDS` in order.

        ``key`` is None for "no key"; ``tonic`` and ``mode`` also for a 12-signature model.
        Probabilities and times are rounded for reading.
        """
        confidence = FIELDS["confidence"]
        return {
            **key_fields(self.label, notation),
            "confidence": confidence.rounded(self.confidence),
            "top": [
                {"key": k.format(notation), "probability": confidence.rounded(p)}
                for k, p in self.top(top)
            ],
            "duration": FIELDS["duration"].rounded(self.duration),
            "segments": len(self.segments),
            "tuning": FIELDS["tuning"].rounded(self.tuning),
            "model": self.model,
            "warnings": list(self.warnings),
            "error": None,
        }
