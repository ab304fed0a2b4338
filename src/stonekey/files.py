"""Write, hash and lock files; the cache folder and the number of cores."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stonekey.text import address, is_address, one_line

PATIENCE = 2.0  # seconds that another program may keep a file on Windows
_MOST_NAME = 200  # bytes of a file's name in those of its temporary files; systems allow 255


def put_in_place(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``, which may exist.

    Windows refuses that while a program has either file open, as virus scanners and indexers
    have for a moment.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            os.replace(new, path)
            return
        except PermissionError:
            if os.name != "nt" or time.monotonic() > end:
                raise
        time.sleep(0.05)


def hidden_name(path: Path, end: str = "") -> str:
    """Name of a hidden file that belongs to ``path``: ``.keys.csv.`` and an end."""
    name = path.name
    while len(os.fsencode(name)) > _MOST_NAME:
        name = name[:-1]
    return f".{name}.{end}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, to be filled; renamed to ``path`` at the end.

    A symbolic link stays one: the file that it points to is replaced. If anything fails (a full
    disk, for example), the old file stays and the temporary one is deleted.
    """
    given, path = path, Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=hidden_name(path))
    except OSError as error:  # which names the temporary file
        raise OSError(error.errno, error.strerror, os.fspath(given)) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill the temporary file of `replacing`."""
    with replacing(path) as temporary:
        write(temporary)


def write_text(path: Path, text: str) -> None:
    r"""Write a file as UTF-8 with ``\n`` at the ends of lines, as `write_atomically` does."""
    data = text.encode("utf-8", "replace")
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def file_system(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """The file system of fsspec that an address such as ``s3://bucket/file`` is in, and its place.

    Raises:
        OSError: there is none, or its package is not installed; the message says which.
    """
    shown = address(path)
    try:
        from fsspec.core import url_to_fs

        system, inside = url_to_fs(shown)
    except ImportError as error:
        missing = "pip install fsspec" if error.name == "fsspec" else one_line(str(error))
        raise OSError(f"{shown}: an address needs a package for it: {missing}") from error
    except ValueError as error:
        raise OSError(f"{shown}: {one_line(str(error))}") from error
    return system, inside


@contextmanager
def absence_named(path: Path) -> Iterator[None]:
    """Give the reason where a file system of fsspec gives only the address of a missing file."""
    try:
        yield
    except FileNotFoundError as error:
        if error.strerror:
            raise
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address(path)) from error


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """A copy of what is at an address, until the end; a path is given as it is.

    Raises:
        OSError: it cannot be read, or whatever its file system raises.
    """
    if not is_address(path):
        yield path
        return
    system, inside = file_system(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, f"copy{path.suffix}")
        with absence_named(path):
            system.get_file(inside, str(copy))
        yield copy


def put_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file; then it is the file at ``path``, on a disk or address.

    Raises:
        OSError: it cannot be written.
    """
    if not is_address(path):
        write_atomically(path, write)
        return
    system, inside = file_system(path)
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, path.name)
        write(temporary)
        system.put_file(str(temporary), inside)


def sha256(path: Path) -> str:
    """SHA-256 of a file's contents in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Folder of fetched models, predictions and journals: ``$STONEKEY_HOME`` or the user cache."""
    if home := os.environ.get("STONEKEY_HOME"):
        return Path(home).expanduser()
    import pooch

    return Path(pooch.os_cache("stonekey"))


def core_count() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LockedError(OSError):
    """Another process holds the lock."""


if sys.platform == "win32":
    import msvcrt

    def take(handle: int) -> None:
        """Lock an open file until it is closed; OSError if another process holds the lock."""
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def take(handle: int) -> None:
        """Lock an open file until it is closed; OSError if another process holds the lock."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, of: Path | None = None) -> Iterator[None]:
    """Hold a lock on the file ``path``, which is created and, at the end, deleted.

    If it cannot be created, the error names the file ``of`` which it is for.

    The operating system releases the lock of a killed process, even if the file stays. (The
    library ``filelock`` always leaves its files behind.)

    Raises:
        LockedError: another process holds the lock.
        OSError: the file cannot be created or locked for another reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(of or path)) from error
        try:
            take(handle)
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise  # a file system without locks
            raise LockedError(f"{path} is locked by another process") from error
        # The last holder may have deleted the file after it was opened here.
        if os.name == "nt" or _is_there(path, handle):
            break
        os.close(handle)
    try:
        yield
    finally:
        if os.name == "nt":  # where an open file cannot be deleted, so nobody holds a deleted one
            os.close(handle)
            with suppress(OSError):
                os.unlink(path)
        else:
            path.unlink(missing_ok=True)
            os.close(handle)


def _is_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
