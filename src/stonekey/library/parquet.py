"""Results as Parquet, written at the end of a run, with JSON lines beside it until then."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stonekey.files import local_copy, write_atomically
from stonekey.library.base import Store, StoreError
from stonekey.library.lines import LineStore
from stonekey.library.result import FIELDS, Result
from stonekey.text import address, to_install


def journal_path(path: Path) -> Path:
    """The file that holds the results of a run until it is complete."""
    return path.with_name(f"{path.name}.journal.jsonl")


class ParquetStore(Store):
    """A Parquet file; while its journal exists, the journal has the results that count."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        _pyarrow()  # fail now rather than after hours of work
        self._journal = LineStore(journal_path(path))

    def read(self, strict: bool = False) -> list[Result]:
        """See `Store.read`."""
        parquet = _pyarrow()
        try:
            # Check this file even if the journal counts: the run will replace this one.
            check = strict and self.path.exists()
            if check and parquet.read_schema(self.path).names != list(FIELDS):
                raise ValueError("different columns")
            if self._journal.path.exists():
                return self._journal.read(strict)
            if not self.path.exists():
                return []
            return read_table(self.path)
        except StoreError:
            raise
        except Exception as error:  # pyarrow's errors have no narrower base class
            raise StoreError(f"{self.path}: not an output of stonekey scan: {error}") from error

    def rewrite(self, results: Iterable[Result]) -> None:
        """See `Store.rewrite`."""
        self._journal.rewrite(results)

    def append(self, result: Result) -> None:
        """See `Store.append`."""
        self._journal.append(result)

    def finish(self) -> None:
        """Write the Parquet file, then delete the journal."""
        results = self._journal.read()
        self._journal.close()
        try:
            write_atomically(self.path, lambda temporary: write_table(results, temporary))
            self._journal.path.unlink()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """See `Store.close`."""
        self._journal.close()


def read_table(path: Path, strict: bool = False) -> list[Result]:
    """The results in a Parquet file, on a disk or at an address.

    Args:
        path: of the file.
        strict: see `Store.read`.

    Raises:
        StoreError: not an output of a scan.
    """
    parquet = _pyarrow()
    try:
        with local_copy(path) as copy:
            table = parquet.read_table(copy)
        if strict and table.column_names != list(FIELDS):
            raise ValueError("different columns")
        return [Result.from_dict(row) for row in table.to_pylist()]
    except Exception as error:  # pyarrow's errors have no narrower base class
        shown = address(path)
        raise StoreError(f"{shown}: not an output of stonekey scan: {error}") from error


def write_table(results: Iterable[Result], path: Path) -> None:
    """Write results to a Parquet file."""
    parquet = _pyarrow()
    import pyarrow

    types: dict[type, Any] = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        list: pyarrow.list_(pyarrow.string()),
    }
    schema = pyarrow.schema([(name, types[field.type]) for name, field in FIELDS.items()])
    rows = [result.as_dict() for result in results]
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise StoreError(
            f"Parquet needs pyarrow: {to_install('library')}; or choose .csv, .jsonl or .sqlite"
        ) from None
    return pyarrow.parquet
