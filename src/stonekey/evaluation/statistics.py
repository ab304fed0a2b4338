"""Bootstrap intervals and paired tests over per-track scores.

Per-track scores have few distinct values, so resampling n tracks amounts to drawing the count of
each value from a multinomial. That has the same distribution as drawing indices, and its memory
does not grow with n.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its percentile bootstrap interval over tracks, all as fractions."""

    value: float
    low: float
    high: float
    level: float = LEVEL

    def as_dict(self) -> dict[str, float]:
        """Return the fields, for JSON."""
        return asdict(self)

    def percent(self, digits: int = 1) -> str:
        """Return text such as ``73.1 [71.9, 74.3]``, in percent."""
        value, low, high = (f"{100 * x:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def as_scores(values: ArrayLike, name: str = "scores") -> FloatArray:
    """Return per-track values as float64, (n,).

    Raises:
        ValueError: no values, not one-dimensional, or not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one value per track, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name}: no tracks to score")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: not every value is a finite number")
    return array


def bootstrap_interval(
    values: ArrayLike, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean of per-track values (n,) with its percentile bootstrap interval over tracks.

    The same seed always gives the same interval.

    Raises:
        ValueError: no tracks, values that are not finite, or a level outside (0, 1).
    """
    array = as_scores(values)
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    distinct, counts = np.unique(array, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(array.size, counts / array.size, size=resamples)
    means = draws @ distinct / array.size
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(low), float(high), level)


@dataclass(frozen=True)
class PairedComparison:
    """Two systems on the same tracks.

    Attributes:
        n: number of tracks.
        first, second: mean scores.
        difference: mean of first minus second, with its paired bootstrap interval; positive when
            the first system is better.
        p_value: p of a two-sided sign-flip permutation test of no difference.
        better, worse, equal: number of tracks on which the first system scores higher, lower, the
            same.
    """

    n: int
    first: float
    second: float
    difference: Interval
    p_value: float
    better: int
    worse: int
    equal: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def compare_systems(
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedComparison:
    """Compare two systems by their scores (n,) on the same tracks in the same order.

    Raises:
        ValueError: different numbers of tracks, none, or values that are not finite.
    """
    a, b = as_scores(first, "first system"), as_scores(second, "second system")
    if a.size != b.size:
        raise ValueError(f"the systems were scored on {a.size} and {b.size} tracks")
    # Rounded, so that 0.5 - 0.2 and 0.3 count as the same difference.
    differences = np.round(a - b, 12)
    distinct, counts = np.unique(np.abs(differences), return_counts=True)
    # If there is no difference, every sign is a fair coin, so of the k tracks that differ by d in
    # either direction, a binomial number is positive.
    rng = np.random.default_rng(seed)
    pluses = rng.binomial(counts, 0.5, size=(resamples, counts.size))
    sums = (2 * pluses - counts) @ distinct
    observed = abs(float(differences.sum()))
    extreme = int(np.count_nonzero(np.abs(sums) >= observed - 1e-9))
    return PairedComparison(
        n=a.size,
        first=float(a.mean()),
        second=float(b.mean()),
        difference=bootstrap_interval(differences, level=level, resamples=resamples, seed=seed),
        p_value=(1 + extreme) / (1 + resamples),
        better=int(np.count_nonzero(differences > 0)),
        worse=int(np.count_nonzero(differences < 0)),
        equal=int(np.count_nonzero(differences == 0)),
    )
