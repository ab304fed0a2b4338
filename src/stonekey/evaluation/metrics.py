"""Scores of key estimates: MIREX categories and KSEA.

An answer of None ("no key") is wrong in every score and has its own count.

MIREX gives a track 1 for the same key, 0.5 for a perfect fifth in the same mode, 0.3 for the
relative key and 0.2 for the parallel key. Since 2017, fifths in both directions count; before, and
in mir_eval by default, only estimates a fifth above the reference. Both scores are reported.

KSEA, the key signature estimation accuracy of the STONE paper (Kong et al., ISMIR 2024), is
(correct + 0.5 fifth) / N over 12 key signatures, with fifths in either direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stonekey.evaluation.statistics import (
    LEVEL,
    RESAMPLES,
    FloatArray,
    Interval,
    bootstrap_interval,
)
from stonekey.keys import ClassLabel, Key

KEY_CATEGORIES = (
    "same",
    "fifth_ascending",
    "fifth_descending",
    "relative",
    "parallel",
    "other",
    "no_answer",
)
# https://www.music-ir.org/mirex/wiki/2021:Audio_Key_Detection
MIREX_WEIGHTS = {
    "same": 1.0,
    "fifth_ascending": 0.5,
    "fifth_descending": 0.5,
    "relative": 0.3,
    "parallel": 0.2,
    "other": 0.0,
    "no_answer": 0.0,
}
SIGNATURE_CATEGORIES = ("correct", "fifth", "other", "no_answer")


@dataclass(frozen=True)
class KeyScores:
    """Scores over 24 keys.

    Attributes:
        n: number of tracks, the sum of the counts below.
        same, fifth_ascending, fifth_descending, relative, parallel, other, no_answer: counts; an
            ascending fifth is an estimate a fifth above the reference.
        mirex: MIREX score with fifths in both directions (since 2017).
        mirex_ascending: MIREX score with ascending fifths only (mir_eval's default).
        accuracy, mode_accuracy, tonic_accuracy: share of tracks with the right key, mode, tonic.
    """

    n: int
    same: int
    fifth_ascending: int
    fifth_descending: int
    relative: int
    parallel: int
    other: int
    no_answer: int
    mirex: Interval
    mirex_ascending: Interval
    accuracy: Interval
    mode_accuracy: Interval
    tonic_accuracy: Interval

    @property
    def fifth(self) -> int:
        """Fifths in either direction."""
        return self.fifth_ascending + self.fifth_descending

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and ``fifth``, for JSON."""
        return {**asdict(self), "fifth": self.fifth}


@dataclass(frozen=True)
class SignatureScores:
    """Scores over 12 key signatures; ``n`` is the sum of the counts."""

    n: int
    correct: int
    fifth: int
    other: int
    no_answer: int
    ksea: Interval
    accuracy: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def score_keys(
    references: Sequence[Key],
    estimates: Sequence[Key | None],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> KeyScores:
    """Score estimated keys against reference keys, track by track.

    Raises:
        ValueError: no tracks, or sequences of different lengths.
        TypeError: a label is not a key (a key signature has no mode).
    """
    reference, estimate = _key_indices(references, estimates)
    kinds = key_categories(references, estimates)
    counts = {name: kinds.count(name) for name in KEY_CATEGORIES}
    answered = estimate >= 0

    def interval(values: NDArray[Any]) -> Interval:
        return bootstrap_interval(values, level=level, resamples=resamples, seed=seed)

    return KeyScores(
        n=len(references),
        **counts,
        mirex=interval(mirex_scores(references, estimates)),
        mirex_ascending=interval(mirex_scores(references, estimates, descending_fifths=False)),
        accuracy=interval(reference == estimate),
        mode_accuracy=interval(answered & (reference // 12 == estimate // 12)),
        tonic_accuracy=interval(answered & (reference % 12 == estimate % 12)),
    )


def score_signatures(
    references: Sequence[ClassLabel],
    estimates: Sequence[ClassLabel | None],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SignatureScores:
    """Score key signatures; a key on either side counts as its signature.

    Raises:
        ValueError: no tracks, or sequences of different lengths.
    """
    kinds = signature_categories(references, estimates)
    correct = np.array([kind == "correct" for kind in kinds])
    counts = {name: kinds.count(name) for name in SIGNATURE_CATEGORIES}

    def interval(values: NDArray[Any]) -> Interval:
        return bootstrap_interval(values, level=level, resamples=resamples, seed=seed)

    return SignatureScores(
        n=len(references),
        **counts,
        ksea=interval(ksea_scores(references, estimates)),
        accuracy=interval(correct),
    )


def mirex_scores(
    references: Sequence[Key],
    estimates: Sequence[Key | None],
    *,
    descending_fifths: bool = True,
) -> FloatArray:
    """Return the MIREX weight of every track, (n,)."""
    weights = {**MIREX_WEIGHTS, "fifth_descending": 0.5 if descending_fifths else 0.0}
    return np.array([weights[kind] for kind in key_categories(references, estimates)])


def ksea_scores(
    references: Sequence[ClassLabel], estimates: Sequence[ClassLabel | None]
) -> FloatArray:
    """Return the score of every track, (n,): 1 if correct, 0.5 for a fifth either way, else 0."""
    weights = {"correct": 1.0, "fifth": 0.5, "other": 0.0, "no_answer": 0.0}
    return np.array([weights[kind] for kind in signature_categories(references, estimates)])


def key_categories(references: Sequence[Key], estimates: Sequence[Key | None]) -> list[str]:
    """Return the category of every track, from :data:`KEY_CATEGORIES`."""
    reference, estimate = _key_indices(references, estimates)
    return [_key_category(r, e) for r, e in zip(reference.tolist(), estimate.tolist(), strict=True)]


def signature_categories(
    references: Sequence[ClassLabel], estimates: Sequence[ClassLabel | None]
) -> list[str]:
    """Return the category of every track, from :data:`SIGNATURE_CATEGORIES`."""
    _check_lengths(references, estimates)
    kinds = []
    for reference, estimate in zip(references, estimates, strict=True):
        if estimate is None:
            kinds.append("no_answer")
            continue
        distance = reference.fifths_distance(estimate)
        kinds.append({0: "correct", 1: "fifth"}.get(distance, "other"))
    return kinds


def _key_category(reference: int, estimate: int) -> str:
    """Categorise a pair of key indices: 0-11 major, 12-23 minor, -1 no answer."""
    if estimate < 0:
        return "no_answer"
    interval = (estimate - reference) % 12
    if reference // 12 == estimate // 12:
        return {0: "same", 7: "fifth_ascending", 5: "fifth_descending"}.get(interval, "other")
    if interval == 0:
        return "parallel"
    return "relative" if interval == (9 if reference < 12 else 3) else "other"


def _key_indices(
    references: Sequence[Key], estimates: Sequence[Key | None]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return references and estimates as key indices (n,), -1 for no answer."""
    _check_lengths(references, estimates)
    for label in (*references, *estimates):
        if label is not None and not isinstance(label, Key):
            raise TypeError(f"{label} is not a key: use score_signatures for key signatures")
    reference = np.array([key.index for key in references], dtype=np.intp)
    estimate = np.array([-1 if key is None else key.index for key in estimates], dtype=np.intp)
    return reference, estimate


def _check_lengths(references: Sequence[Any], estimates: Sequence[Any]) -> None:
    if len(references) != len(estimates):
        raise ValueError(f"{len(references)} references for {len(estimates)} estimates")
    if not references:
        raise ValueError("no tracks to score")
