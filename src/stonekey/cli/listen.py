"""``stonekey listen``: say the key of what is playing."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stonekey.cli.common import (
    STANDARD_INPUT,
    Model,
    Notation,
    exit_on_error,
    fail,
    needs_extra,
    one_of,
)
from stonekey.cli.interrupt import killed_after_interrupt
from stonekey.cli.options import with_settings
from stonekey.estimate.settings import EstimatorSettings
from stonekey.keys import NO_KEY
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import echo, json_text, log, printable

if TYPE_CHECKING:
    import numpy as np

    from stonekey.estimate.live import LiveAnswer

FORMATS = ("text", "jsonl")
_GRACE_SECONDS = 0.01


@with_settings("overlap", "published_segments", "fast", "timeout")
def listen(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A recording in place of the microphone; - reads standard input as it comes.",
            readable=False,
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(help="Input: a number or part of a name of --list-inputs.", metavar="INPUT"),
    ] = None,
    list_inputs: Annotated[
        bool, typer.Option("--list-inputs", help="Print the inputs of this machine.")
    ] = False,
    model: Model = DEFAULT_MODEL,
    every: Annotated[
        float, typer.Option(help="Seconds from one answer to the next, 1 to 8.", metavar="S")
    ] = 2.0,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Stop after so many seconds.", metavar="S")
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="text or jsonl.",
            callback=lambda value: one_of("--format", value, FORMATS),
        ),
    ] = "text",
    notation: Notation = "musical",
    settings: EstimatorSettings,
) -> None:
    """Say the key of what is playing, every few seconds.

    Listens to the microphone or the line in (needs the extra live), or to a file or a pipe, which
    is heard as fast as it comes. The key follows the music with a delay of about ten seconds;
    silence from one answer to the next starts anew.

    jsonl prints the fields of "stonekey FILE --format jsonl" with "time" and "since", when the key
    began, in seconds from the start, in place of "file".

    Exit code: 0 at the end of the sound, 1 when there is none, 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey listen

      stonekey listen --list-inputs

      ffmpeg -loglevel error -i STREAM -f wav - | stonekey listen - --format jsonl
    """
    if list_inputs:
        _print_inputs()
        return
    if file is not None and input is not None:
        fail("give a file or --input, not both")
    with exit_on_error(), ExitStack() as stack:
        from stonekey.estimate.estimator import KeyEstimator
        from stonekey.estimate.live import LiveEstimator

        estimator = KeyEstimator(model, settings=settings)
        lines = stack.enter_context(closing(_Lines(sys.stdout.isatty())))
        if file is None:
            rate, blocks = _microphone(input, stack, lines)
        else:
            rate, blocks = _file(file, stack, lines)
        live = LiveEstimator(estimator, rate, every)
        show = _as_json if format == "jsonl" else lines
        left = None if seconds is None or math.isinf(seconds) else round(seconds * rate)
        for block in blocks:
            block = block[:left]
            for answer in live.push(block):
                show(answer, notation)
            if left is not None:
                left -= len(block)
                if not left:
                    break
        for answer in live.flush():
            show(answer, notation)


def _print_inputs() -> None:
    with needs_extra("live"), exit_on_error(1):
        from stonekey.audio.microphone import inputs

        found = inputs()
        for number, name in found:
            echo(f"{number}  {name}")
        if not found:
            fail("this machine has no audio input", 1)


def _microphone(
    input: str | None, stack: ExitStack, lines: _Lines
) -> tuple[float, Iterable[np.ndarray]]:
    with needs_extra("live"), exit_on_error(1):
        from stonekey.audio.microphone import open_microphone

        number = int(input) if input is not None and input.isdecimal() else input
        microphone = stack.enter_context(open_microphone(number))

    def blocks() -> Iterator[np.ndarray]:
        told = 0.0
        with exit_on_error(1), closing(lines):
            for block in microphone:
                if microphone.dropped > told + 1:
                    told = microphone.dropped
                    lines.close()
                    log(f"stonekey: {told:.0f} s of sound were lost: this machine is too slow")
                yield block

    return microphone.rate, blocks()


def _file(file: Path, stack: ExitStack, lines: _Lines) -> tuple[float, Iterable[np.ndarray]]:
    from stonekey.audio import stream_audio
    from stonekey.audio.stream import SAMPLE_RATE

    def last_words() -> int:
        lines.close()
        log("stonekey: interrupted")
        return 130

    source: Any = file
    if file == STANDARD_INPUT:
        source = sys.stdin.buffer
        # A decoder that waits for a pipe swallows KeyboardInterrupt, so the process ends without.
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, lambda *_: None)
            stack.callback(signal.signal, signal.SIGINT, before)
        stack.enter_context(killed_after_interrupt(last_words, _GRACE_SECONDS))
    return SAMPLE_RATE, stack.enter_context(stream_audio(source))


def _as_json(answer: LiveAnswer, notation: str) -> None:
    echo(json_text(answer.to_dict(notation)))


class _Lines:
    """Answers as lines; on a terminal one that is written over until the key changes."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._last: Any = None
        self._width = 0  # of the line that is open

    def __call__(self, answer: LiveAnswer, notation: str) -> None:
        estimate = answer.estimate
        key = estimate.label.format(notation) if estimate.label is not None else NO_KEY
        text = f"{_clock(answer.time)}  {key:<19}"
        if answer.since is not None:
            text += f" {estimate.confidence:4.0%}  since {_clock(answer.since)}"
        if not self._terminal:
            echo(text.rstrip())
            return
        over = "\r" if self._last in (None, estimate.label) else "\n"
        self._last = estimate.label
        text = printable(text)
        sys.stdout.write(f"{over}{text:<{self._width}}")
        sys.stdout.flush()
        self._width = len(text)

    def close(self) -> None:
        """End the line that is open, before anything else is printed."""
        if self._width:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._last, self._width = None, 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
