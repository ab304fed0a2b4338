"""Confusion matrices, ordered by the circle of fifths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stonekey.evaluation.statistics import FloatArray
from stonekey.keys import ClassLabel, Key, KeySignature

# From five flats to six sharps.
SIGNATURE_ORDER: tuple[KeySignature, ...] = tuple(
    sorted((KeySignature(tonic) for tonic in range(12)), key=lambda signature: signature.fifths)
)
# Each major key before its relative minor, so that common errors lie near the diagonal.
KEY_ORDER: tuple[Key, ...] = tuple(
    key for signature in SIGNATURE_ORDER for key in (signature.major, signature.minor)
)


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of tracks by reference and estimate.

    Attributes:
        labels: keys or key signatures in the order of the circle of fifths, (classes,).
        counts: tracks, (classes, classes): rows are references, columns estimates.
        no_answer: tracks without an answer, by reference, (classes,).
    """

    labels: tuple[ClassLabel, ...]
    counts: NDArray[np.int64]
    no_answer: NDArray[np.int64]

    def normalised(self) -> FloatArray:
        """Return shares of each reference class, (classes, classes); rows without tracks are 0.

        Tracks without an answer count in the total, so a row can sum to less than 1.
        """
        totals = self.counts.sum(axis=1) + self.no_answer
        return np.asarray(self.counts / np.maximum(totals, 1)[:, None])

    def as_dict(self) -> dict[str, Any]:
        """Return labels as text and counts as lists, for JSON."""
        return {
            "labels": [str(label) for label in self.labels],
            "counts": self.counts.tolist(),
            "no_answer": self.no_answer.tolist(),
        }


def key_confusion(references: Sequence[Key], estimates: Sequence[Key | None]) -> ConfusionMatrix:
    """Count estimates by reference over 24 keys, in :data:`KEY_ORDER`."""
    return _confusion(KEY_ORDER, references, estimates)


def signature_confusion(
    references: Sequence[ClassLabel], estimates: Sequence[ClassLabel | None]
) -> ConfusionMatrix:
    """Count estimates by reference over 12 signatures, in :data:`SIGNATURE_ORDER`."""
    return _confusion(
        SIGNATURE_ORDER,
        [label.signature for label in references],
        [None if label is None else label.signature for label in estimates],
    )


def _confusion(
    labels: tuple[ClassLabel, ...],
    references: Sequence[ClassLabel],
    estimates: Sequence[ClassLabel | None],
) -> ConfusionMatrix:
    if len(references) != len(estimates):
        raise ValueError(f"{len(references)} references for {len(estimates)} estimates")
    position = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    no_answer = np.zeros(len(labels), dtype=np.int64)
    for reference, estimate in zip(references, estimates, strict=True):
        if estimate is None:
            no_answer[position[reference]] += 1
        else:
            counts[position[reference], position[estimate]] += 1
    return ConfusionMatrix(labels, counts, no_answer)
