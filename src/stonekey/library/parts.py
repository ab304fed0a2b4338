"""Results as a folder of Parquet files, on a disk or at an address, for many million rows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

from stonekey.files import file_system, put_file
from stonekey.library.base import Store, StoreError
from stonekey.library.lines import LineStore
from stonekey.library.parquet import read_table, write_table
from stonekey.library.result import Result
from stonekey.text import address, is_address, one_line

JOURNAL = "journal.jsonl"
ROWS, SECONDS = 10_000, 60.0
_PART = re.compile(r"part-([0-9]{6})\.parquet")


class PartsStore(Store):
    """``part-000000.parquet``, ``part-000001.parquet``, ...; the later row for a path counts.

    A part is written every `ROWS` rows. Until then they are in a journal beside the parts; at an
    address, where nothing can be appended to, a part is written every `SECONDS` instead, and a kill
    costs what came after the last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_address(path) and path.exists() and not path.is_dir():
            raise StoreError(f"{path}: is no folder")
        self._journal = None if is_address(path) else LineStore(path / JOURNAL)
        self._waiting: list[Result] = []
        self._since = time.monotonic()
        self._next = 0

    def read(self, strict: bool = False) -> list[Result]:
        """See `Store.read`."""
        found: dict[Path, Result] = {}
        for name in self._names():
            for result in read_table(self.path / name, strict):
                found.pop(result.path, None)
                found[result.path] = result
        for result in self._journal.read(strict) if self._journal else ():
            found.pop(result.path, None)
            found[result.path] = result
        return list(found.values())

    def rewrite(self, results: Iterable[Result]) -> None:
        """See `Store.rewrite`; parts that are the same are left alone."""
        results = list(results)
        self._waiting.clear()
        old = self._names()
        self._next = 1 + max((int(_PART.fullmatch(n)[1]) for n in old), default=-1)  # type: ignore[index]
        if results != self.read():
            for first in range(0, len(results), ROWS):
                self._write(results[first : first + ROWS])
            if self._journal:
                self._journal.close()
                self._journal.path.unlink(missing_ok=True)
            for name in old:
                self._remove(name)
        elif self._journal:
            self._waiting = self._journal.read()
        if self._journal:
            self._journal.rewrite(self._waiting)
        self._since = time.monotonic()

    def append(self, result: Result) -> None:
        """See `Store.append`."""
        self._waiting.append(result)
        if self._journal:
            self._journal.append(result)
        late = not self._journal and time.monotonic() - self._since > SECONDS
        if late or len(self._waiting) >= ROWS:
            self._flush()

    def finish(self) -> None:
        """Write the last part."""
        self._flush()
        if self._journal:
            self._journal.close()
            self._journal.path.unlink(missing_ok=True)

    def close(self) -> None:
        """See `Store.close`."""
        if self._journal:
            self._journal.close()
        elif self._waiting:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []
            if self._journal:
                self._journal.rewrite(())
        self._since = time.monotonic()

    def _write(self, results: list[Result]) -> None:
        place = self.path / f"part-{self._next:06d}.parquet"
        try:
            put_file(place, lambda temporary: write_table(results, temporary))
        except Exception as error:  # each file system of fsspec has its own
            raise self._failed(error) from error
        self._next += 1

    def _names(self) -> list[str]:
        """The parts in order; StoreError if the folder holds anything else."""
        try:
            if is_address(self.path):
                system, inside = file_system(self.path)
                listed = system.ls(inside, detail=False, refresh=True)
                names = {name.rstrip("/").rpartition("/")[2] for name in listed}
            else:
                names = {entry.name for entry in self.path.iterdir()}
        except FileNotFoundError:
            return []
        except OSError as error:
            why = one_line(error.strerror or str(error))
            raise StoreError(f"{address(self.path)}: cannot be read: {why}") from error
        foreign = [n for n in names if not (_PART.fullmatch(n) or n == JOURNAL or n[:1] in ".")]
        if foreign:
            raise StoreError(
                f"{address(self.path / min(foreign))}: not of an output of stonekey scan; choose "
                "another folder"
            )
        return sorted(filter(_PART.fullmatch, names))

    def _remove(self, name: str) -> None:
        try:
            if is_address(self.path):
                system, inside = file_system(self.path / name)
                system.rm_file(inside)
            else:
                (self.path / name).unlink()
        except OSError as error:
            raise self._failed(error) from error
