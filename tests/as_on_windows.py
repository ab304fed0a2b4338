"""``python as_on_windows.py ARGUMENTS``: stonekey on a system that lacks what Windows lacks.

Whatever POSIX alone has is gone, files that are open or mapped can be neither deleted nor replaced,
locks are those of `msvcrt`, and names are decoded as Windows does. Paths keep their slashes.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import pathlib
import signal
import sys
import types
from typing import Any

# Other libraries come first: they ask what system this is when they are imported.
for library in (
    "asyncio", "av",
    "mutagen.flac", "mutagen.id3", "mutagen.mp3", "mutagen.wave", "numpy", "onnx",
    "onnxruntime", "pooch", "requests", "rich.console", "rich.progress", "rich.table",
    "safetensors.numpy", "soundfile", "soxr", "sqlite3", "typer.rich_utils", "multiprocessing.pool",
    "concurrent.futures.process", "shutil", "subprocess", "tempfile", "glob",
):  # fmt: skip
    importlib.import_module(library)
for library in ("matplotlib.figure", "matplotlib.font_manager"):
    with contextlib.suppress(ImportError):
        importlib.import_module(library)

FUNCTIONS = (
    "chown", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getuid",
    "getpgid", "killpg", "lchown", "mkfifo", "mknod", "nice", "openpty", "posix_spawn",
    "sched_getaffinity", "sched_setaffinity", "setsid", "statvfs", "uname", "wait4",
    "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC",
)  # fmt: skip
SIGNALS = ("SIGHUP", "SIGKILL", "SIGALRM", "SIGPIPE", "SIGUSR1", "SIGCHLD", "setitimer", "alarm")
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty")


def in_use(path: Any, dir_fd: int | None = None) -> bool:
    """Whether this process has a file open or mapped."""
    place = os.fsdecode(path) if dir_fd is None else f"/proc/self/fd/{dir_fd}/{os.fsdecode(path)}"
    try:
        wanted = os.stat(place)
    except OSError:
        return False
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.path.samestat(os.stat(f"/proc/self/fd/{number}"), wanted):
                return True
        except OSError:
            continue
    with open("/proc/self/maps", "rb") as maps:
        return any(line.split()[4] == b"%d" % wanted.st_ino for line in maps)


def refusing(name: str) -> None:
    """Let a function of `os` refuse files that are in use."""
    real = getattr(os, name)

    def function(path: Any, *more: Any, **keywords: Any) -> Any:
        folder = keywords.get("dir_fd")
        if in_use(path, folder) or (more and in_use(more[0])):
            raise PermissionError(13, "The process cannot access the file", os.fspath(path))
        return real(path, *more, **keywords)

    setattr(os, name, function)


def pretend() -> None:
    """Make it so, for the rest of this process."""
    for name in ("unlink", "remove", "replace", "rename"):
        refusing(name)

    def locking(handle: int, mode: int, size: int) -> None:
        assert (mode, size) == (2, 1)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PermissionError(13, "Permission denied") from error

    sys.modules["msvcrt"] = types.ModuleType("msvcrt")
    vars(sys.modules["msvcrt"]).update(locking=locking, LK_NBLCK=2)
    # Installed on Windows only; elsewhere it has nothing to do.
    sys.modules["colorama"] = types.ModuleType("colorama")
    vars(sys.modules["colorama"]).update(just_fix_windows_console=lambda: None)
    for module in MODULES:
        sys.modules[module] = None  # type: ignore[assignment]
    # Its library here has no function for names of Windows; and processes here end by signals.
    sys.modules["soundfile"]._sys = types.SimpleNamespace(**vars(sys))  # type: ignore[attr-defined]
    sys.modules["subprocess"].signal = types.SimpleNamespace(**vars(signal))  # type: ignore[attr-defined]
    for name in FUNCTIONS:
        if hasattr(os, name):
            delattr(os, name)
    for name in SIGNALS:
        if hasattr(signal, name):
            delattr(signal, name)
    os.fsencode = lambda path: os.fspath(path).encode("utf-8", "surrogatepass")
    os.fsdecode = lambda path: (
        path.decode("utf-8", "surrogatepass") if isinstance(path, bytes) else os.fspath(path)
    )
    pathlib.WindowsPath = pathlib.PosixPath  # type: ignore[misc,assignment]
    os.name = "nt"
    sys.platform = "win32"


if __name__ == "__main__":
    pretend()
    from stonekey.cli import main

    main()
