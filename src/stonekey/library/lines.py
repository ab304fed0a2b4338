"""Results as text, one line each: CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from stonekey.estimate.record import as_cells
from stonekey.files import write_atomically
from stonekey.library.base import Store, StoreError
from stonekey.library.result import ESSENTIAL, FIELDS, Result
from stonekey.text import is_address, json_text, path_of

# The start of an address.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,15}(:/{0,2})?")
# A power cut can lose this much work; a kill loses nothing.
SYNC_SECONDS = 5.0


class LineStore(Store):
    """CSV with a header, or JSON lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._csv = path.suffix.lower() == ".csv"
        self._handle: int | None = None
        self._synced = 0.0

    def read(self, strict: bool = False) -> list[Result]:
        """See `Store.read`."""
        contents = self._contents()
        # A kill or a full disk cut off what follows the last line end.
        whole = contents.rfind(b"\n") + 1
        lines = contents[:whole].splitlines()
        if (strict or not lines) and not self._may_be_cut_off(contents[whole:], not lines):
            raise self._foreign(len(lines) + 1, "another kind of line")
        names: list[str] = []
        found: dict[Path, Result] = {}
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if self._csv and number == 1:
                    names = next(csv.reader([text]), [])
                    if not set(ESSENTIAL) <= set(names) or (strict and names != list(FIELDS)):
                        raise ValueError("different columns")
                    continue
                if not text.strip():
                    continue
                values = (
                    dict(zip(names, next(csv.reader([text])), strict=True))
                    if self._csv
                    else json.loads(text)
                )
                if strict and list(values) != list(FIELDS):
                    raise ValueError("different columns")
                result = Result.from_dict(values)
            except (ValueError, TypeError, AttributeError, RecursionError, csv.Error) as error:
                raise self._foreign(number, str(error)) from error
            found.pop(result.path, None)  # so that the newest comes last
            found[result.path] = result
        return list(found.values())

    def _foreign(self, line: int, why: str) -> StoreError:
        return StoreError(
            f"{self.path}, line {line}: not an output of stonekey scan ({why}); choose another "
            "file or move this one away"
        )

    def _may_be_cut_off(self, line: bytes, first: bool) -> bool:
        """Whether an unfinished last line can be the start of a line of this store."""
        if not self._csv:
            begin = b'{"path": "'
            return begin.startswith(line[: len(begin)])
        # The header is always written whole; other lines start with an absolute path or address.
        path = path_of(line.lstrip(b'"'))
        begun = os.path.isabs(path) or is_address(path) or _SCHEME.fullmatch(path)
        return not path or bool(not first and begun)

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
            if written < len(line):  # the disk is full: writing the rest raises the error
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
        csv.DictWriter(text, FIELDS, lineterminator="\n").writerow(as_cells(values))
        return text.getvalue().encode()


def _write_synced(path: Path, contents: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(contents)
        stream.flush()
        os.fsync(stream.fileno())
