"""Where the result of a command goes: to standard output, or to a file.

One rule says which files a command may replace. What is there stays, unless --force is given;
and with it too a folder stays, a pipe or device, a recording, and whatever the command reads. A
folder to fill is empty, or --force is given. ("stonekey scan" alone goes on from its own
output, `stonekey.library.store`.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import typer

from stonekey.cli.common import fail, one_of
from stonekey.output.formats import Format, Write
from stonekey.text import printable


def check_output(
    path: Path | None, force: bool, reads: Iterable[Path] = (), recording: bool = False
) -> None:
    """Refuse an output file that must not be replaced, before any work is done.

    Args:
        reads: files that the command reads.
        recording: what it writes is a recording itself.
    """
    if path is None or not os.path.lexists(path):
        return
    if path.is_dir():
        fail(f"{path} is a folder, not a file to write")
    if path.exists() and not path.is_file():
        fail(f"{path} is a pipe or device: leave --output away to write to standard output")
    if not force:
        fail(f"{path} exists; --force replaces it")
    if not recording and _is_recording(path):
        fail(f"{path} is a recording, which is not replaced")
    if any(one.exists() and path.exists() and one.samefile(path) for one in reads):
        fail(f"{path} is read by this command and cannot be its output too")


def _is_recording(path: Path) -> bool:
    from stonekey.audio.files import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS

    return path.suffix.lower().lstrip(".") in AUDIO_EXTENSIONS | VIDEO_EXTENSIONS


def format_option(formats: Mapping[str, Format[Any]], otherwise: str) -> Any:
    """The option --format of a command that writes in one of these."""
    endings = any(form.suffixes for form in formats.values())
    by_default = "By default from the suffix of --output, else " if endings else "By default "
    return typer.Option("--format", "-f", help=f"{', '.join(formats)}. {by_default}{otherwise}.")


def chosen_format(
    formats: Mapping[str, Format[Write]], name: str | None, output: Path | None, default: str
) -> Format[Write]:
    """The format asked for, that of the output's suffix, or the default."""
    if name is None and output is not None:
        suffix = output.suffix.lower()
        name = next((form.name for form in formats.values() if suffix in form.suffixes), None)
        if name is None:
            fail(f"{output}: no format goes with this suffix; give --format")
    return formats[one_of("--format", name or default, formats)]


def check_folder(folder: Path | None, force: bool) -> None:
    """Refuse an output folder that holds something already, before any work is done."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        fail(f"{folder} is a file, not a folder to write into")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        fail(f"{folder} is not empty; --force writes into it")


def write_result(
    write: Callable[[BinaryIO], object], output: Path | None, guarded: bool = True
) -> None:
    """Let ``write`` fill a file, which then appears whole, or standard output.

    Args:
        output: the file; None for standard output.
        guarded: on a terminal write out what would act on it. False for a table that has its
            colours, and escapes its cells itself.
    """
    if output is not None:
        from stonekey.files import write_atomically

        def write_file(temporary: Path) -> None:
            with temporary.open("wb") as stream:
                write(stream)

        write_atomically(output, write_file)
        return
    stream: BinaryIO = sys.stdout.buffer
    if guarded and sys.stdout.isatty():
        stream = _Terminal(stream)  # type: ignore[assignment]  # all that writers use
    try:
        write(stream)
        stream.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


class _Terminal:
    """A stream of UTF-8 text, a line or more at a time, on its way to a terminal."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        text = printable(data.decode("utf-8", "replace"), keep="\n\t")
        self._stream.write(text.encode(sys.stdout.encoding or "utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()
