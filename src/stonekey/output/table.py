"""Results as a table for reading."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from stonekey.estimate.result import KeyEstimate
from stonekey.keys import NO_KEY
from stonekey.output.page import Page, rule
from stonekey.output.records import FileResult, Layout
from stonekey.text import counted, display_name, one_line, printable

if TYPE_CHECKING:
    from rich.table import Column, Table

_NARROWEST = 16  # of the column of names, on a narrow terminal
_ENDLESS = 100_000  # a file need not be wrapped


def write_table(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """A table, each row as soon as its file is done, then totals; in colour on a terminal.

    A file that could not be read has the reason in its row; warnings follow the row of their file.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colour = layout.terminal and sys.stdout.isatty()
    columns = _columns(layout, Console().width if colour else None)
    width = sum((column.width or 0) + 2 for column in columns) - 2
    page = Page(None if layout.terminal else "utf-8")
    console = Console(file=page, force_terminal=colour, width=None if colour else _ENDLESS)

    def flush() -> None:
        stream.write(page.take())
        stream.flush()

    def grid(*columns: Column) -> Table:
        return Table.grid(
            *(column.copy() for column in columns), padding=(0, 2, 0, 0), pad_edge=False
        )

    totals = Totals()
    for row in results:
        if not totals.files:
            head = grid(*columns)
            head.add_row(*(Text(str(column.header), style="bold") for column in columns))
            console.print(head, Text(rule(console, width)), sep="\n")
        totals.count(row)
        name = Text(printable(row.file))
        if row.estimate is None:
            line = grid(columns[0])
            line.add_row(name, Text(f"error: {one_line(row.error or '')}", style="red"))
        else:
            line = grid(*columns)
            line.add_row(name, *_cells(row.estimate, layout))
        console.print(line)
        for note in row.estimate.warnings if row.estimate else ():
            console.print(Text(f"  {one_line(note)}", style="dim"))
        flush()
    if totals.files > 1:
        console.print(Text(f"\n{totals}"))
        flush()


class Totals:
    """What a run found in all."""

    def __init__(self) -> None:
        self.files = self.keys = self.errors = 0
        self.seconds = 0.0

    def count(self, result: FileResult) -> None:
        """Add a result."""
        self.files += 1
        if result.estimate is None:
            self.errors += 1
        else:
            self.seconds += result.estimate.duration
            self.keys += result.estimate.label is not None

    def __str__(self) -> str:
        without = self.files - self.keys - self.errors
        parts = [f"{self.keys} with a key"]
        parts += [f"{without} with {NO_KEY}"] if without else []
        parts += [f"{self.errors} could not be read"] if self.errors else []
        files = counted(self.files, "file")
        return f"{files}, {clock(self.seconds)} of sound: {', '.join(parts)}"


def clock(seconds: float) -> str:
    """``3:07``, or ``1:02:03`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _columns(layout: Layout, room: int | None) -> list[Column]:
    """The columns, as wide as they need to be; names are limited to the room there is."""
    from rich.cells import cell_len
    from rich.table import Column

    key = max(len(label.format(layout.notation)) for label in layout.class_table)
    others = {"Key": max(key, len(NO_KEY)), "Confidence": 10}
    if following := max(layout.top or 1, 1) - 1:
        wide = following * (key + len(" 100%, ")) - 2
        others["Next"] = wide if room is None else min(wide, max(room // 3, key + 5))
    others["Length"] = 7
    name = max((cell_len(printable(display_name(file))) for file in layout.files), default=0)
    name = max(name, len("File"))
    if room is not None:
        name = min(name, max(_NARROWEST, room - sum(width + 2 for width in others.values())))
    right = ("Confidence", "Length")
    return [
        Column("File", width=name, overflow="fold"),
        *(
            Column(header, width=width, justify="right" if header in right else "left")
            for header, width in others.items()
        ),
    ]


def _cells(estimate: KeyEstimate, layout: Layout) -> list:
    from rich.text import Text

    if estimate.label is None:
        name = Text(NO_KEY, style="yellow")
    else:
        name = Text(estimate.label.format(layout.notation), style="bold")
    cells = [name, Text(f"{estimate.confidence:.0%}")]
    if (layout.top or 1) > 1:
        following = estimate.top(layout.top or 1)[1:]
        cells.append(
            Text(", ".join(f"{label.format(layout.notation)} {p:.0%}" for label, p in following))
        )
    return [*cells, Text(clock(estimate.duration))]
