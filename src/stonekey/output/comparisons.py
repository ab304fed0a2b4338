"""Keys in tags against ours, the output of "stonekey compare"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from stonekey.output.formats import (
    Format,
    Record,
    formats,
    write_csv_rows,
    write_table_rows,
    write_text_rows,
)
from stonekey.text import json_text

COLUMNS = ("path", "tagged", "key", "confidence", "relation", "fifths", "error")
# How keys are related, nearest first; other tracks have no two keys to compare.
RELATIONS = ("agree", "fifth", "relative", "parallel", "other")


@dataclass(frozen=True)
class Comparisons:
    """Tracks, how many there are of each relation, and whether a terminal shows them."""

    records: Sequence[Record]
    counts: Mapping[str, int]
    terminal: bool = False

    @property
    def compared(self) -> int:
        """How many tracks have two keys."""
        return sum(self.counts.get(name, 0) for name in RELATIONS)

    @property
    def summary(self) -> str:
        """The counts as one line."""
        both = ", ".join(f"{self.counts.get(name, 0)} {name}" for name in RELATIONS)
        rest = [f"{count} {name}" for name, count in self.counts.items() if name not in RELATIONS]
        return "; ".join([f"{self.compared} compared: {both}", *rest])


def _text(found: Comparisons, stream: BinaryIO) -> None:
    names = COLUMNS[:5]
    if not found.terminal:
        write_text_rows(([record[name] for name in names] for record in found.records), stream)
        return
    differ = [record for record in found.records if record["relation"] not in ("agree", "failed")]
    titles = ("File", "In the tags", "Ours", "Confidence", "Relation")
    write_table_rows(titles, ([record[name] for name in names] for record in differ), stream)
    counts = [(name, found.counts.get(name, 0)) for name in RELATIONS]
    shares = [(*one, f"{one[1] / found.compared:.0%}" if found.compared else "") for one in counts]
    rest = [(name, count, "") for name, count in found.counts.items() if name not in RELATIONS]
    write_table_rows(("Relation", "Tracks", "Share"), [*shares, *rest], stream)


def _json(found: Comparisons, stream: BinaryIO) -> None:
    counts = {**dict.fromkeys(RELATIONS, 0), **found.counts}
    whole = {"compared": found.compared, "counts": counts, "tracks": list(found.records)}
    stream.write(json_text(whole, indent=2).encode() + b"\n")


def _csv(found: Comparisons, stream: BinaryIO) -> None:
    write_csv_rows(found.records, COLUMNS, stream, paths=("path",))


COMPARISONS: dict[str, Format[Callable[[Comparisons, BinaryIO], None]]] = formats(
    Format("text", _text, (".txt", ".tsv")),
    Format("json", _json, (".json",)),
    Format("csv", _csv, (".csv",)),
)
