"""Harmonic mixing: moves from key to key, their distance, and the tracks that match.

DJs know the moves from the Camelot wheel, where a step is a fifth and the letter is the mode:
stay, go a step either way, change the letter, or do both. Energy moves lift the music by a tone
(two steps) or a semitone (seven).

>>> from stonekey.keys import Key
>>> move_between(Key.parse("A minor"), Key.parse("E minor"))
'fifth-up'
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonekey.audio.spelling import ByPath
from stonekey.keys import ClassLabel, Key
from stonekey.library.result import Result, path_text

_DIFFERENT_MODE = 0.5

_MOVES: dict[str, Callable[[Key], tuple[Key, ...]]] = {
    "same": lambda key: (key,),
    "relative": lambda key: (key.relative,),
    "fifth-up": lambda key: (key.dominant,),
    "fifth-down": lambda key: (key.subdominant,),
    "diagonal": lambda key: (key.dominant.relative, key.subdominant.relative),
    "tone-up": lambda key: (key.transpose(2),),
    "parallel": lambda key: (key.parallel,),
    "semitone-up": lambda key: (key.transpose(1),),
}
# Nearest first; no two lead to the same key.
MOVES = tuple(_MOVES)
# Names for several moves.
MOVE_GROUPS = {
    "all": MOVES,
    "close": ("same", "relative", "fifth-up", "fifth-down"),
    "energy": ("tone-up", "semitone-up"),
}
# The moves that do not depend on the mode.
_SIGNATURE_MOVES = ("same", "fifth-up", "fifth-down", "tone-up", "semitone-up")


@dataclass(frozen=True)
class Match:
    """A track that goes with a key.

    Attributes:
        result: the track's row in the library.
        move: the move that leads to its key (`MOVES`).
        distance: the `harmonic_distance` to its key.
    """

    result: Result
    move: str
    distance: float

    def as_dict(self, notation: str = "musical") -> dict[str, Any]:
        """Fields for JSON and CSV, with the key in this notation (`stonekey.keys.NOTATIONS`)."""
        label = self.result.label
        return {
            "path": path_text(self.result.path),
            "key": label and label.format(notation),
            "camelot": label and label.format("camelot"),
            "move": self.move,
            "distance": self.distance,
            "confidence": self.result.confidence,
            "duration": self.result.duration,
        }


def harmonic_distance(first: ClassLabel, second: ClassLabel) -> float:
    """Steps between two keys on the circle of fifths, plus half a step if their modes differ.

    0 to 6.5, the same in both directions. A key signature has no mode, so only the steps count.
    """
    modes = {label.mode for label in (first, second) if isinstance(label, Key)}
    return first.signature.fifths_distance(second) + (_DIFFERENT_MODE if len(modes) == 2 else 0.0)


def move_between(first: ClassLabel, second: ClassLabel) -> str | None:
    """The move (`MOVES`) from the first key to the second, or None.

    If either is a key signature, both count as signatures: "same" then means the same signature,
    and relative, diagonal and parallel moves do not exist.
    """
    if isinstance(first, Key) and isinstance(second, Key):
        names, start, goal = MOVES, first, second
    else:
        names, start, goal = _SIGNATURE_MOVES, first.signature.major, second.signature.major
    return next((name for name in names if goal in _MOVES[name](start)), None)


def parse_moves(names: Iterable[str]) -> tuple[str, ...]:
    """Expand names of moves and groups of moves (`MOVE_GROUPS`) to moves, nearest first.

    Raises:
        ValueError: an unknown name.
    """
    wanted: set[str] = set()
    for name in names:
        if name not in MOVES and name not in MOVE_GROUPS:
            raise ValueError(f"no move {name!r}; moves: {', '.join((*MOVE_GROUPS, *MOVES))}")
        wanted.update(MOVE_GROUPS.get(name, (name,)))
    return tuple(move for move in MOVES if move in wanted)


def matching_tracks(
    label: ClassLabel,
    library: Iterable[Result],
    *,
    moves: Iterable[str] = MOVES,
    min_confidence: float = 0.0,
    limit: int | None = None,
    without: Iterable[str | os.PathLike[str]] = (),
) -> list[Match]:
    """The tracks of a library that go with a key, best first.

    >>> from stonekey.library import read_results
    >>> matching_tracks(Key.parse("8A"), read_results("keys.csv"), moves=["close"], limit=10)

    Args:
        label: key or key signature of the track that is playing.
        library: results of ``stonekey scan`` (`stonekey.library.read_results`).
        moves: moves to consider, by name or group (`MOVES`, `MOVE_GROUPS`).
        min_confidence: leave out tracks below this confidence, 0 to 1.
        limit: maximum number of tracks.
        without: absolute paths to leave out, such as the track that is playing.

    Returns:
        Matches by harmonic distance, then from high to low confidence, then by path.

    Raises:
        ValueError: an unknown move.
    """
    wanted = parse_moves(moves)
    left_out = ByPath((Path(path), True) for path in without)
    found = []
    for result in library:
        other = result.label
        if other is None or (result.confidence or 0.0) < min_confidence:
            continue
        if left_out.get(result.path):
            continue
        move = move_between(label, other)
        if move in wanted:
            found.append(Match(result, move, harmonic_distance(label, other)))
    found.sort(key=lambda m: (m.distance, -(m.result.confidence or 0), os.fsencode(m.result.path)))
    return found[:limit]


def key_order(labels: Sequence[ClassLabel | None]) -> list[int]:
    """Indices that sort labels around the Camelot wheel.

    From A flat minor (1A) and B major (1B) to D flat minor (12A) and E major (12B); a key
    signature follows its keys. Equal labels keep their order; None comes last.
    """

    def place(index: int) -> tuple[int, int]:
        label = labels[index]
        if label is None:
            return 12, 0
        mode = ("minor", "major").index(label.mode) if isinstance(label, Key) else 2
        return (label.signature.fifths + 7) % 12, mode

    return sorted(range(len(labels)), key=place)


def mix_order(labels: Sequence[ClassLabel | None]) -> list[int]:
    """Indices that order labels so that each is near the one before.

    Starts with the first label that is not None and always continues with the nearest one left,
    upwards if two are equally near. Equal labels keep their order; None comes last. Such a greedy
    path can end with a leap.
    """
    waiting: dict[ClassLabel, deque[int]] = {}
    for index, label in enumerate(labels):
        if label is not None:
            waiting.setdefault(label, deque()).append(index)
    order: list[int] = []
    current = next(iter(waiting), None)
    while current is not None:
        order += waiting.pop(current)
        here = current

        def nearness(label: ClassLabel, here: ClassLabel = here) -> tuple[float, int]:
            up = 7 * (label.signature.tonic - here.signature.tonic) % 12
            return harmonic_distance(here, label), up

        current = min(waiting, key=nearness, default=None)
    return order + [index for index, label in enumerate(labels) if label is None]
