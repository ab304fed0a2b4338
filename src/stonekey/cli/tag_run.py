"""What writing, undoing and redoing keys in tags share: one file at a time, and their results."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stonekey.cli.common import Interrupt
from stonekey.cli.output import open_output
from stonekey.keys import NO_KEY, non_key
from stonekey.output.formats import write_csv_rows, write_json_array, write_text_rows
from stonekey.text import display_name, log, printable, reason, shown

if TYPE_CHECKING:
    from stonekey.tags.tagging import Outcome

COLUMNS = ("file", "existing", "key", "confidence", "differs", "action", "error")

T = TypeVar("T")


class TagRun:
    """Goes through files; one bad file does not end the run."""

    def __init__(self, interrupt: Interrupt, progress: bool) -> None:
        self.interrupt = interrupt
        self.counts: Counter[str] = Counter()
        self._progress = progress

    def outcomes(
        self, items: Sequence[T], path_of: Callable[[T], Path], work: Callable[[T], Outcome]
    ) -> Iterator[Outcome]:
        """The outcome of ``work`` for each item, until the run is interrupted."""
        for item in self._tracked(items):
            outcome = self._attempt(path_of(item), lambda item=item: work(item))  # type: ignore[misc]
            if outcome is None:
                return
            yield outcome

    def note(self, path: Path, why: str) -> None:
        """Count and report something that failed before there was an outcome."""
        self.counts["failed"] += 1
        log(f"stonekey: {shown(path)}: {why}")

    def _tracked(self, items: Sequence[T]) -> Iterator[T]:
        if not self._progress or len(items) < 2:
            yield from items
            return
        from stonekey.output.progress import tracked

        # Closed after the last item: a bar still open would be drawn again below the table.
        with tracked(items) as bar:
            yield from bar

    def _attempt(self, path: Path, work: Callable[[], Outcome]) -> Outcome | None:
        """The outcome of the work, or None when the run is interrupted."""
        from stonekey.tags.tagging import Outcome

        if self.interrupt.requested:
            return None
        try:
            outcome = work()
        except KeyboardInterrupt:
            return None
        except Exception as error:  # one bad file must not end the run, whatever is wrong
            log(f"stonekey: {shown(path)}: {reason(error)}")
            outcome = Outcome(path, None, None, 0.0, "failed", reason(error))
        self.counts[outcome.action] += 1
        return outcome


def print_outcomes(
    outcomes: Iterable[Outcome],
    form: str,
    notation: str,
    found: str = "Found",
    as_written: bool = True,
) -> None:
    """Write the outcomes to standard output: a table on a terminal, else in format ``form``.

    ``found`` heads the column of the keys found or restored; ``as_written`` is for `as_record`.
    """
    from stonekey.tags.tagging import as_record

    records = (as_record(o, notation, display_name(o.path), as_written) for o in outcomes)
    headings = ("File", "In the tags", found, "Confidence", "Action")
    print_records(records, form, COLUMNS, headings, cells, "file")


def print_records(
    records: Iterable[dict[str, Any]],
    form: str,
    columns: Sequence[str],
    headings: Sequence[str],
    cells: Callable[[dict[str, Any]], list[str]],
    path: str,
) -> None:
    """Write records: as JSON, as CSV with ``columns`` (``path`` holds paths), or as ``cells``."""
    if form == "text" and sys.stdout.isatty():
        _print_table([cells(record) for record in records], headings)
        return
    with open_output(None) as stream:
        if form == "json":
            write_json_array(records, stream)
        elif form == "csv":
            write_csv_rows(records, columns, stream, paths=(path,))
        else:
            write_text_rows(map(cells, records), stream)


def cells(record: dict[str, Any]) -> list[str]:
    """File, existing key, key found, confidence, action."""
    action = record["action"]
    if record["existing"] and record["key"] and "restore" not in action:
        action += f", {_relation(record)}"
    confidence = f"{record['confidence']:.0%}" if record["confidence"] else ""
    return [record["file"], record["existing"] or "", record["key"] or "", confidence, action]


def _relation(record: dict[str, Any]) -> str:
    """How the existing text relates to the key found."""
    from stonekey.tags.base import parsed

    if parsed(record["existing"]) is None:
        return "off key" if non_key(record["existing"]) == NO_KEY else "not a key"
    return "differs" if record["differs"] else "agrees"


def _print_table(rows: Iterable[list[str]], headings: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        if heading in ("File", "Folder"):
            table.add_column(heading, overflow="fold")
        else:
            right = heading in ("Confidence", "Files")
            table.add_column(heading, no_wrap=True, justify="right" if right else "left")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    if table.row_count:
        Console().print(table)


def log_counts(counts: Counter[str]) -> None:
    """Say how many files had which outcome."""
    parts = ", ".join(f"{count} {action}" for action, count in counts.items())
    dry = counts["would write"] or counts["would restore"]
    if parts:
        log(f"stonekey: {parts}{'; nothing changes without --write' if dry else ''}")
