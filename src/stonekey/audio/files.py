"""Find the audio files in folders and playlists."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stonekey.audio.libraries import PlaylistError
from stonekey.audio.playlists import MissingError, is_playlist, read_playlist
from stonekey.text import reason, shown

logger = logging.getLogger(__name__)

AUDIO_EXTENSIONS = frozenset([
    "aac", "ac3", "aif", "aifc", "aiff", "alac", "amr", "ape", "au", "caf", "dts", "eac3", "flac",
    "m4a", "m4b", "m4r", "mka", "mp2", "mp3", "mpc", "oga", "ogg", "opus", "ra", "rf64", "snd",
    "spx", "tta", "w64", "wav", "wave", "wma", "wv",
])  # fmt: skip
VIDEO_EXTENSIONS = frozenset([
    "3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv",
    "ts", "vob", "webm", "wmv",
])  # fmt: skip

# Folders in which systems and servers keep what is deleted or their own, in lower case.
NOT_MUSIC = frozenset(
    ["$recycle.bin", "#recycle", "@eadir", "__macosx", "system volume information"]
)

PathLike = str | os.PathLike[str]


def listing_problem(error: OSError) -> str:
    """The message for an error that `find_audio_files` reports about a folder or playlist."""
    if isinstance(error, PlaylistError):
        return reason(error)
    return f"cannot be listed: {reason(error)}"


def _log_error(folder: Path, error: OSError) -> None:
    logger.warning("%s: %s", shown(folder), listing_problem(error))


def find_audio_files(
    paths: PathLike | Iterable[PathLike],
    extensions: str | Iterable[str] | None = None,
    on_error: Callable[[Path, OSError], None] = _log_error,
    on_repeat: Callable[[Path], object] = lambda path: None,
) -> list[Path]:
    """Return the audio files named by ``paths``, in that order, each path once.

    Args:
        paths: files, kept whatever their extension (a missing one too: decoding will say so);
            playlists and libraries (`stonekey.audio.playlists`), which stand for their entries
            in their order; and folders, searched to any depth, whose files are sorted. Hidden
            files and folders inside them, `NOT_MUSIC` and playlists are left out. Links are
            followed, but not to a folder above, and each real folder and file is listed once.
        extensions: the endings to look for in folders, with or without the dot, in any case
            (default: every known one of audio and video).
        on_error: called with a path and the error (`listing_problem` words it): a folder that
            cannot be listed, a playlist that cannot be read or has an entry that is not a file,
            or a missing entry. The search goes on. By default, logs a warning.
        on_repeat: called with a link that leads to a file already in the list.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    if isinstance(extensions, str):
        extensions = [extensions]
    wanted = (
        AUDIO_EXTENSIONS | VIDEO_EXTENSIONS
        if extensions is None
        else frozenset(extension.lower().lstrip(".") for extension in extensions)
    )
    given = list(dict.fromkeys(expanded(map(Path, paths), on_error)))
    # os.path.isdir, because Path.is_dir raises for a name that is too long.
    search = _Search(wanted, filter(os.path.isdir, given), on_error, on_repeat)
    files = (file for path in given for file in search.found.get(path, [path]))
    return list(dict.fromkeys(files))


def expanded(
    paths: Iterable[Path],
    on_error: Callable[[Path, OSError], None],
    titles: dict[Path, str] | None = None,
) -> Iterator[Path]:
    """The paths in their order, playlists replaced by those of their entries that exist.

    Args:
        titles: filled with the titles that the playlists give, by absolute path.
    """
    titles = {} if titles is None else titles
    for path in paths:
        if not is_playlist(path) or os.path.isdir(path):
            yield path
            continue
        try:
            playlist = read_playlist(path)
        except PlaylistError as error:
            on_error(path, error)
            continue
        for problem in playlist.problems(path):
            on_error(path, problem)
        for entry, track in zip(playlist.entries, playlist.tracks, strict=True):
            if track.title:
                titles.setdefault(Path(os.path.abspath(entry)), track.title)
            if tried := playlist.missing.get(entry):
                on_error(entry, MissingError(entry, tried))
            else:
                yield entry


@dataclass(frozen=True)
class _Folder:
    """A folder to list.

    Attributes:
        path: its path as named, and ``real`` without links.
        given: the folder among the paths given that led to it.
        inside: real paths of that folder and of links on the way.
    """

    path: Path
    real: str
    given: Path
    inside: tuple[str, ...]


class _Search:
    """The files under ``folders``: ``found`` has those of each, sorted."""

    def __init__(
        self,
        wanted: frozenset[str],
        folders: Iterable[Path],
        on_error: Callable[[Path, OSError], None],
        on_repeat: Callable[[Path], object],
    ) -> None:
        self.found: dict[Path, list[Path]] = {folder: [] for folder in folders}
        self._wanted = wanted
        self._on_error = on_error
        self._seen: set[tuple[int, int]] = set()
        self._real_files: set[str] = set()
        # Links come last, so that a folder or file is named by its own path if that is found.
        self._folder_links: list[_Folder] = []
        self._file_links: list[tuple[Path, Path]] = []
        queue = [self._root(folder, folder, ()) for folder in reversed(self.found)]
        while queue or self._folder_links:
            folder = queue.pop() if queue else self._folder_links.pop(0)
            queue += reversed(self._listed(folder))
        for link, given in self._file_links:
            real = os.path.realpath(link)
            if real in self._real_files:
                on_repeat(link)
            else:
                self._real_files.add(real)
                self.found[given].append(link)
        for files in self.found.values():
            files.sort(key=os.fsencode)

    def _root(self, path: Path, given: Path, inside: tuple[str, ...]) -> _Folder:
        real = os.path.realpath(path)
        return _Folder(path, real, given, (*inside, real))

    def _listed(self, folder: _Folder) -> list[_Folder]:
        """Collect the files of a folder; returns its subfolders, without links."""
        below: list[_Folder] = []
        try:
            status = folder.path.stat()
            if (status.st_dev, status.st_ino) in self._seen:
                return below
            self._seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder.path) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self._on_error(folder.path, error)
            return below
        for entry in entries:
            if entry.name.startswith("."):  # also what macOS keeps beside files: ._song.mp3
                continue
            if entry.name.lower() in NOT_MUSIC:
                continue
            path = folder.path / entry.name
            real = os.path.join(folder.real, entry.name)
            try:
                if entry.is_dir():
                    if not entry.is_symlink():
                        below.append(_Folder(path, real, folder.given, folder.inside))
                        continue
                    link = self._root(path, folder.given, folder.inside)
                    if not any(_contains(link.real, inner) for inner in folder.inside):
                        self._folder_links.append(link)
                elif Path(entry.name).suffix.lower()[1:] in self._wanted and entry.is_file():
                    if entry.is_symlink():
                        self._file_links.append((path, folder.given))
                    else:
                        self._real_files.add(real)
                        self.found[folder.given].append(path)
            except OSError as error:  # a link that leads to itself
                self._on_error(path, error)
        return below


def _contains(folder: str, other: str) -> bool:
    return other == folder or other.startswith(os.path.join(folder, ""))
