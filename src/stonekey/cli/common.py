"""What the commands share: options, errors told in one line, Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
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
Overlap = Annotated[
    float, typer.Option(help="Share of a segment that the next repeats, 0 to below 1.")
]
PublishedSegments = Annotated[
    bool,
    typer.Option(
        "--published-segments",
        help="Cut as the published inference does: drop what follows the last whole segment.",
    ),
]
# A file that may not be read is told like any other that gives no sound, not as bad usage.
Recording = Annotated[Path, typer.Argument(metavar="FILE", help="A recording.", readable=False)]
Recordings = typer.Argument(
    metavar="FILE|FOLDER|PLAYLIST", help="Recordings; folders are searched.", readable=False
)
Timeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds that a file may take; by default 120, and 30 more for each megabyte.",
        metavar="SECONDS",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, or a torch device such as cuda.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads for the network.", metavar="N")]
Tune = Annotated[
    str,
    typer.Option(
        help="auto: correct the pitch of music not tuned to A = 440 Hz (not with "
        "--published-segments); off; or the cents by which it is too high."
    ),
]
Notation = Annotated[str, typer.Option("--notation", "-n", help=f"{', '.join(NOTATIONS)}.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")]
Extension = Annotated[
    list[str] | None,
    typer.Option("--extension", "-e", help="In folders take only these, such as mp3."),
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
Backend = Annotated[str, typer.Option(help="auto, onnx or torch.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as a JSON object.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]


def say(message: str) -> None:
    """Print lines to standard error; escapes in the names that they hold are written out."""
    print(printable(message, keep="\n"), file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """Print lines to standard output, likewise."""
    print(printable(text, keep="\n\t"), flush=True)


def fail(message: str, code: int = 2) -> NoReturn:
    """Print an error and exit: 1 when the input failed, 2 for bad usage."""
    say(f"stonekey: {message}")
    raise typer.Exit(code)


@contextmanager
def told_errors(code: int = 2) -> Iterator[None]:
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
