"""Results as a table for reading."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import BinaryIO

from stonekey.estimate.result import KeyEstimate
from stonekey.keys import NO_KEY
from stonekey.output.records import FileResult, Layout
from stonekey.text import one_line, printable


def write_table(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """A table of all files, in colour on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("File", overflow="fold")
    table.add_column("Key", no_wrap=True)
    table.add_column("Confidence", justify="right")
    others = (layout.top or 1) > 1
    if others:
        table.add_column("Next")
    table.add_column("Length", justify="right")
    rows = list(results)
    for row in rows:
        cells = [Text(printable(row.file)), *_cells(row, layout.notation)]
        if others:
            cells.insert(3, Text(_next(row.estimate, layout)))
        table.add_row(*cells)
    colour = layout.terminal and sys.stdout.isatty()
    text = io.StringIO()
    # A file need not be wrapped at 80 columns.
    console = Console(file=text, force_terminal=colour, width=None if colour else 200)
    if rows:
        console.print(table)
    for row in rows:
        notes = row.estimate.warnings if row.estimate else (row.error or "",)
        if row.estimate or not layout.terminal:  # else standard error already reports errors
            for note in notes:
                console.print(Text(f"{printable(row.file)}: {one_line(note)}"), soft_wrap=True)
    encoding = sys.stdout.encoding if layout.terminal and sys.stdout.encoding else "utf-8"
    stream.write(text.getvalue().encode(encoding, "replace"))


def _cells(row: FileResult, notation: str) -> list:
    from rich.text import Text

    estimate = row.estimate
    if estimate is None:
        return [Text("error", style="red"), Text(""), Text("")]
    minutes, seconds = divmod(round(estimate.duration), 60)
    length = Text(f"{minutes}:{seconds:02d}")
    if estimate.label is None:
        return [Text(NO_KEY, style="yellow"), Text(""), length]
    name = Text(estimate.label.format(notation), style="bold")
    return [name, Text(f"{estimate.confidence:.0%}"), length]


def _next(estimate: KeyEstimate | None, layout: Layout) -> str:
    if estimate is None:
        return ""
    following = estimate.top(layout.top or 1)[1:]
    return ", ".join(f"{label.format(layout.notation)} {p:.0%}" for label, p in following)
