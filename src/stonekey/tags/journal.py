"""What runs changed, kept so that the last one can be undone.

One file of JSON lines a run, in the folder ``tags`` beside the fetched models. An entry is
on the disk before its file is replaced, so a crash loses none.
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

from stonekey.files import LockedError, locked, write_atomically
from stonekey.text import json_text

KEPT = 20  # journals; older ones are removed
PATIENCE = 30  # seconds to wait for other runs, which replace a file in milliseconds


@dataclass(frozen=True)
class Entry:
    """A file that a run changed, or was about to.

    Attributes:
        path: absolute path.
        before, after: `stonekey.tags.writing.fingerprint` of the file in both states.
        had_tags: whether it had tags of its format before.
        fields: name of each field that was set and its former values (`Tags.dump`).
    """

    path: str
    before: list[int]
    after: list[int]
    had_tags: bool
    fields: dict[str, Any]


def journal_folder() -> Path:
    """Where journals are kept: under ``$STONEKEY_HOME``, or the user's cache folder."""
    from stonekey.files import cache_folder

    return cache_folder() / "tags"


class Journal:
    """The journal of a run that writes; a run that changes nothing leaves none."""

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
        """Append an entry; it is on the disk when this returns.

        Raises:
            OSError: when the journal cannot be written.
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
            raise OSError(f"the journal in {self.folder}: {error.strerror or error}") from error

    def _open(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = datetime.now(timezone.utc).strftime(f"%Y%m%dT%H%M%S%f-{os.getpid()}.jsonl")
            path = self.folder / name
            self._stack.enter_context(_lock(path))
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise OSError(f"the journal in {self.folder}: {error.strerror or error}") from error
        for old in _journals(self.folder)[:-KEPT]:
            old.unlink(missing_ok=True)
        return handle


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Hold the right to replace a file, which one process of a user has at a time.

    Raises:
        LockedError: when it is not to be had, on a file system without locks for example.
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
    """The newest journal, held against other processes, with its entries, last one first.

    Args:
        folder: where the journals are.
        on_damage: called when lines cannot be read, with the file beside the journal in which they
            are kept and how many they are; the others count.

    Raises:
        ValueError: when there is none, or it is in use.
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
                "a run is still writing tags, or undoing them: wait for its end"
            ) from None
        try:
            # What follows the last line end was cut off by a crash, before its file changed.
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
    """The entry in a line, None when it holds none."""
    try:
        entry = Entry(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    states = [*entry.before, *entry.after] if _are(list, entry.before, entry.after) else [None]
    right = _are(str, entry.path) and _are(int, *states) and _are(dict, entry.fields)
    return entry if right and "\0" not in entry.path else None


def _are(kind: type, *values: object) -> bool:
    return all(isinstance(value, kind) for value in values)


def keep_only(path: Path, entries: Iterable[Entry]) -> None:
    """Leave in a journal only entries, given last one first, or remove it."""
    lines = [json_text(asdict(entry), ascii=True).encode() + b"\n" for entry in entries][::-1]
    if lines:
        write_atomically(path, lambda temporary: temporary.write_bytes(b"".join(lines)))
    else:
        path.unlink(missing_ok=True)


def _lock(path: Path) -> AbstractContextManager[None]:
    return locked(path.with_suffix(".lock"))


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))
