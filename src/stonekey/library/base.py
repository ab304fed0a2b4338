"""What every store of results can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from stonekey.library.result import Result


class StoreError(ValueError):
    """An output that cannot be read or written; the message names it and says why."""


class StoreWriteError(StoreError):
    """An output that could be read and cannot be written: a full disk, say."""


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

    def _failed(self, error: Exception) -> StoreWriteError:
        reason = error.strerror if isinstance(error, OSError) else None
        return StoreWriteError(f"{self.path}: cannot be written: {reason or error}")
