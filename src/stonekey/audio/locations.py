"""Find the files that playlists and libraries name, as written on this machine or another.

A name may be relative or a file:// URL, in another encoding or form of Unicode, with backslashes
or percent signs. A file on another drive or machine is looked for from the list's folder upward.
"""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from stonekey.text import bytes_of, path_of

_ADDRESS = re.compile(
    rb"([A-Za-z][A-Za-z0-9+.-]+):(?=//)|(?i:file|mailto|data|spotify|soundcloud|beatport|tidal):"
)
# Tried for a name that is not UTF-8: Western ones first.
_ENCODINGS = (
    "cp1252", "mac_roman", "cp1250", "cp1251", "cp1253", "cp1254", "cp932", "gb18030", "cp949",
    "big5", "cp437", "cp850", "cp866", "koi8_r",
)  # fmt: skip
# A drive, a share or a mount point; the rest of the path may exist on another drive here.
_ROOT = re.compile(
    r"(?:[A-Za-z]:|//[^/]+/[^/]+(?=/)|/Volumes/[^/]+|/(?:run/)?media/[^/]+/[^/]+|/mnt/[^/]+)?/+(.+)",
    re.DOTALL,
)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_HOME = re.compile(r"(?:Users|home|Documents and Settings)/[^/]+/(.+)", re.DOTALL)


def is_url(raw: bytes) -> bool:
    """Whether text reads as a URL and not as a path."""
    return _ADDRESS.match(raw) is not None


def url_path(raw: bytes) -> tuple[bytes, str | None]:
    """The bytes of the path in an entry, which may be a file:// URL, or why there is none."""
    address = _ADDRESS.match(raw)
    if address is None:
        return raw, None
    if address[0].rstrip(b":").lower() != b"file":
        return b"", "an address, not a file"
    rest = raw[len(address[0]) :]
    if rest.startswith(b"//"):
        host, slash, rest = rest[2:].partition(b"/")
        if b":" in host or not slash:  # "file://localhostspotify:track:..."
            return b"", "an address, not a file"
        rest = slash + rest
        if host.lower() not in (b"", b"localhost"):
            rest = b"//" + host + rest
    rest = unquote_to_bytes(rest)
    if re.match(rb"/[A-Za-z]:/", rest):
        rest = rest[1:]
    return rest, None


class Locator:
    """Finds the files that one list names; caches which folders exist.

    Args:
        folder: where relative names start: the list's own folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = "" if folder == Path() else os.fspath(folder)
        # No file is looked for in a folder that does not exist.
        self._is_folder = functools.cache(os.path.isdir)
        above = Path(os.path.abspath(folder))
        self._parents = [os.path.join(parent, "") for parent in (above, *above.parents)]

    def find(self, names: Sequence[bytes]) -> tuple[str, tuple[str, ...]]:
        """The file that an entry means, and the paths tried if it was not found.

        Args:
            names: its possible paths, the likeliest first.
        """
        tried: list[str] = []
        seen: set[str] = set()
        for place in self._places(names):
            if place in seen:
                continue
            seen.add(place)
            path = os.path.join(self._folder, place)
            if self._exists(path):
                return path, ()
            # On another system than Windows, a drive's name is not below the folder.
            tried.append(place if _DRIVE.match(place) else path)
            for name in _readings(bytes_of(place)):
                path = os.path.join(self._folder, name)
                if self._exists(path):
                    return path, ()
        return os.path.join(self._folder, tried[0]), tuple(tried)

    def _exists(self, path: str) -> bool:
        return self._is_folder(os.path.dirname(path) or ".") and os.path.lexists(path)

    def _places(self, names: Sequence[bytes]) -> Iterator[str]:
        """The names, then those that start at a root as if it were one of the folders above."""
        texts = [path_of(name) for name in names]
        yield from texts
        for text in texts:
            if _DRIVE.match(text) or text.startswith("\\"):
                text = text.replace("\\", "/")
            found = _ROOT.fullmatch(text)
            tails = [found[1]] if found else []
            if found and (home := _HOME.fullmatch(found[1])):
                tails.append(home[1])
            for parent in self._parents if tails else ():
                for tail in tails:
                    yield parent + tail


def _readings(raw: bytes) -> Iterator[str]:
    if raw.isascii() and b"%" not in raw and b"\\" not in raw:
        return  # there is one reading only
    spellings = [raw]
    if b"%" in raw:
        spellings.append(unquote_to_bytes(raw))
    for spelling in spellings:
        names = [path_of(spelling)]
        if not spelling.isascii():
            names.append(spelling.decode("cp1252", "replace"))
            names += _in_other_encodings(spelling)
        if os.name != "nt":
            names += [name.replace("\\", "/") for name in names if "\\" in name]
        for name in names:
            yield name
            for form in ("NFC", "NFD"):
                yield unicodedata.normalize(form, name)


def _in_other_encodings(raw: bytes) -> list[str]:
    try:
        raw.decode("utf-8")
        return []  # no other encoding looks like it by chance
    except UnicodeDecodeError:
        pass
    names = []
    for encoding in _ENCODINGS:
        try:
            names.append(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    return names
