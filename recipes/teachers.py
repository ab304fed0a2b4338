"""Other estimators' answers to recordings as labels that are not sure.

The CSV has the columns ``split`` (the folder of the recordings), ``path``, ``skey`` and
``openkeyscan`` (JSON: a probability for each of 24 keys), ``edma`` and ``bgate`` (a key each) with
``edma_strength`` and ``bgate_strength``, 0 to 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stonekey.data.manifest import Track, read_rows
from stonekey.keys import Key

# Powers in the product of the answers. The two that give all probabilities lean towards minor keys
# in popular music, the two that vote do not.
PROBABILITIES = {"skey": 0.7, "openkeyscan": 0.4}
VOTES = {"edma": 0.55, "bgate": 0.55}
# How much likelier a vote of full strength makes its key.
ODDS = 50.0
_SMALLEST = 1e-4


def with_answers(
    tracks: Iterable[Track], manifest: Path, answers: Path | None, only: str | None = None
) -> Iterator[Track]:
    """The tracks that teachers have answered, labelled so.

    Args:
        tracks: of ``manifest``, whose folder's name is the answers' split.
        answers: the CSV; without it there are none.
        only: take one teacher's word, at full power, instead of the product.
    """
    rows = {} if answers is None else _rows(answers)
    for track in tracks:
        row = rows.get((manifest.parent.name, track.id))
        if row is not None:
            yield replace(track, key=None, probabilities=product(row, only))


@cache
def _rows(answers: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of the CSV by split and path; a recipe asks for several manifests."""
    return {(row["split"], row["path"]): row for _, row in read_rows(answers)}


def product(row: dict[str, Any], only: str | None = None) -> tuple[float, ...]:
    """The normalised product of the answers in a row, by `Key.index`."""
    total = np.zeros(24)
    for name, power in (PROBABILITIES | VOTES).items():
        if not row[name] or only not in (None, name):
            continue
        logits = np.zeros(24)
        if name in PROBABILITIES:
            for label, p in json.loads(row[name]).items():
                logits[Key.parse(label).index] = np.log(max(p, _SMALLEST))
        else:
            strength = min(1.0, max(0.0, float(row[f"{name}_strength"] or 0)))
            logits[Key.parse(row[name]).index] = strength * np.log(ODDS)
        total += logits if only else power * logits
    powers = np.exp(total - total.max())
    return tuple(float(p) for p in powers / powers.sum())
