"""Journals of what each run changed, so that it can be undone, and of undone changes, to redo them.

Each run has a file of JSON lines in the folder ``tags`` beside the fetched models. An entry
reaches the disk before its audio file is replaced, so a crash loses nothing. Undoing moves
entries from the journal of a run to a new journal of undone changes, and redoing moves them back.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stonekey.files import LockedError, cache_folder, locked, write_atomically
from stonekey.text import json_text

WRITTEN, UNDONE = ".jsonl", ".undone"  # suffixes of the two kinds of journals
KEPT = 20  # journals of each kind; older ones are deleted
_NEW = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_STAMP = "%Y%m%dT%H%M%S%f"  # UTC, at the start of a journal's name
PATIENCE = 30  # seconds to wait for other runs; each needs milliseconds to replace a file


@dataclass(frozen=True)
class Entry:
    """A file that a run changed or was about to change, or that was undone.

    Attributes:
        path: absolute path.
        before, after: `stonekey.tags.writing.fingerprint` of the file in both states.
        had_tags: whether the file had tags before.
        fields: name of each field that was set -> its values before (`Tags.dump`).
    """

    path: str
    before: list[int]
    after: list[int]
    had_tags: bool
    fields: dict[str, Any]


def journal_folder() -> Path:
    """The folder of all journals, in `stonekey.files.cache_folder`."""
    return cache_folder() / "tags"


class Journal:
    """The journal that a run writes; the file appears with the first entry."""

    def __init__(self, folder: Path, kind: str = WRITTEN) -> None:
        self.folder = folder
        self._kind = kind
        self._handle: int | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
        self._stack.close()

    def add(self, entry: Entry) -> None:
        """Append an entry and wait until it is on the disk.

        Raises:
            OSError: the journal cannot be written.
        """
        if self._handle is None:
            self._handle = self._open()
        line = _line(entry) + b"\n"
        start = os.fstat(self._handle).st_size
        try:
            if os.write(self._handle, line) < len(line):
                raise OSError("the disk is full")
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, start)
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OSError:
        return OSError(f"cannot write the journal in {self.folder}: {error.strerror or error}")

    def _open(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = datetime.now(timezone.utc).strftime(f"{_STAMP}-{os.getpid()}")
            path = self.folder / (name + self._kind)
            self._stack.enter_context(_lock(path))
            handle = os.open(path, _NEW, 0o600)
        except OSError as error:
            raise self._failed(error) from error
        for old in _journals(self.folder, self._kind)[:-KEPT]:
            old.unlink(missing_ok=True)
        return handle


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait for this process's turn to replace a file; one process of a user at a time has it.

    Raises:
        LockedError: the turn did not come within `PATIENCE` seconds.
    """
    end = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(folder / "turn.lock"))
                break
            except LockedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)
        yield


@dataclass
class Run:
    """A journal as it was read.

    Attributes:
        path: the journal.
        lines: each line with its entry, or with None when it is damaged.
    """

    path: Path
    lines: list[tuple[Entry | None, bytes]]

    @property
    def entries(self) -> list[Entry]:
        """What can be reverted, the last change first."""
        return [entry for entry, _ in reversed(self.lines) if entry is not None]

    @property
    def undone(self) -> bool:
        """Whether these changes have been undone, and can be redone."""
        return self.path.suffix == UNDONE

    @property
    def time(self) -> datetime:
        """When the run started."""
        try:
            named = datetime.strptime(self.path.name.partition("-")[0], _STAMP)
            return named.replace(tzinfo=timezone.utc)
        except ValueError:  # renamed by hand
            return datetime.fromtimestamp(self.path.stat().st_mtime, timezone.utc)

    @property
    def folder(self) -> str:
        """The folder that holds all files of the run."""
        try:
            return os.path.commonpath({os.path.dirname(entry.path) for entry in self.entries})
        except ValueError:  # on several drives
            return ""

    def take_damaged(self) -> tuple[Path, int]:
        """Move the damaged lines to a file beside the journal; returns it and their number."""
        damaged = [line for entry, line in self.lines if entry is None]
        kept = self.path.with_suffix(".damaged")
        if damaged:
            _write(kept, damaged)
            self.lines = [line for line in self.lines if line[0] is not None]
            self.save()
        return kept, len(damaged)

    def save(self) -> None:
        """Write the journal anew; one without lines is deleted."""
        if self.lines:
            _write(self.path, [line for _, line in self.lines])
        else:
            self.path.unlink(missing_ok=True)


def read_runs(folder: Path) -> list[Run]:
    """All journals of a folder, of both kinds, the newest first; those without entries left out."""
    runs = []
    for path in (*_journals(folder, WRITTEN), *_journals(folder, UNDONE)):
        try:
            # A crash cut off what follows the last line end, before its file changed.
            lines = path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:  # undone by another process at this moment
            continue
        runs.append(Run(path, [(_entry(line), line) for line in lines]))
    return sorted((run for run in runs if run.lines), key=lambda run: run.path.name, reverse=True)


@contextmanager
def held_runs(folder: Path) -> Iterator[list[Run]]:
    """As `read_runs`, with a lock on every journal until the end.

    Raises:
        ValueError: another process is using one of them.
    """
    with ExitStack() as stack:
        try:
            for path in (*_journals(folder, WRITTEN), *_journals(folder, UNDONE)):
                stack.enter_context(_lock(path))
        except LockedError:
            raise ValueError(
                "another run is still writing or undoing tags: wait until it ends"
            ) from None
        yield read_runs(folder)


def settle(runs: list[Run], run: Run, reverted: Mapping[int, list[int] | None]) -> None:
    """Take reverted entries out of their run, and tell the other journals of the files' new state.

    Args:
        runs: all journals.
        run: the one whose entries were reverted.
        reverted: `id` of an entry -> fingerprint of its file now, or None where the run had ended
            before it changed the file.
    """
    states: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for done in run.entries:
        if state := reverted.get(id(done)):
            states[done.path, tuple(done.before)] = state
    run.lines = [(entry, line) for entry, line in run.lines if id(entry) not in reverted]
    run.save()
    for other in runs:
        changed = False
        for i, (entry, _) in enumerate(other.lines):
            # The file is again as that run left it, only the modification time is another.
            if entry and (now := states.get((entry.path, tuple(entry.after)))):
                moved = replace(entry, after=now)
                other.lines[i] = moved, _line(moved)
                changed = True
        if changed:
            other.save()


def _line(entry: Entry) -> bytes:
    return json_text(asdict(entry), ascii=True).encode()


def _write(path: Path, lines: list[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def _entry(line: bytes) -> Entry | None:
    """The entry in a line, or None when it is damaged."""
    try:
        entry = Entry(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    states = [*entry.before, *entry.after] if _are(list, entry.before, entry.after) else [None]
    valid = _are(str, entry.path) and _are(int, *states) and _are(dict, entry.fields)
    return entry if valid and "\0" not in entry.path else None


def _are(kind: type, *values: object) -> bool:
    return all(isinstance(value, kind) for value in values)


def _lock(path: Path) -> AbstractContextManager[None]:
    return locked(path.with_suffix(".lock"))


def _journals(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"*{kind}"))
