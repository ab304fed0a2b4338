"""``stonekey timeline``: estimate the keys of a recording over time."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from stonekey.cli.common import (
    Force,
    Hop,
    Model,
    Notation,
    Output,
    Recording,
    Window,
    at_hand,
    exit_on_error,
)
from stonekey.cli.options import with_settings
from stonekey.cli.output import check_output, chosen_format, format_option, open_output
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.output.progress import PATIENCE, FilesBar
from stonekey.output.timeline import TIMELINES
from stonekey.text import display_name, log, shown


@with_settings("overlap", "published_segments", "fast", "min_confidence", "min_clarity")
def timeline(
    *,
    file: Recording,
    model: Model = DEFAULT_MODEL,
    format: Annotated[str | None, format_option(TIMELINES, "table")] = None,
    output: Output = None,
    force: Force = False,
    hop: Hop = 2.0,
    window: Window = None,
    notation: Notation = "musical",
    min_confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Show only keys of at least this confidence.", metavar="X"),
    ] = 0.0,
    settings: EstimatorSettings,
) -> None:
    """Print the keys of a recording over time, and its modulations.

    The model scores overlapping windows of a few seconds. A Viterbi search, which makes changes
    to distant keys costlier than to close ones, turns the scores into spans of one key each.

    The key of the whole is the one that "stonekey FILE" prints.

    table lists spans and modulations; json adds all probabilities; csv has the probabilities, a
    row per window; jams, audacity and sonic (Sonic Visualiser regions) hold the spans for other
    programs.

    Exit code: 0 on success, 1 when the file cannot be read, 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey timeline sonata.flac

      stonekey timeline sonata.flac --hop 1 --output sonata.jams

      stonekey timeline sonata.flac --format audacity --output labels.txt
    """
    form = chosen_format(TIMELINES, format, output, "table")
    check_output(output, force, reads=[file], model=model)
    with exit_on_error():
        from stonekey.estimate.estimator import KeyEstimator
        from stonekey.estimate.timeline import confident, key_timeline

        bar = FilesBar(1, PATIENCE) if sys.stderr.isatty() else None
        estimator = KeyEstimator(model, settings=settings)
        estimator.watch = bar.heard if bar else None
        with bar or nullcontext(), at_hand(file) as recording:
            found = key_timeline(recording, estimator=estimator, hop=hop, window=window)
            found = confident(found, min_confidence)
        for warning in found.warnings:
            log(f"stonekey: {shown(file)}: {warning}")
        table = form.name == "table"
        more = {"colour": output is None and sys.stdout.isatty()} if table else {}
        text = form.write(found, display_name(file), notation, **more)
        encoding = sys.stdout.encoding if more.get("colour") else None
        data = text.encode(encoding or "utf-8", "replace")
        with open_output(output, guarded=not table) as stream:
            stream.write(data)
