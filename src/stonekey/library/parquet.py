"""Results as Parquet, written at the end of a run; until then as JSON lines beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stonekey.files import write_atomically
from stonekey.library.base import Store, StoreError
from stonekey.library.lines import LineStore
from stonekey.library.result import FIELDS, REALS, Result


def journal_path(path: Path) -> Path:
    """Where the results of a run are until it is complete."""
    return path.with_name(f"{path.name}.journal.jsonl")


class ParquetStore(Store):
    """See `stonekey.library.store.Store`; the journal, where there is one, is the truth."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        _pyarrow()  # now, not after hours of work
        self._journal = LineStore(journal_path(path))

    def read(self, ours: bool = False) -> list[Result]:
        """See `Store.read`."""
        parquet = _pyarrow()
        try:
            # Also where the journal counts: it is this file that the run will replace.
            known = not ours or not self.path.exists()
            if not known and parquet.read_schema(self.path).names != list(FIELDS):
                raise ValueError("other columns")
            if self._journal.path.exists():
                return self._journal.read(ours)
            if not self.path.exists():
                return []
            rows = parquet.read_table(self.path).to_pylist()
            return [Result.from_dict(row) for row in rows]
        except StoreError:
            raise
        except Exception as error:  # pyarrow's errors share no base class but Exception
            raise StoreError(f"{self.path}: not an output of stonekey scan: {error}") from error

    def rewrite(self, results: Iterable[Result]) -> None:
        """See `Store.rewrite`."""
        self._journal.rewrite(results)

    def append(self, result: Result) -> None:
        """See `Store.append`."""
        self._journal.append(result)

    def finish(self) -> None:
        """Write the Parquet file, then remove the journal."""
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
            'Parquet needs pyarrow: pip install "stonekey[library]"; or write .csv, .jsonl, .sqlite'
        ) from None
    return pyarrow.parquet
