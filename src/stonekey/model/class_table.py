"""Find the class table of a model: which output is which key.

A model trained without labels knows keys up to a permutation. Within each row of 12 outputs
the order is known, since transposing the audio by a semitone moves the output by one; where
each row starts and which row is major has to be heard. Nothing is assumed of one row
against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stonekey.keys import ClassLabel, Key, KeySignature

# Share of the 24 synthesised keys that the table found must explain.
MIN_AGREEMENT = 0.9
TIMBRES = ("piano", "organ", "strings")
KEYS = tuple(Key.from_index(i) for i in range(24))

Predict = Callable[[np.ndarray], np.ndarray]


def parse_class_table(labels: Iterable[str]) -> tuple[ClassLabel, ...]:
    """Read what each output of a model stands for: 12 signatures or 24 keys, in order.

    Raises:
        ValueError: a wrong number of labels, one that cannot be read, or one given twice.
    """
    texts = list(labels)
    table: tuple[ClassLabel, ...]
    if len(texts) == 12:
        table = tuple(KeySignature.parse(text) for text in texts)
    elif len(texts) == 24:
        table = tuple(Key.parse(text) for text in texts)
    else:
        raise ValueError(f"a class table has 12 or 24 entries, got {len(texts)}")
    if len(set(table)) != len(table):
        raise ValueError("a class table must name each key once")
    return table


class CalibrationError(Exception):
    """The model's answers fit no table.

    Attributes:
        confusion: (24, outputs), what was seen.
        best: the table that fits best, though too badly to be used; None where there is none.
    """

    def __init__(
        self, message: str, confusion: np.ndarray, best: Calibration | None = None
    ) -> None:
        super().__init__(message)
        self.confusion = confusion
        self.best = best


@dataclass(frozen=True)
class Calibration:
    """A class table and how well it explains what was heard.

    Attributes:
        class_table: label of each output.
        confusion: (24, outputs), mean probabilities for each key heard, in the order of
            `Key.index`; rows of keys not heard are zero.
        agreement: share of the keys heard whose most probable output is labelled right.
    """

    class_table: tuple[ClassLabel, ...]
    confusion: np.ndarray
    agreement: float


def row_table(outputs: int, starts: Sequence[int], modes: Sequence[str]) -> tuple[ClassLabel, ...]:
    """Class table whose rows start on the pitch classes ``starts`` and rise by a semitone."""
    if outputs == 12:
        return tuple(KeySignature((starts[0] + i) % 12) for i in range(12))
    return tuple(
        Key((start + i) % 12, mode)  # type: ignore[arg-type]
        for start, mode in zip(starts, modes, strict=True)
        for i in range(12)
    )


def hear_cadences(predict: Predict, sample_rate: int, seconds: float) -> np.ndarray:
    """Mean outputs (24, outputs) for cadences synthesised in all 24 keys."""
    from stonekey.synthesis import cadence

    rows = []
    for key in KEYS:
        audio = np.stack(
            [cadence(key, sample_rate, seconds, timbre, seed=i) for i, timbre in enumerate(TIMBRES)]
        )
        audio /= np.abs(audio).max(axis=1, keepdims=True)
        rows.append(predict(audio.astype(np.float32)).mean(axis=0, dtype=np.float64))
    return np.stack(rows)


def calibrate(confusion: np.ndarray) -> Calibration:
    """The class table that explains the mean outputs for all 24 keys best.

    Args:
        confusion: (24, 12 or 24), mean probabilities heard for each key, as `hear_cadences`.

    Raises:
        CalibrationError: when less than `MIN_AGREEMENT` of the keys fit it.
    """
    outputs = confusion.shape[1]
    if outputs == 12:
        tables = [row_table(12, [start], []) for start in range(12)]
        best = max(tables, key=lambda table: _score(table, confusion))
    else:
        # Rows are independent once their modes are fixed, so each start is found alone.
        candidates = []
        for modes in (("major", "minor"), ("minor", "major")):
            starts = [_row_start(confusion, row, mode) for row, mode in enumerate(modes)]
            candidates.append(row_table(24, starts, modes))
        best = max(candidates, key=lambda table: _score(table, confusion))
    return _checked(best, confusion)


def calibrate_from_recordings(
    outputs: Sequence[tuple[Key, np.ndarray]], cadences: np.ndarray | None = None
) -> Calibration:
    """The class table from recordings in known keys.

    One recording fixes the row that answers it. A 24-output model needs a recording in each
    mode, or ``cadences`` (see `hear_cadences`) for the row that no recording speaks of.

    Args:
        outputs: (key, mean probabilities (12 or 24,)) of each recording.
        cadences: confusion heard on synthesised cadences.

    Raises:
        CalibrationError: when the recordings contradict each other or leave a row unknown.
    """
    if not outputs:
        raise ValueError("no recording to calibrate from")
    size = len(outputs[0][1])
    confusion = np.zeros((24, size))
    for key, probabilities in outputs:
        confusion[key.index] += np.asarray(probabilities) / sum(k == key for k, _ in outputs)
    if size == 12:
        key, probabilities = outputs[0]
        start = (key.signature.tonic - int(np.argmax(probabilities))) % 12
        return _checked(row_table(12, [start], []), confusion)
    starts: dict[int, int] = {}
    modes: dict[int, str] = {}
    for key, probabilities in outputs:
        row, column = divmod(int(np.argmax(probabilities)), 12)
        start = (key.tonic - column) % 12
        if starts.setdefault(row, start) != start or modes.setdefault(row, key.mode) != key.mode:
            raise CalibrationError("the recordings contradict each other", confusion)
    if len(starts) == 1:
        (row,) = starts
        other = 1 - row
        modes[other] = "minor" if modes[row] == "major" else "major"
        if cadences is None:
            raise CalibrationError(
                f"no recording in a {modes[other]} key: the model's other row stays unknown",
                confusion,
            )
        starts[other] = _row_start(cadences, other, modes[other])
        _checked(row_table(24, [starts[0], starts[1]], [modes[0], modes[1]]), cadences)
    if modes[0] == modes[1]:
        raise CalibrationError(
            f"both rows of outputs answered a {modes[0]} key: the recordings contradict each other",
            confusion,
        )
    table = row_table(24, [starts[0], starts[1]], [modes[0], modes[1]])
    return _checked(table, confusion)


def _row_start(confusion: np.ndarray, row: int, mode: str) -> int:
    """Pitch class of the row's first output, had it this mode."""
    block = confusion[:, 12 * row : 12 * row + 12]
    heard = block[:12] if mode == "major" else block[12:]  # (tonic, column)
    scores = [sum(heard[(start + i) % 12, i] for i in range(12)) for start in range(12)]
    return int(np.argmax(scores))


def _columns(table: Sequence[ClassLabel]) -> np.ndarray:
    """Output that answers each of the 24 keys."""
    where = {label: i for i, label in enumerate(table)}
    return np.array([where[k.signature if len(table) == 12 else k] for k in KEYS])


def _score(table: Sequence[ClassLabel], confusion: np.ndarray) -> float:
    return float(confusion[np.arange(24), _columns(table)].sum())


def _checked(table: tuple[ClassLabel, ...], confusion: np.ndarray) -> Calibration:
    heard = confusion.any(axis=1)
    right = (confusion.argmax(axis=1) == _columns(table))[heard]
    agreement = float(right.mean())
    found = Calibration(table, confusion, agreement)
    if agreement < MIN_AGREEMENT:
        raise CalibrationError(
            f"the best table explains {right.sum()} of {right.size} keys heard, "
            f"fewer than {MIN_AGREEMENT:.0%}",
            confusion,
            found,
        )
    return found
