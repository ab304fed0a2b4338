"""Results on disk: CSV, JSON lines, SQLite, Parquet.

The output is its own journal: appended results survive any kill and tell the next run what is
done. A run refuses a file that is not entirely an output of stonekey, in every column and line,
and leaves it alone; `read_results` also accepts one that somebody has edited. Nothing can be
appended to Parquet, so a JSONL file stands in beside it until the run is complete.
"""

from __future__ import annotations

import os
from pathlib import Path

from stonekey.library.base import Store, StoreError
from stonekey.library.lines import LineStore
from stonekey.library.result import Result
from stonekey.text import is_address

SUFFIXES = (".csv", ".jsonl", ".parquet", ".sqlite")


def open_store(path: Path) -> Store:
    """The store for an output file, chosen by its suffix.

    Raises:
        StoreError: an unknown suffix, a path that is not a file, or a missing package.
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
    if not suffix:
        from stonekey.library.parts import PartsStore

        return PartsStore(path)
    raise StoreError(
        f"{path}: the output must end in one of {', '.join(SUFFIXES)}, or in none for a folder of "
        "Parquet files"
    )


def read_results(path: str | os.PathLike[str]) -> list[Result]:
    """The results in an output of ``stonekey scan``, even while a run is still writing it.

    Raises:
        StoreError: the file does not exist or is not an output of ``stonekey scan``.
    """
    path = Path(path)
    store = open_store(path)
    try:
        found = store.read()
    finally:
        store.close()
    if not found and not is_address(path) and not path.exists():
        raise StoreError(f"{path}: no such file")
    return found
