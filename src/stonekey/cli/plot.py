"""``stonekey plot``: draw a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import (
    STANDARD_INPUT,
    Force,
    Hop,
    Model,
    Notation,
    Recording,
    Window,
    at_hand,
    exit_on_error,
    fail,
    needs_extra,
)
from stonekey.cli.options import with_settings
from stonekey.cli.output import check_output
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL

SUFFIXES = (".png", ".svg", ".pdf")


@with_settings("overlap", "published_segments", "fast", "min_confidence", "min_clarity")
def plot(
    *,
    file: Recording,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Picture to write, ending in .png, .svg or .pdf.")
    ],
    model: Model = DEFAULT_MODEL,
    force: Force = False,
    hop: Hop = 2.0,
    window: Window = None,
    notation: Notation = "short",
    title: Annotated[
        str | None, typer.Option(help="Title of the picture; by default the file's name.")
    ] = None,
    settings: EstimatorSettings,
) -> None:
    """Draw a recording's chroma, its keys over time and its place on the circle of fifths.

    Needs matplotlib, which is in the extra "eval".

    Exit code: 0 on success, 1 when the file cannot be read, 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey plot sonata.flac --output sonata.png

      stonekey plot sonata.flac -o sonata.pdf -n camelot --title "A sonata"
    """
    if output.suffix.lower() not in SUFFIXES:
        fail(f"{output}: the output file must end in {', '.join(SUFFIXES)}")
    check_output(output, force, reads=[file], model=model)
    with exit_on_error():
        with needs_extra("eval"):
            import matplotlib  # noqa: F401

            from stonekey.evaluation.figures import save
        from stonekey.output.plots import plot_recording

        if title is None and file == STANDARD_INPUT:
            title = "standard input"
        with at_hand(file) as recording:
            figure = plot_recording(
                recording, model, hop=hop, window=window, notation=notation, title=title,
                settings=settings,
            )  # fmt: skip
        save(figure, output)
