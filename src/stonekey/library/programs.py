"""Keys in the libraries of DJ programs: read, and written into a copy of the library.

>>> from stonekey.library.programs import export_keys
>>> outcomes = export_keys("collection.nml", "keyed.nml", read_results("keys.csv"))
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

from stonekey.audio.libraries import SUFFIXES, PlaylistError, Track, read_library
from stonekey.audio.playlists import MissingError, Playlist, located
from stonekey.audio.spelling import ByPath
from stonekey.files import replacing
from stonekey.keys import Key
from stonekey.library.answers import REPLACED, replaced
from stonekey.library.result import Result
from stonekey.text import reason

# Programs whose libraries take keys -> how they are spelled.
NOTATIONS = {"rekordbox": "short", "traktor": "openkey"}
_ATTRIBUTES = re.compile(rb"<[^\s/>]+((?:\s+[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/?>")
_ATTRIBUTE = re.compile(rb"([^\s=]+)\s*=\s*(\"[^\"]*\"|'[^']*')")


@dataclass(frozen=True)
class Outcome:
    """The outcome for one track of a library.

    Attributes:
        location: where the library says that its file is.
        existing: the key in the library; None if there was none.
        key: the key found; None if there is none.
        action: "written"; "kept" (nothing to change, or an existing key stays); "unsure" (below
            the confidence asked for); "no key"; "failed".
        differs: whether the existing key is another one than the key found.
        error: reason for the failure.
    """

    location: str
    existing: str | None
    key: Key | None
    action: str
    differs: bool = False
    error: str | None = None


def stored_keys(track: Track) -> dict[str, Key | None]:
    """The key that each text in a library means, by text; None for text that is not a key."""
    found: dict[str, Key | None] = {}
    for field, text in sorted(track.keys.items()):  # VALUE last, wherever it stands
        try:
            if field == "VALUE":  # of MUSICAL_KEY: 0 to 11 are major keys from C, 12 to 23 minor
                key = Key.from_index(int(text))
                found.setdefault(str(key), key)
            else:
                found[text] = Key.parse(text)
        except ValueError:
            found[text] = None
    return found


def stored_key(track: Track) -> Key | str | None:
    """The key that a library shows for a track: Traktor's own analysis before other text.

    Text that is not a key is returned as it is.
    """
    text, key = next(reversed(stored_keys(track).items()), (None, None))
    return key or text


def export_keys(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    results: Iterable[Result],
    *,
    notation: str | None = None,
    min_confidence: float = 0.0,
    overwrite: bool = False,
) -> list[Outcome]:
    """Write a copy of a library of rekordbox or Traktor with our keys in it.

    Everything else in it stays as it is, byte for byte. Files are found as in `read_playlist`.

    Args:
        source: the library, which is only read.
        output: the copy; an existing file is replaced.
        results: results of ``stonekey scan`` (`stonekey.library.read_results`).
        notation: how keys are written; None for `NOTATIONS`.
        min_confidence: write no key below this confidence, 0 to 1.
        overwrite: replace existing keys that differ.

    Raises:
        PlaylistError: the library cannot be read, or is of a kind that takes no keys.
        OSError: the copy cannot be written.
    """
    source = Path(source)
    if source.suffix.lower() not in SUFFIXES:
        raise PlaylistError(source, "not a library of rekordbox (.xml) or Traktor (.nml)")
    library = read_library(source)
    if library.kind not in NOTATIONS:
        raise PlaylistError(source, f"files of this kind ({library.kind}) take no keys")
    known = ByPath((result.path, result) for result in results)
    found = located(source, library.tracks)
    outcomes = [Outcome(text, None, None, "failed", error=why) for text, why in found.skipped]
    wanted: list[tuple[Track, Key]] = []
    for path, track in zip(found.entries, found.tracks, strict=True):
        outcome = _outcome(path, track, found, known, min_confidence, overwrite)
        outcomes.append(outcome)
        if outcome.action == "written" and outcome.key:
            wanted.append((track, outcome.key))
    _copy(source, Path(output), wanted, notation or NOTATIONS[library.kind])
    return outcomes


def _outcome(
    path: Path,
    track: Track,
    found: Playlist,
    known: ByPath[Result],
    min_confidence: float,
    overwrite: bool,
) -> Outcome:
    stored = stored_keys(track)
    existing, keys = next(reversed(stored), None), stored.values()

    def outcome(action: str, key: Key | None = None, error: str | None = None) -> Outcome:
        return Outcome(track.location, existing, key, action, error=error)

    absolute = os.path.abspath(path)
    result = known.get(Path(absolute)) or known.get(Path(os.path.realpath(absolute)))
    if result is None:
        tried = found.missing.get(path)
        error = reason(MissingError(path, tried)) if tried else "not among the results"
        return outcome("failed", error=error)
    if result.error is not None:
        return outcome("failed", error=result.error)
    if replaced(result):
        return outcome("failed", error=REPLACED)
    key = result.label
    if key is None:
        return outcome("no key")
    if not isinstance(key, Key):
        return outcome("failed", error="the results give its key signature, not its key")
    if (result.confidence or 0.0) < min_confidence:
        return outcome("unsure", key)
    differs = any(one != key for one in keys)
    if keys and not (differs and overwrite):
        return replace(outcome("kept", key), differs=differs)
    return replace(outcome("written", key), differs=differs)


def _copy(source: Path, output: Path, wanted: list[tuple[Track, Key]], notation: str) -> None:
    with (
        source.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as contents,
        replacing(output) as temporary,
        temporary.open("wb") as copy,
    ):
        if b"\0" in contents[:4]:
            raise PlaylistError(source, "keys cannot be written into UTF-16; save it as UTF-8")
        written = 0
        for track, key in wanted:
            for start, end, data in _edits(source, contents, track, key, notation):
                copy.write(contents[written:start] + data)
                written = end
        while block := contents[written : written + (1 << 20)]:
            copy.write(block)
            written += len(block)


Edit = tuple[int, int, bytes]


def _edits(source: Path, contents: mmap.mmap, track: Track, key: Key, notation: str) -> list[Edit]:
    """The edits for a track, in order: start, end and the new bytes."""
    fields = {
        "TRACK": ("Tonality", key.format(notation)),
        "INFO": ("KEY", key.format(notation)),
        "MUSICAL_KEY": ("VALUE", str(key.index)),
    }
    edits = [
        _with_attribute(source, contents, offset, *fields[name])
        for name, offset in track.tags.items()
        if name in fields
    ]
    if "next" in track.tags and "MUSICAL_KEY" not in track.tags:
        place = track.tags["next"]
        edits.append((place, place, b'<MUSICAL_KEY VALUE="%d"></MUSICAL_KEY>\n' % key.index))
    return sorted(edits)


def _with_attribute(source: Path, contents: mmap.mmap, offset: int, name: str, value: str) -> Edit:
    tag = _ATTRIBUTES.match(contents, offset)
    if tag is None:
        raise PlaylistError(source, "changed while it was read")
    quoted = quoteattr(value).encode()
    for found in _ATTRIBUTE.finditer(contents, *tag.span(1)):
        if found[1] == name.encode():
            return (*found.span(2), quoted)
    return tag.end(1), tag.end(1), b" " + name.encode() + b"=" + quoted
