"""A recording's answer as a record: the fields of every output, and how each is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stonekey.keys import KEY_FIELDS

SEPARATOR = "; "  # between the items of a list in one cell


@dataclass(frozen=True)
class Field:
    """A field of records; any but a list may be None.

    Attributes:
        name: in JSON; the column in CSV, SQLite and Parquet.
        type: str, int, float or list.
        decimals: of a float; None for all that it has.
    """

    name: str
    type: type = str
    decimals: int | None = None

    def rounded(self, value: float | None) -> float | None:
        """A float as it is written."""
        if value is None or self.decimals is None:
            return value
        return round(value, self.decimals) + 0.0  # no -0.0

    def read(self, value: Any) -> Any:
        """A value of a record, or the cell that it became; an empty cell is None.

        Raises:
            ValueError, TypeError: a value of another type.
        """
        if self.type is list:
            items = value.split(SEPARATOR) if isinstance(value, str) and value else value or []
            return [_text(item) for item in items]
        if value is None or value == "":
            return None
        return _text(value) if self.type is str else self.type(_number(value))


def by_name(*fields: Field) -> dict[str, Field]:
    """Fields of one output, in order."""
    return {field.name: field for field in fields}


FIELDS = by_name(
    *(Field(name) for name in KEY_FIELDS),
    Field("confidence", float, 4),
    Field("top", list),  # of objects with the text "key" and the float "probability"
    Field("duration", float, 3),  # seconds
    Field("segments", int),
    Field("tuning", float, 1),  # cents above A = 440 Hz
    Field("model"),
    Field("warnings", list),
    Field("error"),
)


def as_cells(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with a text in place of each list: ``C major=0.81; A minor=0.12`` for ``top``."""
    return {n: _joined(value) if isinstance(value, list) else value for n, value in record.items()}


def _joined(items: Iterable[Any]) -> str:
    return SEPARATOR.join(
        item if isinstance(item, str) else f"{item['key']}={item['probability']}" for item in items
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text, got a list or number")
    return value


def _number(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"expected a number, got {value}")
    return number
