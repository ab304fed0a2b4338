"""Change a file by editing a copy, which replaces the file only once it is complete and checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from stonekey.files import put_in_place, take
from stonekey.tags.base import TagError, as_tag_errors

# Hidden, so that nothing mistakes a copy left by a crash for a recording.
PREFIX = ".stonekey-copy-"
_DAY = 86400.0


class ChangedError(TagError):
    """Another program changed the file in the meantime."""


def fingerprint(status: os.stat_result) -> list[int]:
    """Size and modification time (ns), which change whenever the file does."""
    return [status.st_size, status.st_mtime_ns]


def rewrite(
    path: Path,
    before: os.stat_result,
    edit: Callable[[Path], None],
    turn: AbstractContextManager[None],
    on_ready: Callable[[os.stat_result], None],
    keep_mtime: bool = False,
) -> None:
    """Copy ``path`` within its folder, edit the copy, check its sound and put it in place.

    For a symbolic link, this replaces the file that it points to. The new file keeps permissions,
    extended attributes and, where allowed, the owner.

    Args:
        path: file to change.
        before: status of the file when it was read; if its size, time or inode have changed by
            the end, the file is left alone.
        edit: changes the copy at the path it is given.
        turn: held during the last check and the replacement, so that concurrent runs take turns.
        on_ready: called with the status of the finished copy, just before the replacement.
        keep_mtime: keep the file's modification time.

    Raises:
        TagError: read-only file or folder, full disk, sound changed by the edit, ...
        ChangedError: the file has changed since it was read.
    """
    with as_tag_errors(path):
        real = check_writable(path, before)
        try:
            handle, name = tempfile.mkstemp(suffix=real.suffix, prefix=PREFIX, dir=real.parent)
        except PermissionError:
            raise _read_only_folder(path, real) from None
        copy = Path(name)
        held = _held(handle)
        try:
            shutil.copyfile(real, copy)
            edit(copy)
            if sound_hash(copy) != sound_hash(real):
                raise TagError(path, "writing its tags would change its sound; left as it was")
            _like(copy, before, real)
            _sync(copy)
            if keep_mtime:
                os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
            with turn:
                _check_same(path, real, before)
                on_ready(copy.stat())
                put_in_place(copy, real)
        finally:
            copy.unlink(missing_ok=True)
            if held:
                os.close(handle)
        with suppress(OSError):  # not every system can open a folder
            _sync(real.parent)


def check_writable(path: Path, before: os.stat_result) -> Path:
    """Check the permissions that can be checked without writing; returns the file behind links.

    Raises:
        TagError: the file or its folder is read-only.
    """
    with as_tag_errors(path):
        real = path.resolve(strict=True)
    # Renaming works even over a read-only file, so check what its owner wanted.
    if not before.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise TagError(path, "is read-only")
    if not os.access(real, os.W_OK):
        raise TagError(path, "no permission to write it")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise _read_only_folder(path, real)
    return real


def _read_only_folder(path: Path, real: Path) -> TagError:
    return TagError(path, f"its folder {real.parent} is read-only")


def _held(handle: int) -> bool:
    """Keep a copy open and locked while this process works on it; not on Windows.

    There, an open file cannot be renamed.
    """
    if os.name == "nt":
        os.close(handle)
        return False
    with suppress(OSError):  # a file system without locks, where `sweep` deletes nothing either
        take(handle)
    return True


def sweep(files: Iterable[Path]) -> None:
    """Delete the copies that killed runs left in the folders of these files.

    Copies that another process is working on stay: they are locked, or on Windows younger than
    a day.
    """
    for folder in {Path(os.path.realpath(path)).parent for path in files}:
        for left in folder.glob(f"{PREFIX}????????.*"):
            with suppress(OSError):  # in use, or not ours
                if os.name == "nt" and time.time() - left.stat().st_ctime < _DAY:
                    continue  # created so lately
                handle = os.open(left, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
                try:
                    take(handle)
                finally:
                    os.close(handle)
                left.unlink()


def _like(copy: Path, before: os.stat_result, real: Path) -> None:
    """Give the copy the owner, permissions and extended attributes of the file."""
    mine = copy.stat()
    if (mine.st_uid, mine.st_gid) != (before.st_uid, before.st_gid) and hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(copy, before.st_uid, before.st_gid)
    times = copy.stat()
    shutil.copystat(real, copy)
    os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_same(path: Path, real: Path, before: os.stat_result) -> None:
    now = real.stat()
    if (now.st_ino, fingerprint(now)) != (before.st_ino, fingerprint(before)):
        raise ChangedError(path, "changed while it was being tagged; left as it was")


def sound_hash(path: Path) -> str:
    """SHA-256 of the encoded sound: the bytes of the first audio stream's packets.

    Raises:
        TagError: there is no audio stream, or the file cannot be demuxed.
    """
    import av

    from stonekey.audio.container import Reader, open_container
    from stonekey.audio.deadline import Deadline
    from stonekey.audio.errors import AudioError

    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            reader = Reader(file, str(path), Deadline(path))
            with open_container(reader) as container:
                if not container.streams.audio:
                    raise TagError(path, "has no audio to check")
                for packet in container.demux(container.streams.audio[0]):
                    reader.sounded()
                    digest.update(packet)
            if reader.error:
                raise reader.error
    except (av.FFmpegError, AudioError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise TagError(path, f"cannot check its sound: {reason}") from error
    return digest.hexdigest()
