"""How far a system's confidence can be trusted: abstention and expected calibration error."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stonekey.evaluation.statistics import FloatArray, as_scores


@dataclass(frozen=True)
class CoverageCurve:
    """Score of the answers against the share of tracks answered.

    Point i answers every track whose confidence is at least ``threshold[i]``. Tracks of equal
    confidence share a point, so there is one point for each distinct confidence.

    Attributes:
        coverage: share of all tracks answered, (points,), ascending.
        score: mean score of the answered tracks, (points,).
        threshold: lowest confidence answered, (points,), descending.
    """

    coverage: FloatArray
    score: FloatArray
    threshold: FloatArray

    @property
    def area(self) -> float:
        """Mean score over the coverages reached; 1 is perfect."""
        widths = np.diff(self.coverage, prepend=0.0)
        return float(widths @ self.score / self.coverage[-1])

    def as_dict(self) -> dict[str, Any]:
        """Return the arrays as lists and the area, for JSON."""
        return {
            "coverage": self.coverage.tolist(),
            "score": self.score.tolist(),
            "threshold": self.threshold.tolist(),
            "area": self.area,
        }


def coverage_curve(
    scores: ArrayLike, confidence: ArrayLike, answered: ArrayLike | None = None
) -> CoverageCurve:
    """Return the score of the answers against their share, as less confident tracks are added.

    Args:
        scores: score of every track, (n,): 0 and 1 for accuracy, or MIREX weights.
        confidence: confidence of every track, (n,).
        answered: which tracks have an answer, (n,); the others are never covered (default: all).

    Raises:
        ValueError: no tracks, no answers, different lengths, or values that are not finite.
    """
    values, certainty, keep = _checked(scores, confidence, answered)
    total = values.size
    values, certainty = values[keep], certainty[keep]
    order = np.argsort(-certainty, kind="stable")
    values, certainty = values[order], certainty[order]
    last = np.flatnonzero(np.append(certainty[1:] != certainty[:-1], True))
    return CoverageCurve(
        coverage=(last + 1) / total,
        score=np.cumsum(values)[last] / (last + 1),
        threshold=certainty[last],
    )


@dataclass(frozen=True)
class ReliabilityBin:
    """The ``n`` answers with confidence in (low, high]; the first bin includes 0.

    ``confidence`` and ``accuracy`` are means over these answers, None in an empty bin.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """How far confidence is from accuracy.

    Attributes:
        n: number of answers.
        ece: expected calibration error: mean over answers of |accuracy - confidence| of their bin.
        mce: maximum calibration error: the largest gap of any bin.
        bins: the reliability diagram.
    """

    n: int
    ece: float
    mce: float
    bins: tuple[ReliabilityBin, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def calibration(
    correct: ArrayLike,
    confidence: ArrayLike,
    answered: ArrayLike | None = None,
    *,
    bins: int = 10,
) -> Calibration:
    """Compare confidence with accuracy in bins of equal width (Guo et al. 2017, sec. 2).

    Args:
        correct: whether each track's answer is right, (n,).
        confidence: probability of each answer, (n,), in [0, 1].
        answered: which tracks have an answer, (n,); the others are left out (default: all).
        bins: number of bins.

    Raises:
        ValueError: no tracks, no answers, different lengths, confidence outside [0, 1], or no
            bins.
    """
    values, certainty, keep = _checked(correct, confidence, answered)
    values, certainty = values[keep], certainty[keep]
    if certainty.min() < 0 or certainty.max() > 1:
        raise ValueError("confidence must lie in [0, 1]")
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, certainty, side="left") - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = np.maximum(counts, 1)
    accuracies = np.bincount(index, weights=values, minlength=bins) / filled
    confidences = np.bincount(index, weights=certainty, minlength=bins) / filled
    gaps = np.abs(accuracies - confidences)
    diagram = tuple(
        ReliabilityBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            n=int(counts[i]),
            confidence=float(confidences[i]) if counts[i] else None,
            accuracy=float(accuracies[i]) if counts[i] else None,
        )
        for i in range(bins)
    )
    return Calibration(
        n=values.size, ece=float(gaps @ counts / values.size), mce=float(gaps.max()), bins=diagram
    )


def _checked(
    scores: ArrayLike, confidence: ArrayLike, answered: ArrayLike | None
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    values = as_scores(scores)
    if answered is None:
        keep = np.ones(values.shape, dtype=bool)
    else:
        keep = np.asarray(answered, dtype=bool)
        # A track without an answer need not have a confidence.
        confidence = np.where(keep, np.asarray(confidence, dtype=np.float64), 0.0)
    certainty = as_scores(confidence, "confidence")
    if not values.shape == certainty.shape == keep.shape:
        raise ValueError(
            f"{values.size} scores, {certainty.size} confidences, {keep.size} answer flags"
        )
    if not keep.any():
        raise ValueError("no track was answered")
    return values, certainty, keep
