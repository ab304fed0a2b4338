"""What the commands share: options, one-line errors, Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from stonekey.keys import NOTATIONS
from stonekey.text import log, shown, to_install


def complete_model(incomplete: str) -> list[str]:
    """Model names that start with this text, for shell completion."""
    from stonekey.model.registry import model_names

    return [name for name in model_names() if name.startswith(incomplete)]


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help='Model: a name (see "stonekey models") or a path.',
        metavar="MODEL",
        autocompletion=complete_model,
    ),
]


def notation_option(remark: str = "") -> Any:
    """The option --notation; ``remark`` is added to its help."""
    return typer.Option(
        "--notation", "-n", help=f"How keys are written: {', '.join(NOTATIONS)}{remark}.",
        callback=lambda value: value and one_of("--notation", value, NOTATIONS),
    )  # fmt: skip


def output_kept(engine: str) -> AbstractContextManager[object]:
    """Send what Ray prints to standard error: standard output is for the command's result."""
    return redirect_stdout(sys.stderr) if engine == "ray" else nullcontext()


def one_of(option: str, given: str, choices: Iterable[str]) -> str:
    """The choice given; exits with bad usage when it is not one of ``choices``."""
    if given not in choices:
        fail(f"{option} must be one of {', '.join(choices)}, got '{given}'")
    return given


def _words(given: list[str] | None) -> list[str]:
    """The words of an option that may be repeated or hold commas; typer turns [] into None."""
    return [w.strip() for one in given or () for w in one.split(",") if w.strip()]


Notation = Annotated[str, notation_option()]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What runs the workers: local, or ray (a Ray cluster; RAY_ADDRESS names it).",
        callback=lambda value: one_of("--engine", value, ("local", "ray")),
    ),
]
# readable=False: a file without read permission is a failed file, not bad usage.
Recording = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A recording; - reads it from standard input.", readable=False
    ),
]
STANDARD_INPUT = Path("-")
Recordings = typer.Argument(
    metavar="FILE|FOLDER|PLAYLIST",
    help="Recordings, playlists and folders, which are searched.",
    readable=False,
)
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")]
Extension = Annotated[
    list[str] | None,
    typer.Option(
        "--extension",
        "-e",
        metavar="EXT",
        callback=_words,
        help="In folders, read only files with this extension, such as mp3; may be repeated.",
    ),
]
Hop = Annotated[
    float, typer.Option(help="Seconds from one window to the next, 1 to 15.", metavar="S")
]
Window = Annotated[
    float | None,
    typer.Option(help="Length of a window in seconds, 3 to 15; 8 by default.", metavar="S"),
]
ShowProgress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress",
        help="Show a progress bar on standard error; by default only on a terminal.",
    ),
]
WriteConfidence = Annotated[
    float, typer.Option(help="Write only keys of at least this confidence, 0 to 1.", metavar="X")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as a JSON object.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]


def fail(message: str, code: int = 2) -> NoReturn:
    """Print an error and exit: 1 when the input failed, 2 for bad usage."""
    log(f"stonekey: {message}")
    raise typer.Exit(code)


@contextmanager
def exit_on_error(code: int = 2) -> Iterator[None]:
    """Print the errors that a user can act on as one line, and exit.

    Args:
        code: exit code; audio that cannot be read always exits with 1, Ctrl-C with 130.
    """
    from stonekey.audio import AudioError
    from stonekey.model.checkpoint import CheckpointError

    try:
        yield
    except BrokenPipeError:
        raise
    except AudioError as error:
        fail(str(error), 1)
    except (CheckpointError, ValueError) as error:
        fail(str(error), code)
    except OSError as error:
        named = isinstance(error.filename, (str, bytes)) and error.strerror
        fail(
            f"{shown(os.fsdecode(error.filename))}: {error.strerror}" if named else str(error), code
        )
    except KeyboardInterrupt:
        fail("interrupted", 130)


@contextmanager
def at_hand(path: Path) -> Iterator[Path]:
    """The file to decode: ``path``, or for ``-`` a copy of standard input.

    A copy, because decoders seek, which a pipe does not allow.
    """
    from stonekey.audio import AudioError

    if path != STANDARD_INPUT:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "standard-input"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield copy
        except AudioError as error:
            error.path = path
            raise


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Exit with the extra to install when an import in the block fails."""
    try:
        yield
    except ImportError as error:
        fail(f"this needs {error.name}: {to_install(extra)}")


class Interrupt:
    """Ctrl-C that stops the analysis but never cuts off the writing of results.

    While ``working`` is set, Ctrl-C raises KeyboardInterrupt. Otherwise the first Ctrl-C only
    sets ``requested``, and the second raises.
    """

    def __init__(self) -> None:
        self.requested = False
        self.working = False
        self._previous: Any = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if self.working or again:
            raise KeyboardInterrupt

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
