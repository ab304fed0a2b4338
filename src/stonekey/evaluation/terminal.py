"""An evaluation on a terminal: what is left out, progress, tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stonekey.data.manifest import Manifest, Track
from stonekey.evaluation.predictions import Watch, unwatched
from stonekey.evaluation.report import Report
from stonekey.evaluation.tables import data_lines, group_rows, key_rows, signature_rows
from stonekey.output.progress import tracked
from stonekey.text import counted, echo, log, printable

# The columns that fit a terminal; report.md has all of them.
_SHOWN = ("system", "outputs", "N", "MIREX", "MIREX, ascending fifths only", "KSEA", "accuracy",
          "mode", "tonic", "ECE", "correct", "fifth")  # fmt: skip

# Labels that are quoted on a terminal.
MOST_NAMED = 10


class NothingToScoreError(ValueError):
    """A manifest without a track that can be scored."""


def check_tracks(manifest: Manifest, needs_audio: bool) -> None:
    """Report on standard error what will not be scored.

    Raises:
        NothingToScoreError: when nothing can be.
    """
    counts = manifest.counts()
    if not (manifest.usable if needs_audio else manifest.labelled):
        raise NothingToScoreError(f"{manifest.name}: no track can be scored ({manifest.summary()})")
    skipped = {
        "without audio": counts["missing"] if needs_audio else 0,
        "unlabelled": counts["unlabelled"],
        "with a label that is no key": counts["unusable_labels"],
        "keyless": counts["keyless"],
        "listed twice": counts["duplicates"],
    }
    if any(skipped.values()):
        found = ", ".join(f"{count} {what}" for what, count in skipped.items() if count)
        log(f"stonekey: not scored: {found} (of {counts['tracks']} distinct tracks)")
    for track in manifest.unusable[:MOST_NAMED]:
        log(f"stonekey: {track.id}: {track.problem}")
    if (more := counts["unusable_labels"] - MOST_NAMED) > 0:
        log(f"stonekey: and {more} more labels, which report.md lists (--output)")


def progress_watch(wanted: bool | None) -> Watch:
    """A progress bar over the tracks; for None, only when standard error is a terminal."""
    if wanted or (wanted is None and sys.stderr.isatty()):

        def watch(name: str, tracks: Sequence[Track]) -> AbstractContextManager[Iterator[Track]]:
            if not tracks:
                return unwatched(name, tracks)
            log(f"{name}: {counted(len(tracks), 'track')} to analyse")
            return tracked(tracks)

        return watch
    return unwatched


def log_failures(report: Report) -> None:
    """Report on standard error what must be known of a system, and tracks it could not read."""
    for system in report.systems:
        if remark := system.system.remark:
            log(f"stonekey: warning: {system.name}: {remark}")
        for track, error in system.failures:
            log(f"stonekey: {system.name}: {track}: {error}")


def show(report: Report) -> None:
    """Print a report's tables; report failures on standard error."""
    log_failures(report)
    for line in data_lines(report):
        echo(line)
    if rows := key_rows(report):
        print_table("24 keys", rows)
    print_table("12 key signatures", signature_rows(report))
    for column in report.by:
        print_table(f"By {column}", group_rows(report, column), every=True)


def print_table(title: str, rows: list[list[str]], every: bool = False) -> None:
    """Print a header and rows; without ``every`` only the columns that fit a terminal."""
    chosen = [
        i for i, name in enumerate(rows[0]) if every or name in _SHOWN or name.startswith("against")
    ]
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160)
    short = {"MIREX, ascending fifths only": "ascending only"}
    cells = [[short.get(row[i], row[i]) for i in chosen] for row in rows]
    needed = sum(max(map(len, column)) + 2 for column in zip(*cells, strict=True))
    if needed > console.width:  # put intervals and p on their own lines
        cells = [[c.replace(" [", "\n[").replace("], p", "],\np") for c in row] for row in cells]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in cells[0]:
        table.add_column(
            Text(printable(name, keep="\n")),
            justify="left" if name == cells[0][0] else "right",
            overflow="fold",
        )
    for row in cells[1:]:
        table.add_row(*(Text(printable(cell, keep="\n")) for cell in row))
    echo(f"\n{title}")
    console.print(table)
