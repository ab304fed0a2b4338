"""Write a command's result to standard output or to a file.

All commands follow one rule. Without --force they replace nothing and write only into empty
folders. Even with it they never replace a folder, a pipe or device, a recording, or a file that
the command reads. (Only "stonekey scan" resumes from its own output, `stonekey.library.store`.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import EINVAL
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import typer

from stonekey.cli.common import fail, one_of
from stonekey.files import replacing
from stonekey.output.formats import Format, Write
from stonekey.text import printable


def check_output(
    path: Path | None,
    force: bool,
    reads: Iterable[Path] = (),
    model: str | None = None,
    recording: bool = False,
) -> None:
    """Exit before any work is done if the output file must not be replaced.

    Args:
        reads: files that the command reads; of a folder, its Parquet files.
        model: name or path of the model that it reads.
        recording: the command itself writes a recording.
    """
    if path is None or not os.path.lexists(path):
        return
    if path.is_dir():
        fail(f"{path} is a folder, not a file to write")
    if path.exists() and not path.is_file():
        fail(f"{path} is a pipe or device: omit --output to write to standard output")
    if not force:
        fail(f"{path} exists; --force replaces it")
    if not recording and _is_recording(path):
        fail(f"{path} is a recording; recordings are never replaced")
    if path.exists() and any(one.samefile(path) for one in _files(reads, model)):
        fail(f"{path} is read by this command, so it cannot be the output")


def _files(reads: Iterable[Path], model: str | None) -> Iterator[Path]:
    """The files among these that exist, and the model's."""
    from stonekey.model.registry import local_model

    if model is not None and (path := local_model(model)):
        yield path
    for read in reads:
        if read.is_dir():
            yield from read.glob("*.parquet")
        elif read.exists():
            yield read


def _is_recording(path: Path) -> bool:
    from stonekey.audio.files import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS

    return path.suffix.lower().lstrip(".") in AUDIO_EXTENSIONS | VIDEO_EXTENSIONS


def format_option(formats: Mapping[str, Format[Any]], otherwise: str) -> Any:
    """The option --format of a command that writes one of these formats."""
    names = ", ".join(formats)
    default = f"by default given by the suffix of --output, otherwise {otherwise}"
    return typer.Option("--format", "-f", help=f"{names}; {default}.")


def chosen_format(
    formats: Mapping[str, Format[Write]], name: str | None, output: Path | None, default: str
) -> Format[Write]:
    """The format named, or the one of the output's suffix, or the default."""
    if name is None and output is not None:
        suffix = output.suffix.lower()
        name = next((form.name for form in formats.values() if suffix in form.suffixes), None)
        if name is None:
            fail(f"{output}: unknown suffix; give --format")
    return formats[one_of("--format", name or default, formats)]


def to_terminal(form: Format[Any], output: Path | None) -> bool:
    """Whether text goes to a terminal, where it is a table."""
    return output is None and form.name == "text" and sys.stdout.isatty()


def check_folder(folder: Path | None, force: bool, reads: Iterable[Path]) -> None:
    """Exit before any work is done if the output folder is not empty or has one of ``reads``."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        fail(f"{folder} is a file, not a folder to write into")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        fail(f"{folder} is not empty; --force writes into it")
    for read in reads:
        if read.exists() and folder.is_dir() and read.resolve().parent.samefile(folder):
            fail(f"{read} is read by this command, so its folder cannot be the output")


def same_place(*streams: TextIO) -> bool:
    """Whether what is written to these streams ends up in one terminal, pipe or file."""
    try:
        states = [os.fstat(stream.fileno()) for stream in streams]
        if not all(state.st_ino for state in states):  # consoles and pipes of Windows
            return all(stream.isatty() for stream in streams)
    except (AttributeError, OSError, ValueError):  # closed, or not of the system
        return False
    return len({(state.st_dev, state.st_ino, state.st_rdev) for state in states}) == 1


@contextmanager
def open_output(output: Path | None, guarded: bool = True) -> Iterator[BinaryIO]:
    """A stream to the output file, which appears when it is complete, or to standard output.

    Args:
        output: the file; None for standard output.
        guarded: on a terminal, make escapes visible. False for a table that has colours of its own
            and escapes its cells itself.
    """
    if output is not None:
        with replacing(output) as temporary, temporary.open("wb") as file:
            yield file
        return
    stream: BinaryIO = sys.stdout.buffer
    if guarded and sys.stdout.isatty():
        stream = _Terminal(stream)  # type: ignore[assignment]  # has all that writers use
    try:
        yield stream
        stream.flush()
    except OSError as error:
        # The reader, such as head, has quit; Windows calls that an invalid argument.
        if not isinstance(error, BrokenPipeError) and (os.name, error.errno) != ("nt", EINVAL):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


class _Terminal:
    """A stream to a terminal that makes escapes visible; takes UTF-8, whole lines at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        text = printable(data.decode("utf-8", "replace"), keep="\n\t")
        self._stream.write(text.encode(sys.stdout.encoding or "utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()
