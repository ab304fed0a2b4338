"""Playlists, M3U and M3U8: read with the oddities of their writers, and written.

>>> from stonekey.audio.playlists import read_playlist
>>> playlist = read_playlist("set.m3u8")
"""

from __future__ import annotations

import codecs
import functools
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from stonekey.audio.errors import absence
from stonekey.text import reason, shown

SUFFIXES = (".m3u", ".m3u8")
# The longest lists hold some 100 000 entries; what is larger is a film of that name.
MAX_BYTES = 100_000_000
MAX_ENTRIES = 200_000
_ADDRESS = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]+):(?=//)|(?i:file|mailto|data|spotify):")


class PlaylistError(OSError):
    """A playlist, or an entry of it, that cannot be used: ``path``, and ``reason`` why."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class Playlist:
    """A playlist.

    Attributes:
        entries: files in the list's order, absolute where the list's own path is; also those
            that do not exist, and one twice that is named twice.
        skipped: entries that are no files, such as web radio, and why.
    """

    entries: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Entry:
    """A line to write: a file; seconds and a title where they are known."""

    path: Path
    seconds: float | None = None
    title: str | None = None


def is_playlist(path: str | os.PathLike[str]) -> bool:
    """Whether a path is named like a playlist."""
    return Path(path).suffix.lower() in SUFFIXES


def read_playlist(path: str | os.PathLike[str]) -> Playlist:
    """Read an M3U or M3U8 playlist.

    Entries are paths, relative ones from the playlist's folder, or file:// URLs. Names are
    UTF-8, or Latin-1 where they are not valid in UTF-8 or no such file exists; backslashes,
    percent signs and decomposed accents are resolved where that finds the file.

    Raises:
        PlaylistError: when it cannot be read or is no text.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise PlaylistError(path, "not a file")
        with path.open("rb") as stream:
            contents = stream.read(MAX_BYTES + 1)
    except PlaylistError:
        raise
    except FileNotFoundError as error:
        raise PlaylistError(path, absence(os.fspath(path))) from error
    except (OSError, ValueError) as error:
        raise PlaylistError(path, reason(error)) from error
    if len(contents) > MAX_BYTES or b"\0" in contents:
        raise PlaylistError(path, "not a playlist")
    lines = re.split(rb"[\r\n]+", contents.removeprefix(codecs.BOM_UTF8))
    named = [raw for line in lines if (raw := line.strip(b" \t")) and not raw.startswith(b"#")]
    if len(named) > MAX_ENTRIES:
        raise PlaylistError(path, f"has {len(named)} entries, more than {MAX_ENTRIES}")
    folder = os.fspath(path.parent)
    is_folder = functools.cache(os.path.isdir)  # where there is no folder, no file is looked for
    entries: list[Path] = []
    skipped: list[tuple[str, str]] = []
    for raw in named:
        text = raw.decode("utf-8", "replace")
        location, problem = _location(raw)
        if problem is not None:
            skipped.append((text, problem))
            continue
        found = _find(folder, location, is_folder)
        if is_playlist(found):
            skipped.append((text, "a playlist inside a playlist"))
        elif os.path.isdir(found):  # "/" would be every file there is
            skipped.append((text, "a folder, not a file"))
        else:
            entries.append(found)
    return Playlist(tuple(entries), tuple(skipped))


def _location(raw: bytes) -> tuple[bytes, str | None]:
    """The bytes of a path in a line, or why there is none."""
    address = _ADDRESS.match(raw)
    if address is None:
        return raw, None
    scheme = address[0].rstrip(b":").lower()
    if scheme != b"file":
        return b"", "an address, not a file"
    rest = raw[len(address[0]) :]
    if rest.startswith(b"//"):
        host, slash, rest = rest[2:].partition(b"/")
        if host.lower() not in (b"", b"localhost"):
            return b"", "a file on another machine"
        rest = slash + rest
    rest = unquote_to_bytes(rest)
    if os.name == "nt" and re.match(rb"/[A-Za-z]:", rest):
        rest = rest[1:]
    return rest, None


def _find(folder: str, raw: bytes, is_folder: Callable[[str], bool]) -> Path:
    """The file that a line means: the first reading that exists, else the first."""

    def exists(path: str) -> bool:
        return is_folder(os.path.dirname(path)) and os.path.lexists(path)

    first = os.path.join(folder, os.fsdecode(raw))
    if exists(first):
        return Path(first)
    others = (os.path.join(folder, name) for name in dict.fromkeys(_readings(raw)))
    return Path(next(filter(exists, others), first))


def _readings(raw: bytes) -> Iterator[str]:
    if raw.isascii() and b"%" not in raw and b"\\" not in raw:
        return  # there is one reading only
    spellings = [raw]
    if b"%" in raw:
        spellings.append(unquote_to_bytes(raw))
    for spelling in spellings:
        names = [os.fsdecode(spelling), spelling.decode("cp1252", "replace")]
        if os.name != "nt":
            names += [name.replace("\\", "/") for name in names if "\\" in name]
        for name in names:
            yield name
            for form in ("NFC", "NFD"):
                yield unicodedata.normalize(form, name)


def playlist_bytes(path: Path, entries: Iterable[Entry]) -> bytes:
    """The contents of a playlist at ``path``: UTF-8, in `.m3u` too.

    A file below the playlist's folder is written relative to it, any other as an absolute
    path; one that would not be read back so (a line end in its name) as a file:// URL.
    """
    folder = os.path.abspath(path.parent)
    lines = [b"#EXTM3U"]
    for entry in entries:
        file = os.path.abspath(entry.path)
        title = " ".join((entry.title or entry.path.stem).split())
        seconds = -1 if entry.seconds is None else round(entry.seconds)
        lines.append(f"#EXTINF:{seconds},".encode() + os.fsencode(title))
        lines.append(_line(file, folder))
    return b"\n".join(lines) + b"\n"


def _line(file: str, folder: str) -> bytes:
    raw = os.fsencode(file.removeprefix(os.path.join(folder, "")))
    misread = raw != raw.strip(b" \t") or raw.startswith(b"#") or _ADDRESS.match(raw)
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
