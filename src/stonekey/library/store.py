"""Results on disk: CSV, JSON lines, SQLite, Parquet.

The output is its own journal: what has been appended is there after any kill, and tells the
next run what is done. A run refuses a file that is not wholly ours, column for column and line
for line, and leaves it as it is; reading takes one that somebody has edited. Parquet cannot be
appended to, so a JSONL file beside it stands in until the run is complete.
"""

from __future__ import annotations

import os
from pathlib import Path

from stonekey.library.base import Store, StoreError
from stonekey.library.lines import LineStore
from stonekey.library.result import Result

SUFFIXES = (".csv", ".jsonl", ".parquet", ".sqlite")


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
