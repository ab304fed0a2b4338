"""``stonekey tag --undo``, ``--redo`` and ``--history``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonekey.cli.common import fail
from stonekey.cli.tag_run import TagRun, cells, print_outcomes, print_records
from stonekey.text import counted, display_name, log, printable, shown

if TYPE_CHECKING:
    from stonekey.tags.journal import Entry, Run
    from stonekey.tags.tagging import Outcome

COLUMNS = ("time", "folder", "files", "missing", "state")


def revert(
    run: TagRun,
    names: list[Path] | None,
    *,
    redo: bool,
    write: bool,
    ask: bool,
    force: bool,
    keep_mtime: bool,
    form: str,
    notation: str,
) -> None:
    """Undo or redo the last run, or what it changed among ``names``; dry without ``write``.

    Exits with bad usage when there is nothing to revert, and when nobody can be asked.
    """
    from stonekey.audio.spelling import AsGiven
    from stonekey.tags.journal import (
        UNDONE,
        WRITTEN,
        Journal,
        held_runs,
        journal_folder,
        read_runs,
        settle,
    )
    from stonekey.tags.undo import choose, revert_file
    from stonekey.tags.writing import sweep

    if ask and not sys.stdin.isatty():
        fail("name the files or folders, or give --yes: here nobody can be asked")
    folder, verb = journal_folder(), "redo" if redo else "undo"
    as_given = AsGiven(names or ())

    def named(entry: Entry) -> Path:
        return as_given(_path(entry))

    with ExitStack() as stack:
        runs = stack.enter_context(held_runs(folder)) if write else read_runs(folder)
        places = None if names is None else _expanded(run, names)
        found = choose([r for r in runs if r.undone == redo], places, force)
        if found is None:
            fail(_nothing(verb, [r for r in runs if r.undone == redo], names, folder))
        chosen, entries, passed = found
        for older in passed:
            log(f"stonekey: passed over: {_described(older)}: gone or changed since")
        log(f"stonekey: {verb}: {_described(chosen)}")

        def preview(entry: Entry) -> Outcome:
            outcome, _ = revert_file(entry, None, force, keep_mtime)
            return replace(outcome, path=named(entry))

        if not write or ask:
            listed = run.outcomes(entries, named, preview)
            if not write:
                print_outcomes(listed, form, notation, "Before")
                return
            _ask(run, verb, list(listed), notation)
        if lines := (damage := chosen.take_damaged())[1]:
            run.counts["failed"] += lines
            damaged = counted(lines, "damaged line")
            log(f"stonekey: the journal has {damaged}, now kept in {damage[0]}")
        sweep(map(_path, entries))
        counter = stack.enter_context(Journal(folder, WRITTEN if redo else UNDONE))
        reverted: dict[int, list[int] | None] = {}
        stack.callback(lambda: settle(runs, chosen, reverted))

        def work(entry: Entry) -> Outcome:
            outcome, reverted[id(entry)] = revert_file(entry, counter, force, keep_mtime)
            return replace(outcome, path=named(entry))

        print_outcomes(run.outcomes(entries, named, work), form, notation, "Before")


def history(run: TagRun, names: list[Path] | None, form: str) -> None:
    """Print the runs, the newest first: when, in which folder, how many files."""
    from stonekey.tags.journal import journal_folder, read_runs
    from stonekey.tags.undo import is_gone, within

    places = None if names is None else _expanded(run, names)
    records: list[dict[str, Any]] = []
    for one in read_runs(journal_folder()):
        if entries := one.entries if places is None else within(one.entries, places):
            records.append(
                {
                    "time": one.time.astimezone().isoformat(timespec="seconds"),
                    "folder": display_name(one.folder),
                    "files": len(entries),
                    "missing": sum(map(is_gone, entries)),
                    "state": "undone" if one.undone else "written",
                }
            )
    print_records(
        records, form, COLUMNS, ("Time", "Folder", "Files", "State"), _history_cells, "folder"
    )
    if not records:
        log("stonekey: no runs")


def _history_cells(record: dict[str, Any]) -> list[str]:
    gone = f", {record['missing']} gone" if record["missing"] else ""
    time = record["time"][:19].replace("T", " ")
    return [time, record["folder"], str(record["files"]), record["state"] + gone]


def _path(entry: Entry) -> Path:
    return Path(entry.path)


def _expanded(run: TagRun, names: list[Path]) -> list[Path]:
    """The names, playlists replaced by their entries."""
    from stonekey.audio.files import expanded, listing_problem

    return list(expanded(names, lambda path, error: run.note(path, listing_problem(error))))


def _described(run: Run) -> str:
    time, files = run.time.astimezone(), counted(len(run.entries), "file")
    if damaged := len(run.lines) - len(run.entries):
        files += f", {damaged} damaged"
    return f"the run of {time:%Y-%m-%d %H:%M:%S} in {shown(run.folder)} ({files})"


def _nothing(verb: str, runs: list[Run], names: list[Path] | None, folder: Path) -> str:
    if names is not None:
        return f"nothing to {verb} there; --history lists the runs"
    if runs:
        return f"nothing to {verb}: the files of every run are gone"
    done = "been undone" if verb == "redo" else "written tags"
    return f"nothing to {verb}: no run in {folder} has {done}"


def _ask(run: TagRun, verb: str, outcomes: Iterable[Outcome], notation: str) -> None:
    """List what would be restored on standard error and ask; exits if the answer is not yes."""
    from stonekey.tags.tagging import as_record

    for outcome in outcomes:
        row = cells(as_record(outcome, notation, display_name(outcome.path)))
        log("  ".join(printable(cell) for cell in row if cell))
    count = run.counts["would restore"]
    run.counts.clear()
    print(f"{verb} {counted(count, 'file')}? [y/N] ", end="", file=sys.stderr, flush=True)
    run.interrupt.working = True
    answer = sys.stdin.readline()
    run.interrupt.working = False
    if answer.strip().lower() not in ("y", "yes"):
        fail("nothing changed", 1)
