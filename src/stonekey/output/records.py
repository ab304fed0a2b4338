"""The result of a file, as a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonekey.estimate.record import FIELDS as ANSWER
from stonekey.estimate.record import Field, by_name
from stonekey.estimate.result import KeyEstimate
from stonekey.keys import ClassLabel
from stonekey.text import display_name

# Fields of a file's record.
FIELDS = by_name(Field("file"), *ANSWER.values())


@dataclass(frozen=True)
class FileResult:
    """One file's estimate, or ``error``, the reason why there is none."""

    path: Path
    estimate: KeyEstimate | None
    error: str | None = None

    @property
    def file(self) -> str:
        """The file's name as text that can always be encoded."""
        return display_name(self.path)

    def as_dict(self, model: str, notation: str = "musical", top: int = 3) -> dict[str, Any]:
        """The record: always all `FIELDS`, even if the file could not be read."""
        if self.estimate is not None:
            return {"file": self.file, **self.estimate.to_dict(notation, top)}
        empty: dict[str, Any] = dict.fromkeys(FIELDS)
        lists: dict[str, Any] = {"top": [], "warnings": []}
        return {**empty, "file": self.file, **lists, "model": model, "error": self.error}


@dataclass(frozen=True)
class Layout:
    """What the writers need besides the results.

    Attributes:
        model: name of the model.
        class_table: labels of its outputs, for NPZ.
        notation: how keys are written (`stonekey.keys.NOTATIONS`).
        top: how many of the most probable keys to list; None for the format's default.
        files: to come, for the width of a table.
        single: the user gave exactly one file, so JSON is an object, not an array.
        terminal: a table goes to standard output, which may be a terminal with colours.
    """

    model: str
    class_table: tuple[ClassLabel, ...]
    notation: str = "musical"
    top: int | None = None
    files: Sequence[Path] = ()
    single: bool = False
    terminal: bool = False
