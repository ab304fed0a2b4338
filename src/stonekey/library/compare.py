"""Compare the keys that a library already has with ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stonekey.keys import NO_KEY, ClassLabel, Key, non_key
from stonekey.library.harmony import move_between
from stonekey.library.result import Result, path_text
from stonekey.tags import TagError, read_key
from stonekey.text import reason

# Move -> relation (`stonekey.output.comparisons.RELATIONS`); any other move, or none, is "other".
_RELATIONS = {"same": "agree", "fifth-up": "fifth", "fifth-down": "fifth",
              "relative": "relative", "parallel": "parallel"}  # fmt: skip

ReadKey = Callable[[], Key | str | None]


@dataclass(frozen=True)
class Comparison:
    """One track: the key in its tags or library, ours, and how they are related.

    ``relation`` is one of `stonekey.output.comparisons.RELATIONS`, or says why there is none:
    "untagged", "not a key" (``theirs`` is text then), "no key" (none found by us) or "failed".
    """

    path: Path
    theirs: Key | str | None
    ours: ClassLabel | None
    confidence: float | None
    relation: str
    error: str | None = None

    def as_dict(self, notation: str = "musical") -> dict[str, Any]:
        """Fields for JSON and CSV, with keys in this notation (`stonekey.keys.NOTATIONS`)."""
        theirs, ours = self.theirs, self.ours
        return {
            "path": path_text(self.path),
            "tagged": theirs.format(notation) if isinstance(theirs, Key) else theirs,
            "key": ours and ours.format(notation),
            "confidence": self.confidence,
            "relation": self.relation,
            "fifths": theirs.fifths_distance(ours) if isinstance(theirs, Key) and ours else None,
            "error": self.error,
        }


def relation(theirs: Key, ours: ClassLabel) -> str:
    """How two keys are related; a signature agrees with either of its keys."""
    return _RELATIONS.get(move_between(theirs, ours) or "", "other")


def compare(path: Path, read: ReadKey, result: Result) -> Comparison:
    """Compare one track's own key with the result for it.

    Args:
        read: returns the track's own key, text that is not a key, or None.
    """
    try:
        theirs = read()
    except TagError as error:
        return Comparison(path, None, result.label, result.confidence, "failed", reason(error))
    ours = result.label
    if result.error is not None:
        kind = "failed"
    elif theirs is None:
        kind = "untagged"
    elif isinstance(theirs, str) and non_key(theirs) != NO_KEY:
        kind = "not a key"
    elif isinstance(theirs, str):  # "o", ID3's off key
        kind = "agree" if ours is None else "other"
    else:
        kind = NO_KEY if ours is None else relation(theirs, ours)
    return Comparison(path, theirs, ours, result.confidence, kind, result.error)


@dataclass(frozen=True)
class Own:
    """A track: its path, what gives its own key, and why it is missing if it is."""

    path: Path
    read: ReadKey
    missing: str | None = None


def own_keys(
    sources: Iterable[Path],
    extensions: Iterable[str] | None,
    on_error: Callable[[Path, OSError], None],
) -> Iterator[Own]:
    """The tracks of files, folders, playlists and libraries, in order.

    Their own keys are those in their tags; in a library of rekordbox or Traktor, those in it.
    ``on_error`` is called as by `stonekey.audio.find_audio_files`.
    """
    from stonekey.audio.files import find_audio_files
    from stonekey.audio.libraries import SUFFIXES, PlaylistError, read_library
    from stonekey.audio.playlists import MissingError, located
    from stonekey.library.programs import NOTATIONS, stored_key

    for source in sources:
        if source.suffix.lower() in SUFFIXES and not os.path.isdir(source):
            try:
                library = read_library(source)
            except PlaylistError as error:
                on_error(source, error)
                continue
            if library.kind in NOTATIONS:
                found = located(source, library.tracks)
                for problem in found.problems(source):
                    on_error(source, problem)
                for path, track in zip(found.entries, found.tracks, strict=True):
                    tried = found.missing.get(path)
                    why = reason(MissingError(path, tried)) if tried else None
                    yield Own(path, partial(stored_key, track), why)
                continue
        for path in find_audio_files([source], extensions, on_error):
            yield Own(path, partial(read_key, path))
