"""What all outputs share: formats by name and suffix, and records as JSON, CSV and text.

The writers flush after each record, so that a reader sees each file as soon as it is done. Text
is UTF-8.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar

from stonekey.output.page import Page
from stonekey.text import csv_cells, json_text, printable

Write = TypeVar("Write")
# Columns that are aligned to the right, and others that are never folded.
NUMBERS = ("Confidence", "Tracks", "Share", "Tempo", "Distance")
_SHORT = ("Key", "Move", "In the tags", "Ours", "Relation")
Record = dict[str, Any]


@dataclass(frozen=True)
class Format(Generic[Write]):
    """One format of an output.

    Attributes:
        name: what ``--format`` takes.
        write: the writer; its arguments depend on the output.
        suffixes: file suffixes that select this format.
    """

    name: str
    write: Write
    suffixes: tuple[str, ...] = ()


def formats(*every: Format[Write]) -> dict[str, Format[Write]]:
    """A registry: the formats of one output, by name."""
    return {form.name: form for form in every}


def write_json_array(records: Iterable[Record], stream: BinaryIO) -> None:
    """A JSON array, one record per line."""
    separator = "[\n"
    for record in records:
        stream.write((separator + json_text(record)).encode())
        stream.flush()
        separator = ",\n"
    stream.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def write_csv_rows(
    records: Iterable[Record],
    columns: Sequence[str],
    stream: BinaryIO,
    paths: tuple[str, ...] = (),
) -> None:
    """A header and one row per record, safe to open in a spreadsheet (`csv_cells`).

    Args:
        columns: keys of the records to write; others are left out.
        paths: columns that hold paths.
    """
    line = io.StringIO()
    rows = csv.DictWriter(line, columns, extrasaction="ignore", lineterminator="\n")

    def flush() -> None:
        stream.write(line.getvalue().encode("utf-8", "backslashreplace"))
        stream.flush()
        line.seek(0)
        line.truncate()

    rows.writeheader()
    flush()
    for record in records:
        rows.writerow(csv_cells(record, paths))
        flush()


def write_text_rows(rows: Iterable[Iterable[Any]], stream: BinaryIO) -> None:
    """One row per line, cells separated by tabs, no header; None is an empty cell."""
    for row in rows:
        cells = ("" if cell is None else printable(str(cell)) for cell in row)
        stream.write(("\t".join(cells) + "\n").encode("utf-8", "backslashreplace"))
        stream.flush()


def write_table_rows(
    titles: Sequence[str], rows: Iterable[Sequence[Any]], stream: BinaryIO
) -> None:
    """A table for a terminal, as wide as it is. Nothing without rows.

    Numbers (`NUMBERS`) are on the right. A float is shown as a percentage, None as an empty cell.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        number = title in NUMBERS
        table.add_column(
            title,
            overflow="fold",
            no_wrap=number or title in _SHORT,
            justify="right" if number else "left",
        )
    for row in rows:
        table.add_row(*(Text(printable(_cell(cell))) for cell in row))
    if table.row_count:
        page = Page()
        Console(file=page, force_terminal=True).print(table)
        stream.write(page.take())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.0%}" if isinstance(value, float) else str(value)
