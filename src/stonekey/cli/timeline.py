"""``stonekey timeline``: the keys of a recording over time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stonekey.cli.common import (
    Device,
    Force,
    Hop,
    Model,
    Notation,
    Output,
    Recording,
    Threads,
    Timeout,
    Tune,
    Window,
    fail,
    say,
    told_errors,
)
from stonekey.cli.output import check_output, write_result
from stonekey.keys import NOTATIONS
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import display_name, shown

if TYPE_CHECKING:
    from stonekey.estimate.timeline import Timeline

FORMATS = ("table", "json", "csv", "jams", "audacity", "sonic")
SUFFIXES = {".json": "json", ".csv": "csv", ".jams": "jams", ".txt": "audacity"}


def timeline(
    file: Recording,
    model: Model = DEFAULT_MODEL,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help=f"{', '.join(FORMATS)}. By default from the suffix of --output "
            "(.json, .csv, .jams; .txt for audacity), else table.",
        ),
    ] = None,
    output: Output = None,
    force: Force = False,
    hop: Hop = 2.0,
    window: Window = None,
    notation: Notation = "musical",
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Write no key below this confidence.", metavar="P")
    ] = 0.0,
    tune: Tune = "auto",
    device: Device = "cpu",
    threads: Threads = None,
    timeout: Timeout = None,
) -> None:
    """Print the keys of a recording over time, and its modulations.

    Windows of some seconds are given to the model one after the other; a Viterbi search over the
    keys, in which a near key is likelier to follow than a far one, turns their probabilities into
    spans of one key. table lists spans and modulations; json has these and all probabilities; csv
    has the probabilities, a row for each window; jams, audacity and sonic (Sonic Visualiser
    regions) are the spans for other programs.

    Exit code: 0, 1 when the file cannot be read, 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey timeline sonata.flac

      stonekey timeline sonata.flac --hop 1 --output sonata.jams

      stonekey timeline sonata.flac --format audacity --output labels.txt
    """
    form = format or (SUFFIXES.get(output.suffix.lower()) if output else "table")
    if form not in FORMATS:
        if form is None:
            fail(f"{output}: no format goes with this suffix; give --format")
        fail(f"--format must be one of {', '.join(FORMATS)}, got '{form}'")
    if notation not in NOTATIONS:
        fail(f"--notation must be one of {', '.join(NOTATIONS)}, got '{notation}'")
    check_output(output, force, reads=[file])
    with told_errors():
        from stonekey.audio.tuning import checked_option
        from stonekey.estimate.timeline import confident, key_timeline, timeline_estimator
        from stonekey.output.timeline import WRITERS

        estimator = timeline_estimator(
            model, hop, window, device=device, threads=threads, tune=checked_option(tune),
            timeout=timeout,
        )  # fmt: skip
        found = confident(key_timeline(file, estimator=estimator), min_confidence)
        for warning in found.warnings:
            say(f"stonekey: {shown(file)}: {warning}")
        if form == "table":
            text = _table(found, notation, to_terminal=output is None)
        else:
            text = WRITERS[form](found, display_name(file), notation)
        data = text.encode("utf-8", "replace")
        write_result(lambda stream: stream.write(data), output, guarded=form != "table")


def _table(timeline: Timeline, notation: str, to_terminal: bool) -> str:
    """Spans, then modulations, for people."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from stonekey.output.timeline import NO_KEY, shown

    spans = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Start", "End", "Key", "Confidence"):
        spans.add_column(name, justify="left" if name == "Key" else "right")
    for span in timeline.spans:
        cells = shown(span.label, notation), f"{span.confidence:.0%}"
        spans.add_row(_clock(span.start), _clock(span.end), *cells)
    colour = to_terminal and sys.stdout.isatty()
    text = io.StringIO()
    console = Console(file=text, force_terminal=colour, width=100)
    if timeline.spans:
        console.print(spans)
    else:
        console.print(NO_KEY)
    for change in timeline.modulations:
        names = f"{shown(change.before, notation)} to {shown(change.after, notation)}"
        console.print(f"{_clock(change.time)}  {names}, confidence {change.confidence:.0%}")
    return text.getvalue()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
