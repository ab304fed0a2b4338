"""Turn folders, files and playlists into a list of audio files without repetitions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from stonekey.audio.files import find_audio_files, listing_problem
from stonekey.audio.spelling import AsListed
from stonekey.library.lists import Status, at_address, is_list, listed
from stonekey.text import is_address


@dataclass(frozen=True)
class Found:
    """The files in the sources.

    Attributes:
        files: absolute paths, in byte order, with size in bytes and modification time in
            seconds since 1970.
        problems: folders and links that could not be followed, playlists that could not be read
            and their entries that are missing or no files, each with the reason.
        repeated: number of paths left out because they lead to a file already in the list.
    """

    files: dict[Path, tuple[int, float]] = field(default_factory=dict)
    problems: list[tuple[Path, str]] = field(default_factory=list)
    repeated: int = 0


def find(sources: Iterable[str | os.PathLike[str]], extensions: Iterable[str] | None) -> Found:
    """The audio files in ``sources``.

    A file that several paths lead to through symbolic links is listed once, by its real path if
    that is one of them. Hard links count as separate files.

    Args:
        sources: files, playlists, lists and addresses (`stonekey.library.lists`), and folders to
            search to any depth; hidden files are left out.
        extensions: file extensions to look for in folders; None for all known ones.

    Raises:
        FileNotFoundError: a source does not exist.
        ListError, OSError: a list or an address cannot be read.
    """
    extensions = None if extensions is None else list(extensions)
    wanted = None if extensions is None else frozenset(e.lower().lstrip(".") for e in extensions)
    local: list[Path] = []
    remote: dict[Path, Status] = {}
    for source in map(Path, sources):
        entries: Iterable[tuple[Path, Status]]
        if is_list(source):
            entries = listed(source)
        elif is_address(source):
            entries = at_address(source, wanted)
        else:
            entries = [(_absolute(source), (0, 0.0))]
        for path, size_and_time in entries:
            if is_address(path):
                remote[path] = size_and_time
            else:
                local.append(path)
    problems: list[tuple[Path, str]] = []

    def unlisted(folder: Path, error: OSError) -> None:
        problems.append((folder, listing_problem(error)))

    repeats: list[Path] = []
    by_inode: dict[tuple[int, int], list[tuple[Path, os.stat_result]]] = {}
    as_listed = AsListed()
    for path in map(as_listed, find_audio_files(local, extensions, unlisted, repeats.append)):
        try:
            status = path.stat()
        except OSError as error:
            problems.append((path, error.strerror or str(error)))
            continue
        by_inode.setdefault((status.st_dev, status.st_ino), []).append((path, status))
    found: list[tuple[Path, os.stat_result]] = []
    repeated = len(repeats)
    for group in by_inode.values():
        real: dict[str, tuple[Path, os.stat_result]] = {}
        for path, status in group:
            own = os.path.realpath(path)
            if own not in real or own == os.fspath(path):
                real[own] = (path, status)
        repeated += len(group) - len(real)
        found += real.values()
    found.sort(key=lambda item: os.fsencode(item[0]))
    files = {path: (status.st_size, status.st_mtime) for path, status in found}
    return Found(files | remote, problems, repeated)


def _absolute(source: Path) -> Path:
    # Not resolved, so that a library keeps the names that its links give it.
    path = Path(os.path.abspath(source.expanduser()))
    if not os.path.lexists(path):
        raise FileNotFoundError(f"{os.fspath(source)}: no such file or folder")
    return path
