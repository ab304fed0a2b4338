"""Results as Parquet, written at the end of a run, with JSON lines beside it until then."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stonekey.files import write_atomically
from stonekey.library.base import Store, StoreError
from stonekey.library.lines import LineStore
from stonekey.library.result import FIELDS, REALS, Result
from stonekey.text import to_install


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
            rows = parquet.read_table(self.path).to_pylist()
            return [Result.from_dict(row) for row in rows]
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
        rows = [result.as_dict() for result in self._journal.read()]
        self._journal.close()
        parquet = _pyarrow()
        import pyarrow

        types: dict[str, Any] = {
            "size": pyarrow.int64(),
            **dict.fromkeys(REALS, pyarrow.float64()),
            "warnings": pyarrow.list_(pyarrow.string()),
        }
        schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in FIELDS])
        table = pyarrow.Table.from_pylist(rows, schema=schema)
        try:
            write_atomically(self.path, lambda temporary: parquet.write_table(table, temporary))
            self._journal.path.unlink()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """See `Store.close`."""
        self._journal.close()


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise StoreError(
            f"Parquet needs pyarrow: {to_install('library')}; or choose .csv, .jsonl or .sqlite"
        ) from None
    return pyarrow.parquet
