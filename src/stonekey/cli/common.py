"""What the commands share: options, errors told in one line, Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from stonekey.keys import NOTATIONS
from stonekey.text import printable


def complete_model(incomplete: str) -> list[str]:
    """Names of models that begin so, for shell completion."""
    from stonekey.model.registry import model_names

    return [name for name in model_names() if name.startswith(incomplete)]


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help='Name (see "stonekey models") or path of a model.',
        autocompletion=complete_model,
    ),
]


def notation_option(remark: str = "") -> Any:
    """The option --notation; ``remark`` says what else there is to say of it."""
    text = f"{', '.join(NOTATIONS)}{remark}."
    return typer.Option("--notation", "-n", help=text, callback=_a_notation)


def _a_notation(value: str) -> str:
    return one_of("--notation", value, NOTATIONS)


def one_of(option: str, given: str, choices: Iterable[str]) -> str:
    """A choice, checked: another word ends the command as bad usage."""
    if given not in choices:
        fail(f"{option} must be one of {', '.join(choices)}, got '{given}'")
    return given


def _words(given: list[str] | None) -> list[str] | None:
    """The words of an option that may be repeated or hold commas; None where there are none."""
    return [w.strip() for one in given or () for w in one.split(",") if w.strip()] or None


Notation = Annotated[str, notation_option()]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")]
Extension = Annotated[
    list[str] | None,
    typer.Option(
        "--extension", "-e", help="In folders take only these, such as mp3.", callback=_words
    ),
]
Hop = Annotated[float, typer.Option(help="Seconds from window to window, 1 to 15.", metavar="S")]
Window = Annotated[
    float | None,
    typer.Option(help="Seconds that each window is long, 3 to 15; 8 by default.", metavar="S"),
]
ShowProgress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress",
        help="Progress bar on standard error; by default on a terminal.",
    ),
]
WriteConfidence = Annotated[
    float, typer.Option(help="Write no key of a lower confidence, 0 to 1.", metavar="X")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as a JSON object.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]


def log(message: str) -> None:
    """Print lines to standard error; escapes in the names that they hold are written out."""
    print(printable(message, keep="\n"), file=sys.stderr, flush=True)


def echo(text: str) -> None:
    """Print lines to standard output, likewise."""
    print(printable(text, keep="\n\t"), flush=True)


def fail(message: str, code: int = 2) -> NoReturn:
    """Print an error and exit: 1 when the input failed, 2 for bad usage."""
    log(f"stonekey: {message}")
    raise typer.Exit(code)


@contextmanager
def exit_on_error(code: int = 2) -> Iterator[None]:
    """Turn errors that the user can do something about into one line and an exit code."""
    from stonekey.audio import AudioError
    from stonekey.model.checkpoint import CheckpointError

    try:
        yield
    except BrokenPipeError:
        raise
    except AudioError as error:
        fail(str(error), 1)
    except (CheckpointError, ValueError, OSError) as error:
        fail(str(error), code)
    except KeyboardInterrupt:
        fail("interrupted", 130)


class Interrupt:
    """Ctrl-C that stops the work but not the writing of what is done.

    While ``working`` is set Ctrl-C raises KeyboardInterrupt; otherwise, and for the first
    time, it only sets ``requested``.
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
