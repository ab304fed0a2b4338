"""Tracks in the XML of DJ programs and players: rekordbox, Traktor, iTunes (Music), XSPF, WPL.

Files are read as a stream. Entities are refused, and nothing outside the file is ever opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from xml.parsers import expat

from stonekey.audio.errors import absence
from stonekey.text import one_line, reason, shown

MAX_ENTRIES = 200_000
_BLOCK = 1 << 20
# Longer than any start tag or text in these formats; anything longer would slow the parser down.
_MAX_TOKEN = 16 << 20
_MAX_TEXT = 1 << 16
_MAX_DEPTH = 100


class PlaylistError(OSError):
    """A playlist or one of its entries, ``path``, cannot be used; ``reason`` says why."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class Track:
    """A track of a library.

    Attributes:
        location: where its file is, as the library writes it; "" when it names none.
        places: paths or URLs to look for it at, the likeliest first.
        title: artist and title, as far as they are known.
        keys: the texts of its key by field (``Tonality``, ``KEY``, ``VALUE``).
        tags: byte offsets in the file: of each start tag that can hold a key, by name; of what
            follows the place for another such element, as "next".
    """

    location: str
    places: tuple[str, ...]
    title: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Library:
    """A library.

    Attributes:
        kind: which program's it is (`READERS`).
        tracks: its collection, in the order of the file.
        ordered: the same in the order of the one playlist in it, if that holds all of them, as
            when a program exports a playlist; else ``tracks``.
    """

    kind: str
    tracks: tuple[Track, ...]
    ordered: tuple[Track, ...]


class _Reader:
    """Collects the tracks of one format; the methods follow the parser."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._ids: list[str] = []
        self._lists: list[list[str]] = [[]]

    def start(self, path: list[str], attributes: dict[str, str], offset: int) -> None:
        """An element starts: the names of those around it, and its own."""

    def end(self, path: list[str], text: str, offset: int) -> None:
        """An element ends, which had this text directly before its end."""

    def add(self, location: str, *places: str, id: str = "", **more: Any) -> None:
        """Add a track of the collection, which playlists call ``id``."""
        self.tracks.append(Track(location, places or (location,) * bool(location), **more))
        self._ids.append(id)

    def begin_list(self) -> None:
        """A playlist begins. Only whether there are none, one or several with tracks matters."""
        if self._lists[-1] and len(self._lists) < 3:
            self._lists.append([])

    def in_list(self, id: str) -> None:
        """Add a track to the playlist."""
        if len(self._lists) < 3:
            self._lists[-1].append(id)

    def ordered(self) -> tuple[Track, ...]:
        """See `Library`."""
        lists = [one for one in self._lists if one]
        if len(lists) != 1 or set(lists[0]) != set(self._ids) or len(lists[0]) > MAX_ENTRIES:
            return tuple(self.tracks)
        tracks = dict(zip(self._ids, self.tracks, strict=True))
        return tuple(tracks[id] for id in lists[0])


class _Rekordbox(_Reader):
    """``DJ_PLAYLISTS/COLLECTION/TRACK``; https://rekordbox.com/en/support/developer/."""

    def start(self, path: list[str], attributes: dict[str, str], offset: int) -> None:
        if path[1:2] == ["PLAYLISTS"]:
            if path[-1] == "NODE":
                self.begin_list()
            elif path[-1] == "TRACK":
                self.in_list(attributes.get("Key", ""))
        if path[1:] != ["COLLECTION", "TRACK"]:
            return
        key = attributes.get("Tonality", "")
        self.add(
            attributes.get("Location", ""),
            id=attributes.get("TrackID", ""),
            title=_title(attributes.get("Artist"), attributes.get("Name")),
            keys={"Tonality": key} if key else {},
            tags={"TRACK": offset},
        )


