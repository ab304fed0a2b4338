"""Playlists: read, however their programs wrote them, and written as M3U.

>>> from stonekey.audio.playlists import read_playlist
>>> playlist = read_playlist("set.m3u8")
"""

from __future__ import annotations

import codecs
import errno
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stonekey.audio.libraries import MAX_ENTRIES, PlaylistError, Track, problems_of, read_library
from stonekey.audio.libraries import SUFFIXES as XML_SUFFIXES
from stonekey.audio.locations import Locator, is_url, url_path
from stonekey.text import address, is_address, shown

__all__ = [
    "Entry", "MissingError", "Playlist", "PlaylistError", "is_playlist", "read_playlist",
    "write_playlist",
]  # fmt: skip

SUFFIXES = (".m3u", ".m3u8", ".pls", *XML_SUFFIXES)
# A larger file is something else, such as a film; XML is read as a stream.
MAX_BYTES = 100_000_000
_LINE_END = re.compile(rb"[\r\n]+")
_PLS_LINE = re.compile(rb"(?i:(File)|Title)([0-9]{1,9})[ \t]*=[ \t]*(.+)")
# Seconds, perhaps attributes in quotes, then the title.
_EXTINF = re.compile(rb"(?i:#EXTINF):[^,\"]*(?:\"[^\"]*\"[^,\"]*)*,(.+)")
SHOWN = 5  # paths that the message about a missing file names
# Lists that cannot be read, by suffix or name in lower case.
UNSUPPORTED = {
    ".asx": "an ASX playlist",
    ".b4s": "a Winamp playlist (b4s)",
    ".crate": "a crate of Serato",
    ".cue": "a cue sheet",
    ".edb": "a database of rekordbox",
    ".fpl": "a playlist of foobar2000",
    ".itl": "the database of iTunes",
    ".musicdb": "the database of Music",
    ".pdb": "a database of rekordbox",
    ".vdjfolder": "a list of VirtualDJ",
    ".zpl": "a Zune playlist",
    "database v2": "the database of Serato",
    "m.db": "the database of Engine DJ",
    "master.db": "the database of rekordbox",
    "mixxxdb.sqlite": "the database of Mixxx",
}


class MissingError(PlaylistError):
    """An entry of a playlist whose file is not there; ``path`` is where it should be."""

    def __init__(self, path: Path, tried: tuple[str, ...]) -> None:
        why = os.strerror(errno.ENOENT)
        if len(tried) > 1:
            more = len(tried) - SHOWN
            why += f"; tried {', '.join(map(shown, tried[:SHOWN]))}"
            why += f" and {more} more" if more > 0 else ""
        super().__init__(path, why)


@dataclass(frozen=True)
class Playlist:
    """A playlist.

    Attributes:
        entries: files in the list's order, including missing ones and repetitions; absolute if
            the list's own path is.
        skipped: entries that are not files, such as web radio, with the reason.
        missing: the entries that were not found, with the paths tried.
        tracks: what the list says of each of ``entries``.
    """

    entries: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    missing: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    tracks: tuple[Track, ...] = ()

    def problems(self, path: Path) -> list[PlaylistError]:
        """``skipped`` as errors of the playlist at ``path``."""
        return [PlaylistError(path, f"{text}: {why}") for text, why in self.skipped]


@dataclass(frozen=True)
class Entry:
    """A line to write: a file, and its seconds and title if they are known."""

    path: Path
    seconds: float | None = None
    title: str | None = None


def is_playlist(path: str | os.PathLike[str]) -> bool:
    """Whether a path is named like a playlist or library, also of a kind that cannot be read."""
    return Path(path).suffix.lower() in SUFFIXES or _unsupported(Path(path)) is not None


def _unsupported(path: Path) -> str | None:
    return UNSUPPORTED.get(path.suffix.lower()) or UNSUPPORTED.get(path.name.lower())


def read_playlist(path: str | os.PathLike[str]) -> Playlist:
    """Read a playlist (M3U, PLS, XSPF, WPL) or a library (rekordbox, Traktor, iTunes XML).

    Entries are paths, relative ones from the playlist's folder, or file:// URLs. Names are
    UTF-8, or in another encoding where they are not valid in UTF-8 or no such file exists;
    backslashes, percent signs and decomposed accents are resolved where that finds the file. A
    name at the root of another drive or machine is looked for from the playlist's folder upward.

    Raises:
        PlaylistError: when it cannot be read or is no playlist of these kinds.
    """
    path = Path(path)
    if what := _unsupported(path):
        raise PlaylistError(path, f"{what}, which is not supported; export M3U or XML from there")
    is_xml = path.suffix.lower() in XML_SUFFIXES
    return located(path, read_library(path).ordered if is_xml else _listed(path))


