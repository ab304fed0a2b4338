"""Journals of what each run changed, so that the last run can be undone.

Each run has a file of JSON lines in the folder ``tags`` beside the fetched models. An entry
reaches the disk before its audio file is replaced, so a crash loses nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stonekey.files import LockedError, cache_folder, locked, write_atomically
from stonekey.text import json_text

KEPT = 20  # journals; older ones are deleted
PATIENCE = 30  # seconds to wait for other runs; each needs milliseconds to replace a file


@dataclass(frozen=True)
class Entry:
    """A file that a run changed or was about to change.

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
    """The journal of a run; the file appears with the first entry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        line = json_text(asdict(entry), ascii=True).encode() + b"\n"
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
            name = datetime.now(timezone.utc).strftime(f"%Y%m%dT%H%M%S%f-{os.getpid()}.jsonl")
            path = self.folder / name
            self._stack.enter_context(_lock(path))
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise self._failed(error) from error
        for old in _journals(self.folder)[:-KEPT]:
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


@contextmanager
def last_run(
    folder: Path, on_damage: Callable[[Path, int], object] = lambda kept, lines: None
) -> Iterator[tuple[Path, list[Entry]]]:
    """Lock the newest journal; yields its path and its entries, the last one first.

    Args:
        folder: folder of the journals.
        on_damage: called if some lines cannot be read, with the file beside the journal that now
            keeps them, and how many there are. The other lines still count.

    Raises:
        ValueError: there is no journal, or another process is using it.
    """
    found = _journals(folder)
    if not found:
        raise ValueError(f"nothing to undo: no run in {folder} has written tags")
    path = found[-1]
    with ExitStack() as stack:
        try:
            stack.enter_context(_lock(path))
        except LockedError:
            raise ValueError(
                "another run is still writing or undoing tags: wait until it ends"
            ) from None
        try:
            # A crash cut off what follows the last line end, before its file changed.
            lines = path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            raise ValueError("the last run has just been undone by another process") from None
        read = [(_entry(line), line) for line in lines]
        if damaged := [line + b"\n" for entry, line in read if entry is None]:
            kept = path.with_suffix(".damaged")
            write_atomically(kept, lambda temporary: temporary.write_bytes(b"".join(damaged)))
            on_damage(kept, len(damaged))
        yield path, [entry for entry, _ in read if entry is not None][::-1]


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


def keep_only(path: Path, entries: Iterable[Entry]) -> None:
    """Rewrite a journal with these entries, the last one first; without any, delete it."""
    lines = [json_text(asdict(entry), ascii=True).encode() + b"\n" for entry in entries][::-1]
    if lines:
        write_atomically(path, lambda temporary: temporary.write_bytes(b"".join(lines)))
    else:
        path.unlink(missing_ok=True)


def _lock(path: Path) -> AbstractContextManager[None]:
    return locked(path.with_suffix(".lock"))


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))