class _Traktor(_Reader):
    """``NML/COLLECTION/ENTRY``, with the place in ``LOCATION`` and a key in two elements."""

    fields: ClassVar = {"INFO": "KEY", "MUSICAL_KEY": "VALUE"}
    # What stands before MUSICAL_KEY in an entry.
    before: ClassVar = ("LOCATION", "ALBUM", "MODIFICATION_INFO", "INFO", "TEMPO", "LOUDNESS")

    def start(self, path: list[str], attributes: dict[str, str], offset: int) -> None:
        if path[1:2] == ["PLAYLISTS"]:
            if path[-1] == "PLAYLIST":
                self.begin_list()
            elif path[-1] == "PRIMARYKEY":
                self.in_list(attributes.get("KEY", ""))
        if path[1:3] != ["COLLECTION", "ENTRY"]:
            return
        if len(path) == 3:
            self._title = _title(attributes.get("ARTIST"), attributes.get("TITLE"))
            self._place: dict[str, str] = {}
            self._keys: dict[str, str] = {}
            self._tags: dict[str, int] = {}
        elif len(path) == 4:
            name = path[3]
            if name not in self.before:
                self._tags.setdefault("next", offset)
            if name == "LOCATION":
                self._place = self._place or attributes
            elif name in self.fields and name not in self._tags:  # the first one counts
                self._tags[name] = offset
                if key := attributes.get(self.fields[name]):
                    self._keys[self.fields[name]] = key

    def end(self, path: list[str], text: str, offset: int) -> None:
        if path[1:] != ["COLLECTION", "ENTRY"]:
            return
        self._tags.setdefault("next", offset)
        volume, name = self._place.get("VOLUME", ""), self._place.get("FILE", "")
        written = self._place.get("DIR", "")
        below = f"{written.replace('/:', '/')}{name}"
        if re.fullmatch("[A-Za-z]:", volume):
            places = [volume + below]
        else:  # a Mac names its own disk too, and mounts the others
            places = [f"/Volumes/{volume}{below}", below] if volume else [below]
        more: dict[str, Any] = {"title": self._title, "keys": self._keys, "tags": self._tags}
        location = f"{volume}{written}{name}" if name else ""
        self.add(location, *places if name else (), id=location, **more)


class _Plist(_Reader):
    """A property list with a dictionary ``Tracks``, as iTunes and Music export it."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[int, str] = {}  # the newest key of each dictionary, by depth
        self._track: dict[str, str] = {}

    def end(self, path: list[str], text: str, offset: int) -> None:
        depth = len(path)
        if path[-1] == "key":
            self._names[depth] = text
        elif path[1:4] == ["dict"] * 3 and self._names.get(3) == "Tracks":
            if depth == 5:
                self._track[self._names.get(5, "")] = text
            elif depth == 4:
                title = _title(self._track.get("Artist"), self._track.get("Name"))
                id = self._track.get("Track ID", "")
                self.add(self._track.get("Location", ""), title=title, id=id)
                self._track = {}
        elif path[1:5] == ["dict", "array", "dict", "array"]:  # Playlists, and one's items
            if depth == 5:
                self.begin_list()
            elif depth == 7 and self._names.get(7) == "Track ID":
                self.in_list(text)


class _Xspf(_Reader):
    """``playlist/trackList/track``, whose first ``location`` counts; https://xspf.org/spec."""

    def __init__(self) -> None:
        super().__init__()
        self._track: dict[str, str] = {}

    def end(self, path: list[str], text: str, offset: int) -> None:
        if path[1:3] != ["trackList", "track"]:
            return
        if len(path) == 4:
            self._track.setdefault(path[3], text.strip())
        elif len(path) == 3:
            title = _title(self._track.get("creator"), self._track.get("title"))
            self.add(self._track.get("location", ""), title=title)
            self._track = {}


class _Wpl(_Reader):
    """``smil/body/seq/media``, the playlists of Windows Media Player."""

    def start(self, path: list[str], attributes: dict[str, str], offset: int) -> None:
        if path[-1] == "media":
            self.add(attributes.get("src", ""))


