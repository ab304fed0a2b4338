"""Results in a SQLite database: the table ``keys`` with a row for each file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stonekey.estimate.record import as_cells
from stonekey.library.base import Store, StoreError
from stonekey.library.result import FIELDS, Result

# A damaged database can have names that are no text, and then no message can be made of them.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT", list: "TEXT"}
_COLUMNS = ", ".join(
    f"{name} {_TYPES[field.type]}" + (" PRIMARY KEY" if name == "path" else "")
    for name, field in FIELDS.items()
)
_INSERT = f"INSERT OR REPLACE INTO keys VALUES ({', '.join('?' * len(FIELDS))})"


class SqliteStore(Store):
    """A SQLite database; each result is a transaction."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._open: sqlite3.Connection | None = None

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            # None: this class starts and ends transactions itself.
            self._open = sqlite3.connect(self.path, isolation_level=None)
        return self._open

    def read(self, strict: bool = False) -> list[Result]:
        """See `Store.read`."""
        if not self.path.exists() or not self.path.stat().st_size:
            return []
        try:
            database = self._connection()
            # An added index is harmless; a trigger or view could do harm.
            parts = database.execute("SELECT name FROM sqlite_master WHERE type != 'index'")
            names = [name for (name,) in parts]
            if not names:  # a run was killed before its first transaction
                return []
            columns = [row[1] for row in database.execute("PRAGMA table_info(keys)")]
            if "keys" not in names or (strict and len(names) > 1) or columns != list(FIELDS):
                raise StoreError(f"{self.path}: a database, but not an output of stonekey scan")
            rows = database.execute("SELECT * FROM keys ORDER BY rowid").fetchall()
            return [Result.from_dict(dict(zip(FIELDS, row, strict=True))) for row in rows]
        except _ERRORS as error:
            raise StoreError(f"{self.path}: cannot be read: {error}") from error
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: not an output of stonekey scan: {error}") from error

    def rewrite(self, results: Iterable[Result]) -> None:
        """See `Store.rewrite`."""
        wanted = list(results)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            database = self._connection()
            # With WAL, readers need not wait for a run, nor a run for the disk. On file systems
            # that cannot do it, SQLite keeps its usual journal.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("BEGIN IMMEDIATE")
            try:
                database.execute(f"CREATE TABLE IF NOT EXISTS keys ({_COLUMNS})")
                if self.read() != wanted:
                    database.execute("DELETE FROM keys")
                    database.executemany(_INSERT, map(_row, wanted))
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except (*_ERRORS, OSError) as error:
            raise self._failed(error) from error

    def append(self, result: Result) -> None:
        """See `Store.append`."""
        try:
            self._connection().execute(_INSERT, _row(result))
        except _ERRORS as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """See `Store.close`."""
        database, self._open = self._open, None
        if database is not None:
            # Go back to a single file. This fails while another process reads it or on a full disk.
            with contextlib.suppress(*_ERRORS):
                database.execute("PRAGMA journal_mode = DELETE")
            with contextlib.suppress(*_ERRORS):
                database.close()


def _row(result: Result) -> list[Any]:
    return list(as_cells(result.as_dict()).values())
