"""Results on disk: CSV, JSON lines, SQLite, Parquet.

The output is its own journal: what has been appended is there after any kill, and tells the
next run what is done. A run refuses a file that is not wholly ours, column for column and line
for line, and leaves it as it is; reading takes one that somebody has edited. Parquet cannot be
appended to, so a JSONL file beside it stands in until the run is complete.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from stonekey.library.result import FIELDS, SEPARATOR, Result
from stonekey.model.checkpoint import write_atomically
from stonekey.text import json_text, one_line

SUFFIXES = (".csv", ".jsonl", ".parquet", ".sqlite")
# What a power cut may cost at most; a kill costs nothing.
SYNC_SECONDS = 5.0


class StoreError(ValueError):
    """An output that cannot be read or written; the message, a line, names it and says why."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class Store(ABC):
    """Results of a library in one file; a path has one result.

    Nothing is written before `rewrite`. All methods raise `StoreError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            kind = "folder" if path.is_dir() else "pipe or device"
            raise StoreError(f"{path}: is a {kind}, not a file")

    @abstractmethod
    def read(self, ours: bool = False) -> list[Result]:
        """All results, the newest of each path; [] where there is no file.

        A line that a killed run has left half written does not count.

        Args:
            ours: refuse a file with other columns than `FIELDS`, which somebody has edited or
                made, though its results can be read: it is about to be written.
        """

    @abstractmethod
    def rewrite(self, results: Iterable[Result]) -> None:
        """Hold just these results; complete or not at all."""

    @abstractmethod
    def append(self, result: Result) -> None:
        """Add a result; it survives the end of this process, and replaces an older one."""

    def finish(self) -> None:
        """The run is complete: nothing more to do where the output is its own journal."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def _failed(self, error: Exception) -> StoreError:
        reason = error.strerror if isinstance(error, OSError) else None
        return StoreError(f"{self.path}: cannot be written: {reason or error}")


def open_store(path: Path) -> Store:
    """The store for an output file, by its suffix.

    Raises:
        StoreError: for another suffix, for what is no file, or where a package is missing.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".jsonl"):
        return LineStore(path)
    if suffix == ".sqlite":
        from stonekey.library.sqlite import SqliteStore

        return SqliteStore(path)
    if suffix == ".parquet":
        from stonekey.library.parquet import ParquetStore

        return ParquetStore(path)
    raise StoreError(f"{path}: the output must end in one of {', '.join(SUFFIXES)}")


def read_results(path: str | os.PathLike[str]) -> list[Result]:
    """The results in an output of ``stonekey scan``, also of a run that has not ended.

    Raises:
        StoreError: when there is no such file or it is none of ours.
    """
    path = Path(path)
    store = open_store(path)
    try:
        found = store.read()
    finally:
        store.close()
    if not found and not path.is_file():
        raise StoreError(f"{path}: no such file")
    return found


class LineStore(Store):
    """One line a result: CSV with a header, or JSON lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._csv = path.suffix.lower() == ".csv"
        self._handle: int | None = None
        self._synced = 0.0

    def read(self, ours: bool = False) -> list[Result]:
        """See `Store.read`."""
        contents = self._contents()
        # What follows the last line end was cut off by a kill or a full disk.
        whole = contents.rfind(b"\n") + 1
        lines = contents[:whole].splitlines()
        if (ours or not lines) and not self._begins_like_ours(contents[whole:], not lines):
            raise self._not_ours(len(lines) + 1, "another kind of line")
        names: list[str] = []
        found: dict[Path, Result] = {}
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if self._csv and number == 1:
                    names = next(csv.reader([text]), [])
                    if not {"path", "key"} <= set(names) or (ours and names != list(FIELDS)):
                        raise ValueError("other columns")
                    continue
                if not text.strip():
                    continue
                values = (
                    dict(zip(names, next(csv.reader([text])), strict=True))
                    if self._csv
                    else json.loads(text)
                )
                if ours and list(values) != list(FIELDS):
                    raise ValueError("other columns")
                result = Result.from_dict(values)
            except (ValueError, TypeError, AttributeError, RecursionError, csv.Error) as error:
                raise self._not_ours(number, str(error)) from error
            found.pop(result.path, None)  # the newest goes to its place, the last one
            found[result.path] = result
        return list(found.values())

    def _not_ours(self, line: int, why: str) -> StoreError:
        return StoreError(
            f"{self.path}, line {line}: not of an output of stonekey scan ({why}); choose "
            "another file or move this one away"
        )

    def _begins_like_ours(self, line: bytes, first: bool) -> bool:
        """Whether a last line may be one of ours that was cut off."""
        if not self._csv:
            begin = b'{"path": "'
            return begin.startswith(line[: len(begin)])
        # A header is written whole; a line begins with an absolute path.
        path = os.fsdecode(line.lstrip(b'"'))
        return not path or (not first and os.path.isabs(path))

    def rewrite(self, results: Iterable[Result]) -> None:
        """See `Store.rewrite`."""
        self.close()
        lines = [self._header(), *map(self._line, results)]
        contents = b"".join(lines)
        try:
            if not self.path.exists() or self._contents() != contents:
                write_atomically(self.path, lambda temporary: _write_synced(temporary, contents))
            self._handle = os.open(
                self.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
            )
        except OSError as error:
            raise self._failed(error) from error
        self._synced = time.monotonic()

    def append(self, result: Result) -> None:
        """See `Store.append`."""
        assert self._handle is not None, "rewrite comes first"
        line = self._line(result)
        size = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, line)
            if written < len(line):  # the disk is full: the second attempt says so
                os.write(self._handle, line[written:])
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._handle)
                self._synced = time.monotonic()
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise self._failed(error) from error

    def close(self) -> None:
        """See `Store.close`."""
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                os.fsync(handle)
            except OSError as error:
                raise self._failed(error) from error
            finally:
                os.close(handle)

    def _contents(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _header(self) -> bytes:
        return (",".join(FIELDS) + "\n").encode() if self._csv else b""

    def _line(self, result: Result) -> bytes:
        values = result.as_dict()
        if not self._csv:
            return (json_text(values) + "\n").encode()
        text = io.StringIO()
        values["warnings"] = SEPARATOR.join(result.warnings)
        csv.DictWriter(text, FIELDS, lineterminator="\n").writerow(values)
        return text.getvalue().encode()


def _write_synced(path: Path, contents: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(contents)
        stream.flush()
        os.fsync(stream.fileno())