def _title(artist: str | None, title: str | None) -> str:
    return " - ".join(part for part in (artist, title) if part)


# Root element -> name of the format and its reader.
READERS: dict[str, tuple[str, type[_Reader]]] = {
    "DJ_PLAYLISTS": ("rekordbox", _Rekordbox),
    "NML": ("traktor", _Traktor),
    "plist": ("itunes", _Plist),
    "playlist": ("xspf", _Xspf),
    "smil": ("wpl", _Wpl),
}
# Root elements of files that stonekey knows and cannot read.
_UNSUPPORTED = {
    "VirtualDJ_Database": "the database of VirtualDJ",
    "rss": "a feed",
    "asx": "an ASX playlist",
}


class _Parser:
    """Feeds a reader from the parser, and refuses what could do harm."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = ""
        self.reader = _Reader()
        self._names: list[str] = []
        self._text: list[str] = []
        self._length = 0
        parser = self.parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = self._entity

    def _refuse(self, why: str) -> PlaylistError:
        return PlaylistError(self.path, why)

    def _entity(self, *_: object) -> None:
        raise self._refuse("not read: it declares XML entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._names:
            root = name.rpartition(":")[2]
            if root not in READERS:
                what = _UNSUPPORTED.get(root, f"XML of another kind (<{one_line(root)[:40]}>)")
                raise self._refuse(f"{what}, which is not supported")
            self.kind, reader = READERS[root]
            self.reader = reader()
        if len(self._names) >= _MAX_DEPTH:
            raise self._refuse("not a library: nested too deeply")
        self._names.append(name.rpartition(":")[2])
        self._text, self._length = [], 0
        self.reader.start(self._names, attributes, self.parser.CurrentByteIndex)

    def _end(self, name: str) -> None:
        self.reader.end(self._names, "".join(self._text), self.parser.CurrentByteIndex)
        self._names.pop()
        self._text, self._length = [], 0
        if len(self.reader.tracks) > MAX_ENTRIES:
            raise self._refuse(f"has more than {MAX_ENTRIES} entries")

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length > _MAX_TEXT:
            raise self._refuse("not a library: a text in it is too long")
        self._text.append(text)

    def feed(self, block: bytes, fed: int) -> None:
        self.parser.Parse(block, False)
        if fed - self.parser.CurrentByteIndex > _MAX_TOKEN:
            raise self._refuse("not a library: an element in it is too long")


def read_library(path: Path) -> Library:
    """Read one of these files (`READERS`); tracks without a file are among its tracks.

    Raises:
        PlaylistError: when it cannot be read, is damaged, or is XML of another kind.
    """
    parser = _Parser(path)
    with problems_of(path), path.open("rb") as stream:
        fed = 0
        try:
            while block := stream.read(_BLOCK):
                fed += len(block)
                parser.feed(block, fed)
            parser.parser.Parse(b"", True)
        except expat.ExpatError as error:
            why = expat.errors.messages[error.code]
            raise PlaylistError(path, f"damaged XML (line {error.lineno}: {why})") from error
        except LookupError as error:
            if type(error) is LookupError:  # the parser's; others would be faults of a reader
                raise PlaylistError(path, one_line(str(error))) from error
            raise
    return Library(parser.kind, tuple(parser.reader.tracks), parser.reader.ordered())


@contextmanager
def problems_of(path: Path) -> Iterator[None]:
    """Turn errors of the system into a `PlaylistError`; refuse what is not a file.

    A pipe is not opened, which would wait for its writer.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PlaylistError(path, "not a file")
        yield
    except PlaylistError:
        raise
    except FileNotFoundError as error:
        raise PlaylistError(path, absence(os.fspath(path))) from error
    except (OSError, ValueError) as error:
        raise PlaylistError(path, reason(error)) from error


SUFFIXES = (".xml", ".nml", ".xspf", ".wpl")
