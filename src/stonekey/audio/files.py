"""Find the audio files in folders and playlists."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stonekey.audio.playlists import PlaylistError, is_playlist, read_playlist
from stonekey.text import reason, shown

logger = logging.getLogger(__name__)

AUDIO_EXTENSIONS = frozenset(
    [
        "aac",
        "ac3",
        "aif",
        "aifc",
        "aiff",
        "alac",
        "amr",
        "ape",
        "au",
        "caf",
        "dts",
        "eac3",
        "flac",
        "m4a",
        "m4b",
        "m4r",
        "mka",
        "mp2",
        "mp3",
        "mpc",
        "oga",
        "ogg",
        "opus",
        "ra",
        "rf64",
        "snd",
        "spx",
        "tta",
        "w64",
        "wav",
        "wave",
        "wma",
        "wv",
    ]
)
VIDEO_EXTENSIONS = frozenset(
    [
        "3gp",
        "asf",
        "avi",
        "flv",
        "m2ts",
        "m4v",
        "mkv",
        "mov",
        "mp4",
        "mpeg",
        "mpg",
        "mts",
        "ogv",
        "ts",
        "vob",
        "webm",
        "wmv",
    ]
)

PathLike = str | os.PathLike[str]


def listing_problem(error: OSError) -> str:
    """What to say of a folder or playlist for which `find_audio_files` reports this error."""
    if isinstance(error, PlaylistError):
        return reason(error)
    return f"cannot be listed: {reason(error)}"


def _log_error(folder: Path, error: OSError) -> None:
    logger.warning("%s: %s", shown(folder), listing_problem(error))


def find_audio_files(
    paths: PathLike | Iterable[PathLike],
    extensions: str | Iterable[str] | None = None,
    on_error: Callable[[Path, OSError], None] = _log_error,
) -> list[Path]:
    """Return the audio files named by ``paths``, sorted, each path once.

    Args:
        paths: files, kept whatever their extension (a missing one too: decoding will say so);
            playlists (.m3u, .m3u8), which stand for their entries; and folders, searched to any
            depth. Hidden files and folders inside them, and playlists, are left out; links are
            followed, each real folder being listed once.
        extensions: the endings to look for in folders, with or without the dot, in any case
            (default: every known one of audio and video).
        on_error: called with a folder that cannot be listed, or a playlist that cannot be read
            or an entry of which is no file, and the error (`listing_problem` words it); the
            search goes on. By default it is logged as a warning.
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
    found: set[Path] = set()
    folders: list[Path] = []
    for path in expanded(map(Path, paths), on_error):
        if os.path.isdir(path):  # also of a name that is too long for a file
            folders.append(path)
        else:
            found.add(path)
    _search(folders, wanted, found, on_error)
    return sorted(found, key=os.fsencode)


def expanded(paths: Iterable[Path], on_error: Callable[[Path, OSError], None]) -> Iterator[Path]:
    """The paths in their order, playlists replaced by their entries."""
    for path in paths:
        if not is_playlist(path) or os.path.isdir(path):
            yield path
            continue
        try:
            playlist = read_playlist(path)
        except PlaylistError as error:
            on_error(path, error)
            continue
        for text, problem in playlist.skipped:
            on_error(path, PlaylistError(path, f"{text}: {problem}"))
        yield from playlist.entries


def _search(
    folders: list[Path],
    wanted: frozenset[str],
    found: set[Path],
    on_error: Callable[[Path, OSError], None],
) -> None:
    """Add the files under ``folders`` to ``found``."""
    seen: set[tuple[int, int]] = set()
    links: list[Path] = []  # listed last, so that a folder is named by its own path first
    queue = sorted(folders, key=os.fsencode, reverse=True)
    while queue or links:
        folder = queue.pop() if queue else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name), reverse=True)
        except OSError as error:
            on_error(folder, error)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else queue).append(folder / entry.name)
                elif Path(entry.name).suffix.lower()[1:] in wanted and entry.is_file():
                    found.add(folder / entry.name)
            except OSError as error:  # a link that leads to itself
                on_error(folder / entry.name, error)