def located(path: Path, tracks: Iterable[Track]) -> Playlist:
    """The files of the tracks of a list at ``path``."""
    locator = Locator(path.parent)
    found: list[tuple[Path, Track]] = []
    skipped: list[tuple[str, str]] = []
    missing: dict[Path, tuple[str, ...]] = {}
    for track in tracks:
        places = [url_path(place.encode("utf-8", "surrogateescape")) for place in track.places]
        problem = next((why for _, why in places if why), None)
        if problem or not places:
            text = track.location or track.title or "an entry"
            skipped.append((text, problem or "names no file"))
            continue
        name, tried = locator.find([place for place, _ in places])
        file = Path(name)
        if is_playlist(file):
            skipped.append((track.location, "a playlist inside a playlist"))
        elif os.path.isdir(name):  # "/" would be every file there is
            skipped.append((track.location, "a folder, not a file"))
        else:
            found.append((file, track))
            if tried:
                missing[file] = tried
    entries = tuple(file for file, _ in found)
    return Playlist(entries, tuple(skipped), missing, tuple(track for _, track in found))


def _listed(path: Path) -> list[Track]:
    """The entries of M3U or PLS."""
    with problems_of(path), path.open("rb") as stream:
        contents = stream.read(MAX_BYTES + 1)
    if len(contents) > MAX_BYTES:
        raise PlaylistError(path, "not a playlist")
    contents = _utf16_as_utf8(contents)
    if b"\0" in contents:
        raise PlaylistError(path, "not a playlist")
    lines = [line.strip(b" \t") for line in _LINE_END.split(contents.removeprefix(codecs.BOM_UTF8))]
    entries = list(_pls(lines) if path.suffix.lower() == ".pls" else _m3u(lines))
    if len(entries) > MAX_ENTRIES:
        raise PlaylistError(path, f"has {len(entries)} entries, more than {MAX_ENTRIES}")
    texts = [(file.decode("utf-8", "surrogateescape"), title) for file, title in entries]
    return [Track(text, (text,), _title(title)) for text, title in texts]


def _pls(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Files and titles of PLS."""
    found = [match for line in lines if (match := _PLS_LINE.fullmatch(line))]
    titles = {int(match[2]): match[3] for match in found if not match[1]}
    files = [(int(match[2]), match[3]) for match in found if match[1]]
    for number, file in sorted(files, key=lambda file: file[0]):
        yield file, titles.get(number, b"")


def _m3u(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Files and titles of M3U."""
    title = b""
    for line in lines:
        if found := _EXTINF.fullmatch(line):
            title = found[1]
        elif line and not line.startswith(b"#"):
            yield line, title
            title = b""


def _title(raw: bytes) -> str:
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace").strip()


def _utf16_as_utf8(contents: bytes) -> bytes:
    """The same text as UTF-8 when it is UTF-16, which may lack its mark; else ``contents``."""
    if contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif 4 * contents.count(0) >= len(contents) > 0:
        encodings = ["utf-16-le", "utf-16-be"]
    else:
        return contents
    for encoding in encodings:
        try:
            text = contents.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text[:1].isprintable() and "\0" not in text:
            return text.encode()
    return contents


def playlist_bytes(path: Path | None, entries: Iterable[Entry]) -> bytes:
    """The contents of a playlist at ``path``: UTF-8, in `.m3u` too.

    A file below the playlist's folder is written relative to it, any other as an absolute
    path; one that would not be read back so (a line end in its name) as a file:// URL. An
    address is written as it is. Without ``path``, as on standard output, all are absolute.
    """
    folder = None if path is None else os.path.join(os.path.abspath(path.parent), "")
    lines = [b"#EXTM3U"]
    for entry in entries:
        title = " ".join((entry.title or entry.path.stem).split())
        seconds = -1 if entry.seconds is None else round(entry.seconds)
        lines.append(f"#EXTINF:{seconds},".encode() + os.fsencode(title))
        lines.append(_line(entry.path, folder))
    return b"\n".join(lines) + b"\n"


def _line(path: Path, folder: str | None) -> bytes:
    if is_address(path):
        return address(path).encode("utf-8", "surrogateescape")
    file = os.path.abspath(path)
    raw = os.fsencode(file.removeprefix(folder) if folder else file)
    misread = raw != raw.strip(b" \t") or raw.startswith(b"#") or is_url(raw)
    if misread or b"\n" in raw or b"\r" in raw:
        return Path(file).as_uri().encode()
    return raw


def write_playlist(path: str | os.PathLike[str], entries: Iterable[Entry]) -> None:
    """Write a playlist, complete or not at all; an existing file is replaced.

    Raises:
        OSError: when it cannot be written.
    """
    from stonekey.files import write_atomically

    contents = playlist_bytes(Path(path), entries)
    write_atomically(Path(path), lambda temporary: temporary.write_bytes(contents))
