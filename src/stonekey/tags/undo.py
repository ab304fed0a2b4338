"""Undo what runs wrote into tags, and redo it.

Both revert entries of a journal: undoing those of a run, redoing those of an earlier undo.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from stonekey.audio.spelling import ByPath
from stonekey.tags.base import TagError, as_tag_errors, parsed
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import Entry, Journal, Run, turn
from stonekey.tags.tagging import Outcome
from stonekey.tags.writing import check_writable, fingerprint, rewrite


def is_gone(entry: Entry) -> bool:
    """Whether the file of an entry is no longer there."""
    return not os.path.exists(entry.path)


def within(entries: Iterable[Entry], names: Iterable[Path]) -> list[Entry]:
    """The entries of these files, and of files anywhere in these folders; existing or not."""
    places = ByPath(
        (Path(place(name)), True) for name in names for place in (os.path.abspath, os.path.realpath)
    )

    def named(path: str) -> bool:
        return any(places.get(place) for place in (Path(path), *Path(path).parents))

    return [e for e in entries if named(e.path) or named(os.path.realpath(e.path))]


def choose(
    runs: list[Run], names: Iterable[Path] | None, force: bool
) -> tuple[Run, list[Entry], list[Run]] | None:
    """What to revert: the last of the runs that changed one of ``names``, limited to those.

    Runs whose files are all gone are passed over. If files are named, so is a run after which
    something else changed all of them, as long as there is an earlier one to revert. Without
    names it is not: nobody asked for an earlier run, which may be about another folder.

    Args:
        runs: of one kind, the newest first.
        names: files and folders; None for everything.
        force: as for `revert_file`.

    Returns:
        The run, its entries to revert, and the runs passed over; None when there is nothing.
    """
    there: list[tuple[Run, list[Entry], list[Run]]] = []
    passed: list[Run] = []
    names = None if names is None else list(names)
    for run in runs:
        entries = run.entries if names is None else within(run.entries, names)
        unreadable = names is None and not entries  # damaged: do not fall back to an earlier run
        if unreadable or not all(map(is_gone, entries)):
            there.append((run, entries, list(passed)))
            if names is None or any(_is_open(entry, force) for entry in entries):
                return there[-1]
        if entries:
            passed.append(run)
    return there[0] if there else None


def _is_open(entry: Entry, force: bool) -> bool:
    """Whether an entry can be reverted, judging by the state of its file."""
    try:
        now = fingerprint(os.stat(entry.path))
    except OSError:
        return False
    return force or now in (entry.before, entry.after)


def revert_file(
    entry: Entry, journal: Journal | None, force: bool = False, keep_mtime: bool = False
) -> tuple[Outcome, list[int] | None]:
    """Restore the fields of a file to their values before the change in ``entry``.

    Args:
        entry: the change.
        journal: journal of the opposite kind, which takes the values that are replaced; None to
            only report what would be restored.
        force: restore them even if something else has changed the file since.
        keep_mtime: keep the file's modification time.

    Returns:
        The outcome, and the fingerprint of the file now; None where nothing was written.

    Raises:
        TagError: the fields cannot be restored; the file is left as it is.
    """
    path = Path(entry.path)
    with as_tag_errors(path):
        before = path.stat()
        now = fingerprint(before)
        tags = open_tags(path)
        existing = tags.text("key")
        if now != entry.after and not force:
            if now != entry.before:
                raise TagError(path, "changed since; --force restores its key anyway")
            # The run ended before it wrote this.
            key = parsed(existing or "")
            return Outcome(path, existing, key, 0.0, "kept", after=existing), None
        present, former = tags.present, {name: tags.dump(name) for name in entry.fields}
        for name, dumped in entry.fields.items():
            tags.restore(name, dumped)
        restored = tags.text("key")
        key = parsed(restored or "")
    check_writable(path, before)
    if journal is None:
        return Outcome(path, existing, key, 0.0, "would restore", after=restored), None
    after: list[int] = []

    def edit(copy: Path) -> None:
        changed = open_tags(copy)
        for name, dumped in entry.fields.items():
            changed.restore(name, dumped)
        changed.save()
        if not entry.had_tags:
            changed.delete_if_empty()

    def note(status: os.stat_result) -> None:
        after[:] = fingerprint(status)
        journal.add(Entry(entry.path, now, list(after), present, former))

    rewrite(path, before, edit, turn(journal.folder), note, keep_mtime)
    return Outcome(path, existing, key, 0.0, "restored", after=restored), after
