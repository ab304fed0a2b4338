"""The interface of a store of results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from stonekey.library.result import Result
from stonekey.text import one_line


class StoreError(ValueError):
    """An output cannot be read or written; the message, one line, names it and says why."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class StoreWriteError(StoreError):
    """An output that was readable cannot be written, because the disk is full, for example."""


class Store(ABC):
    """The results of a library in one file, with one result for each path.

    Call `rewrite` before `append`; nothing is written earlier. All methods raise `StoreError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            kind = "folder" if path.is_dir() else "pipe or device"
            raise StoreError(f"{path}: is a {kind}, not a file")

    @abstractmethod
    def read(self, strict: bool = False) -> list[Result]:
        """All results, the newest for each path; [] if there is no file.

        A line that a killed run left half-written is ignored.

        Args:
            strict: refuse a file whose columns are not exactly `FIELDS`, even if its results can
                be read. Somebody has edited it, and the run is about to overwrite it.
        """

    @abstractmethod
    def rewrite(self, results: Iterable[Result]) -> None:
        """Replace the contents with these results, completely or not at all."""

    @abstractmethod
    def append(self, result: Result) -> None:
        """Add a result, which replaces an older one and survives a kill of this process."""

    def finish(self) -> None:
        """Complete the output at the end of a run, if there is anything left to do."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def _failed(self, error: Exception) -> StoreWriteError:
        reason = error.strerror if isinstance(error, OSError) else None
        return StoreWriteError(f"{self.path}: cannot be written: {reason or error}")
