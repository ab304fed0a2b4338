"""One file under several names: some systems do not tell forms of Unicode or letters' case apart.

macOS finds a file by ``é`` in one character or in two, whichever its folder lists; macOS and
Windows find ``Song.mp3`` as ``song.mp3``. Names in playlists, tags and results may be spelt either
way.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from stonekey.text import is_address

V = TypeVar("V")

# Whether this system may find a file by a name that its folder does not list.
LOOSE = sys.platform in ("darwin", "win32")


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _likeness(path: str | os.PathLike[str]) -> str:
    """The same for all spellings of a path."""
    return _composed(_composed(os.fspath(path)).casefold())


class ByPath(Generic[V]):
    """Values by path, found by any spelling of it that leads to the same file.

    Of files that are not there, the forms of Unicode are taken for the same, and no others.
    """

    def __init__(self, items: Iterable[tuple[Path, V]]) -> None:
        self._values = dict(items)
        self._alike: dict[str, list[Path]] = {}

    def get(self, path: Path) -> V | None:
        """The value of a path, or None."""
        if path in self._values:
            return self._values[path]
        if not self._alike:  # only now: most paths are found as they are
            for other in self._values:
                self._alike.setdefault(_likeness(other), []).append(other)
        alike = self._alike.get(_likeness(path), ())
        return next((self._values[other] for other in alike if _same(path, other)), None)


def _same(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):
        return _composed(os.fspath(path)) == _composed(os.fspath(other))


class AsGiven:
    """Names absolute paths as somebody named the folders that they are in.

    Relatively where those are relative. Of a list of files, its folder counts.
    """

    def __init__(self, sources: Iterable[Path]) -> None:
        self._given: dict[Path, Path] = {}
        for source in sources:
            if not (source.is_absolute() or is_address(source) or source.parts[:1] == ("~",)):
                folder = source.parent if os.path.isfile(source) else source
                self._given[Path(os.path.abspath(source))] = source
                self._given.setdefault(Path(os.path.abspath(folder)), folder)

    def __call__(self, path: Path) -> Path:
        """The name of a path."""
        for folder in (path, *path.parents):
            if folder in self._given:
                return self._given[folder] / path.relative_to(folder)
        return path


class AsListed:
    """Gives absolute paths the spelling of the folders on the way, each of which is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}
        self._names: dict[Path, dict[str, list[str]]] = {}

    def __call__(self, path: Path) -> Path:
        """The path; as it is where the system tells spellings apart, or it is not there."""
        return self._file(path) if LOOSE else path

    def _file(self, path: Path) -> Path:
        if path.parent == path:
            return path
        folder = self._folders.get(path.parent)
        if folder is None:
            folder = self._folders[path.parent] = self._file(path.parent)
        alike = self._listed(folder).get(_likeness(path.name), [])
        if path.name not in alike:
            for name in alike:
                if _same(path, folder / name):
                    return folder / name
        return folder / path.name

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names = self._names[folder] = {}
            for name in _names_in(folder):
                names.setdefault(_likeness(name), []).append(name)
        return self._names[folder]


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
