"""One row of a library's results, and how it stores a path."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stonekey.estimate.record import FIELDS as ANSWER
from stonekey.estimate.record import Field, by_name
from stonekey.keys import (
    KEY_FIELDS,
    UNCLEAR,
    ClassLabel,
    Key,
    KeySignature,
    key_fields,
    parse_label,
)
from stonekey.text import address, path_of

# Columns of the output, in order.
FIELDS = by_name(
    Field("path"),
    Field("size", int),  # bytes
    Field("mtime", float),  # seconds since 1970
    ANSWER["model"],
    Field("fingerprint"),
    *(ANSWER[name] for name in (*KEY_FIELDS, "confidence", "duration", "tuning")),
    ANSWER["error"],
    ANSWER["warnings"],
)
_LABELS: tuple[ClassLabel, ...] = (
    *map(Key.from_index, range(24)),
    *map(KeySignature, range(12)),
)
_CAMELOT = {label.format("camelot"): label for label in _LABELS}
# The columns without which an edited table is refused.
ESSENTIAL = ("path", "key", "camelot")

_ESCAPED = re.compile("[\x00-\x1f\x7f\udc80-\udcff]|\\\\(?=x[0-9a-f]{2})")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def path_text(path: str | os.PathLike[str]) -> str:
    r"""A path as one line of valid UTF-8; `text_path` turns it back.

    Control characters and bytes that are not UTF-8 become ``\xNN``, and so does a backslash that
    would otherwise look like the start of one. An address has its two slashes.
    """
    text = address(path)
    return _ESCAPED.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)


def text_path(text: str) -> Path:
    """Inverse of `path_text`."""
    encoded = text.encode("utf-8", "surrogateescape")
    return Path(path_of(_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), encoded)))


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one file of a library: a row of a scan's output.

    Attributes:
        path: absolute path.
        size: size in bytes; None if the file is gone.
        mtime: modification time, seconds since 1970; None if the file is gone.
        model: name of the model.
        fingerprint: short hash of the model's contents and the settings that change its answers.
        label: key, or key signature of a 12-signature model; None for "no key", after a failure,
            and below the confidence asked for.
        key: the label in the output's notation.
        confidence: probability of the answer, 0 to 1; None after a failure.
        duration: length in seconds; None after a failure.
        tuning: tuning above A = 440 Hz in cents; None if there is no steady tone.
        error: reason for the failure; None if there was none.
        warnings: anything else a user should know.
    """

    path: Path
    size: int | None = None
    mtime: float | None = None
    model: str = ""
    fingerprint: str = ""
    label: ClassLabel | None = None
    key: str | None = None
    confidence: float | None = None
    duration: float | None = None
    tuning: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def withheld(self) -> bool:
        """Whether there was a key, but below the confidence asked for."""
        return self.label is None and bool(self.confidence) and UNCLEAR not in self.warnings

    def with_label(
        self, label: ClassLabel | None, notation: str, min_confidence: float = 0.0
    ) -> Result:
        """A copy with this key, or with none if its confidence is below ``min_confidence``."""
        if label is None or (self.confidence or 0.0) < min_confidence:
            return replace(self, label=None, key=None)
        return replace(self, label=label, key=sys.intern(label.format(notation)))

    def as_dict(self) -> dict[str, Any]:
        """The record, for JSON: `FIELDS` in order."""
        return {
            **{name: getattr(self, name, None) for name in FIELDS},
            **key_fields(self.label),
            "path": path_text(self.path),
            "key": self.key,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """Inverse of `as_dict`; also reads the cells of a table, and ignores other fields.

        Raises:
            ValueError, TypeError: a value has the wrong type, there is no path, or columns of a
                scan are missing.
        """
        if missing := [name for name in ESSENTIAL if name not in values]:
            raise ValueError(f"no {' or '.join(missing)}")
        given = {name: field.read(values.get(name)) for name, field in FIELDS.items()}
        if given["path"] is None:
            raise ValueError("no path")
        given["path"] = text_path(given["path"])
        given["warnings"] = tuple(given["warnings"])
        if (camelot := given["camelot"]) is not None:
            # Looked up as a scan writes it; a table edited by hand may spell it otherwise.
            given["label"] = _CAMELOT.get(camelot) or parse_label(camelot)
        # One object for equal texts: of millions of rows, most have the same few.
        for name in ("model", "fingerprint", "key"):
            given[name] = sys.intern(given[name] or "")
        given["key"] = given["key"] or None
        return cls(**{name: given[name] for name in cls.__slots__ if name in given})
