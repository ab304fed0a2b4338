"""Run the command line in this process or its own, on music made here."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from stonekey.cli import main
from stonekey.keys import Key
from stonekey.synthesis import cadence, write_wav

ROOT = Path(__file__).resolve().parents[1]


def music(path: Path, key: str, seconds: float = 16.0) -> Path:
    """A WAV file of cadences in ``key``."""
    write_wav(path, cadence(Key.parse(key), seconds=seconds))
    return path


def open_to_all(folder: Path) -> None:
    """Let every user enter ``folder``, and those of pytest's around it."""
    for around in (folder, *folder.parents):
        if "pytest-of-" in str(around):
            around.chmod(0o755)


def call(*arguments: str | Path) -> int:
    """``stonekey ARGUMENTS`` in this process, which is faster; returns the exit code."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    code = exit_.value.code
    assert isinstance(code, int)
    return code


def run(*arguments: str | Path | bytes) -> subprocess.CompletedProcess[str]:
    """``stonekey ARGUMENTS`` in this process, with what it writes to pipes."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        code = call(*map(os.fsdecode, arguments))
    said = []
    for stream in streams:
        stream.flush()
        said.append(stream.buffer.getvalue().decode("utf-8"))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, *said)


class _Screen(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def on_screen(*arguments: str | Path, encoding: str = "utf-8") -> str:
    """As `on_terminal`, in this process and so fast; the environment says how wide it is."""
    screen = _Screen(io.BytesIO(), encoding)
    with redirect_stdout(screen), redirect_stderr(screen):
        call(*arguments)
    screen.flush()
    return screen.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def as_terminal(patch: pytest.MonkeyPatch, columns: int = 160) -> None:
    """Let standard output pass for a terminal of so many columns."""
    patch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    patch.setenv("COLUMNS", str(columns))


def rows_of(table: str) -> list[list[str]]:
    """The words in each line of a table for a terminal, without colours and empty lines."""
    lines = re.sub("\x1b\\[[0-9;]*m", "", table).splitlines()
    return [line.split() for line in lines if line.strip()]


def run_alone(*arguments: str | Path | bytes) -> subprocess.CompletedProcess[str]:
    """``stonekey ARGUMENTS`` in its own process, from the repository root."""
    return run_module("stonekey", arguments)


def on_terminal(
    *arguments: str | Path,
    columns: int = 80,
    encoding: str = "utf-8",
    cwd: Path = ROOT,
    **environment: str,
) -> str:
    """What ``stonekey ARGUMENTS`` writes, out and error, to a terminal of so many columns."""
    import struct

    fcntl = pytest.importorskip("fcntl", reason="a terminal of Unix")
    termios = pytest.importorskip("termios", reason="a terminal of Unix")

    screen, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "TERMINAL_WIDTH")}
    with subprocess.Popen(
        [sys.executable, "-m", "stonekey", *arguments],
        cwd=cwd, stdin=terminal, stdout=terminal, stderr=terminal,
        env={**inherited, "TERM": "xterm-256color", "PYTHONIOENCODING": encoding, **environment},
    ):  # fmt: skip
        os.close(terminal)
        shown = b"".join(until_closed(screen))
    os.close(screen)
    return shown.decode(encoding).replace("\r\n", "\n")


def until_closed(descriptor: int) -> Iterator[bytes]:
    """What a terminal shows, until the program at its other end is done."""
    while True:
        try:
            block = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end is closed
            return
        if not block:
            return
        yield block


def run_module(
    module: str, arguments: Sequence[str | Path | bytes], timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, capture_output=True, encoding="utf-8", timeout=timeout,
    )  # fmt: skip
