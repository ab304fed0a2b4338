"""One row of a library's results, and how it stores a path."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stonekey.keys import KEY_FIELDS, UNCLEAR, ClassLabel, key_fields, parse_label
from stonekey.text import address, path_of

# Columns of the output, in order.
FIELDS = (
    "path", "size", "mtime", "model", "fingerprint", *KEY_FIELDS, "confidence", "duration",
    "tuning", "error", "warnings",
)  # fmt: skip
REALS = ("mtime", "confidence", "duration", "tuning")
SEPARATOR = "; "  # between warnings, in formats without lists

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
    """The result for one file of a library.

    Attributes:
        path: absolute path.
        size: size in bytes; None if the file is gone.
        mtime: modification time, seconds since 1970; None if the file is gone.
        model: name of the model.
        fingerprint: short hash of the model's contents and the settings that change its answers.
        key: key or key signature in the output's notation; None for "no key", after a failure,
            and below the confidence asked for.
        tonic: tonic of the key, such as "Eb"; None without a key and for a 12-signature model.
        mode: "major" or "minor"; None as for ``tonic``.
        signature: key signature, such as "Eb major / C minor".
        camelot: the key in Camelot notation.
        open_key: the key in Open Key notation.
        confidence: probability of the answer, 0 to 1 (4 decimals); None after a failure.
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
    key: str | None = None
    tonic: str | None = None
    mode: str | None = None
    signature: str | None = None
    camelot: str | None = None
    open_key: str | None = None
    confidence: float | None = None
    duration: float | None = None
    tuning: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> ClassLabel | None:
        """The key, or the signature of a 12-signature model, as an object."""
        return None if self.camelot is None else parse_label(self.camelot)

    @property
    def withheld(self) -> bool:
        """Whether there was a key, but below the confidence asked for."""
        return self.camelot is None and bool(self.confidence) and UNCLEAR not in self.warnings

    def with_label(
        self, label: ClassLabel | None, notation: str, min_confidence: float = 0.0
    ) -> Result:
        """A copy with this key, or with none if its confidence is below ``min_confidence``."""
        sure = (self.confidence or 0.0) >= min_confidence
        fields: dict[str, Any] = key_fields(label if sure else None, notation)
        return replace(self, **_shared(fields))

    def as_dict(self) -> dict[str, Any]:
        """JSON values by column (`FIELDS`)."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {**values, "path": path_text(self.path), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """Inverse of `as_dict`; also reads a row of text, where "" means None.

        Raises:
            ValueError, TypeError: a value has the wrong type, there is no path, or columns of a
                scan are missing.
        """
        if missing := [name for name in ("path", "key", "camelot") if name not in values]:
            raise ValueError(f"no {' or '.join(missing)}")
        given: dict[str, Any] = {name: values.get(name) for name in FIELDS}
        given = {name: None if value == "" else value for name, value in given.items()}
        if not isinstance(given["path"], str):
            raise ValueError("no path")
        warnings = given["warnings"] or ()
        if isinstance(warnings, str):
            warnings = warnings.split(SEPARATOR)
        given.update(
            path=text_path(given["path"]),
            model=given["model"] or "",
            fingerprint=given["fingerprint"] or "",
            warnings=tuple(warnings),
        )
        for name in REALS:
            given[name] = None if given[name] is None else _number(given[name])
        given["size"] = None if given["size"] is None else int(_number(given["size"]))
        texts = [given[name] for name in FIELDS if name not in (*REALS, "path", "size", "warnings")]
        if not all(text is None or isinstance(text, str) for text in (*texts, *given["warnings"])):
            raise ValueError("expected text, got a list or number")
        result = cls(**_shared(given))
        _ = result.label  # raises here rather than in the middle of a run
        return result


def _shared(values: dict[str, Any]) -> dict[str, Any]:
    """The same with one object for equal names: of millions of rows, most have the same few."""
    names = (*KEY_FIELDS, "model", "fingerprint")
    texts = {n: sys.intern(v) for n in names if isinstance(v := values.get(n), str)}
    return {**values, **texts}


def _number(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"expected a number, got {value}")
    return number
