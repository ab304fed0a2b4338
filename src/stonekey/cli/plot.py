"""``stonekey plot``: one picture of a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import (
    Device,
    Force,
    Hop,
    Model,
    Notation,
    Recording,
    Threads,
    Timeout,
    Tune,
    Window,
    fail,
    told_errors,
)
from stonekey.cli.output import check_output
from stonekey.keys import NOTATIONS
from stonekey.model.registry import DEFAULT_MODEL

SUFFIXES = (".png", ".svg", ".pdf")


def plot(
    file: Recording,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Picture to write: .png, .svg or .pdf.")
    ],
    model: Model = DEFAULT_MODEL,
    force: Force = False,
    hop: Hop = 2.0,
    window: Window = None,
    notation: Notation = "short",
    title: Annotated[
        str | None, typer.Option(help="Above the picture; the file's name by default.")
    ] = None,
    tune: Tune = "auto",
    device: Device = "cpu",
    threads: Threads = None,
    timeout: Timeout = None,
) -> None:
    """Draw a recording: its chroma, its keys over time, and the circle of fifths.

    Needs matplotlib: pip install "stonekey[eval]".

    Exit code: 0, 1 when the file cannot be read, 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey plot sonata.flac --output sonata.png

      stonekey plot sonata.flac --output sonata.pdf --notation camelot --title "A sonata"
    """
    if output.suffix.lower() not in SUFFIXES:
        fail(f"{output}: the picture's name must end in {', '.join(SUFFIXES)}")
    if notation not in NOTATIONS:
        fail(f"--notation must be one of {', '.join(NOTATIONS)}, got '{notation}'")
    check_output(output, force, reads=[file])
    with told_errors():
        try:
            import matplotlib.figure  # noqa: F401

            from stonekey.evaluation.figures import save
        except ImportError:
            fail('this needs matplotlib: pip install "stonekey[eval]"')
        from stonekey.audio.tuning import checked_option
        from stonekey.output.plots import plot_recording

        figure = plot_recording(
            file, model, hop=hop, window=window, notation=notation, title=title, device=device,
            threads=threads, tune=checked_option(tune), timeout=timeout,
        )  # fmt: skip
        save(figure, output)
