"""Results of many files, written as JSON, JSON lines, CSV, tab-separated text or NPZ.

Each writer takes results as they come and a binary stream, so that the streaming formats
(jsonl, csv, tsv) show every file as soon as it is done. Text is UTF-8;
bytes of a file's name that are not UTF-8 become U+FFFD.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stonekey.estimate.result import KeyEstimate
from stonekey.keys import ClassLabel
from stonekey.text import csv_cells, display_name, json_text, printable

# Fields of a file's record, in order; the columns of CSV.
FIELDS = (
    "file", "key", "tonic", "mode", "signature", "camelot", "open_key", "confidence", "top",
    "duration", "segments", "tuning", "model", "warnings", "error",
)  # fmt: skip


@dataclass(frozen=True)
class FileResult:
    """What became of one file: an estimate, or ``error``, the reason that there is none."""

    path: Path
    estimate: KeyEstimate | None
    error: str | None = None

    @property
    def file(self) -> str:
        """The file's name as text that can always be encoded."""
        return display_name(self.path)

    def as_dict(self, model: str, notation: str = "musical", top: int = 3) -> dict[str, Any]:
        """The file's record: the same fields, `FIELDS`, whether it was read or not."""
        if self.estimate is not None:
            return {"file": self.file, **self.estimate.as_dict(notation, top)}
        empty: dict[str, Any] = dict.fromkeys(FIELDS)
        lists: dict[str, Any] = {"top": [], "warnings": []}
        return {**empty, "file": self.file, **lists, "model": model, "error": self.error}


@dataclass(frozen=True)
class Layout:
    """What the writers need to know besides the results.

    Attributes:
        model: name of the model.
        class_table: labels of its outputs, for NPZ.
        notation: how keys are written (`stonekey.keys.NOTATIONS`).
        top: how many of the most probable keys to list; None for the format's default.
        single: exactly one file was asked for, so JSON is its object and not an array.
    """

    model: str
    class_table: tuple[ClassLabel, ...]
    notation: str = "musical"
    top: int | None = None
    single: bool = False


Writer = Callable[[Iterable[FileResult], BinaryIO, Layout], None]


def _records(results: Iterable[FileResult], layout: Layout) -> Iterable[dict[str, Any]]:
    top = 3 if layout.top is None else layout.top
    return (result.as_dict(layout.model, layout.notation, top) for result in results)


def write_json(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """An array of records; for a single file its record alone."""
    records = _records(results, layout)
    if layout.single:
        text = json_text(next(iter(records), None), indent=2)
        stream.write(text.encode() + b"\n")
        return
    separator = "[\n"
    for record in records:
        stream.write((separator + json_text(record)).encode())
        separator = ",\n"
    stream.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def write_jsonl(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """One record a line."""
    for record in _records(results, layout):
        stream.write(json_text(record).encode() + b"\n")
        stream.flush()


def write_csv(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """A header and a row for each file; ``top`` is ``C major=0.81; A minor=0.12``."""
    line = io.StringIO()
    rows = csv.DictWriter(line, FIELDS, lineterminator="\n")
    rows.writeheader()
    for record in _records(results, layout):
        top = "; ".join(f"{entry['key']}={entry['probability']}" for entry in record["top"])
        cells = {**record, "top": top, "warnings": "; ".join(record["warnings"])}
        rows.writerow(csv_cells(cells, paths=("file",)))
        stream.write(line.getvalue().encode())
        stream.flush()
        line.seek(0)
        line.truncate()
    stream.write(line.getvalue().encode())  # the header, when there was no file


def write_tsv(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """``file<TAB>key<TAB>confidence``, no header, made for grep and cut.

    The key is ``no key`` with confidence 0 where there is none. A file that could not be read
    has ``error`` for its key and the reason in place of the confidence. With ``top`` above 1
    the next keys follow, each with its probability. Tabs and line ends in names are escaped.
    """
    for result in results:
        cells = [result.file]
        if result.estimate is None:
            cells += ["error", result.error or ""]
        elif result.estimate.label is None:
            cells += ["no key", f"{0:.4f}"]
        else:
            for label, probability in result.estimate.top(layout.top or 1):
                cells += [label.format(layout.notation), f"{probability:.4f}"]
        stream.write("\t".join(map(printable, cells)).encode() + b"\n")
        stream.flush()


def write_npz(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """Plain arrays (``np.load`` without pickle).

    For n files and m segments in all: ``files``, ``keys`` (empty where there is none),
    ``signatures``, ``errors`` (n,) text; ``confidences``, ``durations`` (n,);
    ``probabilities`` (n, outputs), NaN where there are none; ``segment_files`` (m,), index of
    the file; ``segment_starts``, ``segment_ends`` (m,) in seconds; ``segment_probabilities``
    (m, outputs); ``class_table`` (outputs,) text, and ``model``.
    """
    done = list(results)
    estimates = [result.estimate for result in done]
    outputs = len(layout.class_table)
    unknown = np.full(outputs, np.nan)
    segments = [
        (i, segment)
        for i, estimate in enumerate(estimates)
        for segment in (estimate.segments if estimate else ())
    ]
    arrays: dict[str, Any] = {
        "files": _texts(result.file for result in done),
        "keys": _texts(e.label.format(layout.notation) if e and e.label else "" for e in estimates),
        "signatures": _texts(str(e.signature) if e and e.signature else "" for e in estimates),
        "confidences": np.array([e.confidence if e else 0.0 for e in estimates]),
        "probabilities": np.array(
            [list(e.probabilities.values()) if e and e.probabilities else unknown
             for e in estimates]
        ).reshape(-1, outputs),
        "durations": np.array([e.duration if e else np.nan for e in estimates]),
        "errors": _texts(result.error or "" for result in done),
        "segment_files": np.array([i for i, _ in segments], dtype=np.int64),
        "segment_starts": np.array([segment.start for _, segment in segments]),
        "segment_ends": np.array([segment.end for _, segment in segments]),
        "segment_probabilities": np.array(
            [segment.probabilities for _, segment in segments], dtype=np.float32
        ).reshape(-1, outputs),
        "class_table": _texts(label.format(layout.notation) for label in layout.class_table),
        "model": np.array(layout.model),
    }  # fmt: skip
    buffer = io.BytesIO()  # a pipe cannot seek, a zip file must
    np.savez_compressed(buffer, **arrays)
    stream.write(buffer.getvalue())


def _texts(texts: Iterable[str]) -> np.ndarray:
    return np.array(list(texts), dtype=np.str_)


WRITERS: dict[str, Writer] = {
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "tsv": write_tsv,
    "npz": write_npz,
}
