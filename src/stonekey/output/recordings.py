"""Write the keys of recordings as a table, JSON, JSON lines, CSV, tab-separated text or NPZ.

Each writer takes an iterable of results and a binary stream. Bytes of a file name that are not
UTF-8 become U+FFFD.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

from stonekey.estimate.record import as_cells
from stonekey.keys import NO_KEY
from stonekey.output.formats import (
    Format,
    formats,
    write_csv_rows,
    write_json_array,
    write_text_rows,
)
from stonekey.output.records import FIELDS, FileResult, Layout
from stonekey.output.table import write_table
from stonekey.text import json_text

Writer = Callable[[Iterable[FileResult], BinaryIO, Layout], None]


def _records(results: Iterable[FileResult], layout: Layout) -> Iterable[dict[str, Any]]:
    top = 3 if layout.top is None else layout.top
    return (result.as_dict(layout.model, layout.notation, top) for result in results)


def write_json(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """An array of records; for a single file, just its record."""
    records = _records(results, layout)
    if layout.single:
        stream.write(json_text(next(iter(records), None), indent=2).encode() + b"\n")
    else:
        write_json_array(records, stream)


def write_jsonl(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """One record per line."""
    for record in _records(results, layout):
        stream.write(json_text(record).encode() + b"\n")
        stream.flush()


def write_csv(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """A header and one row per file (`as_cells`)."""
    rows = map(as_cells, _records(results, layout))
    write_csv_rows(rows, list(FIELDS), stream, paths=("file",))


def write_tsv(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """``file<TAB>key<TAB>confidence``, without a header, for grep and cut.

    Music without a key has the key ``no key``. A file that could not be read has the key ``error``
    and the reason in place of the confidence. With ``top`` above 1, the next keys follow, each with
    its probability. Tabs and line ends in names are escaped.
    """

    def cells(result: FileResult) -> list[str]:
        if result.estimate is None:
            return [result.file, "error", result.error or ""]
        if result.estimate.label is None:
            return [result.file, NO_KEY, f"{result.estimate.confidence:.4f}"]
        ranked = result.estimate.top(layout.top or 1)
        return [
            result.file,
            *(c for k, p in ranked for c in (k.format(layout.notation), f"{p:.4f}")),
        ]

    write_text_rows(map(cells, results), stream)


def write_npz(results: Iterable[FileResult], stream: BinaryIO, layout: Layout) -> None:
    """Plain arrays, which ``np.load`` opens without pickle.

    For n files with m segments in total: ``files``, ``keys`` (empty where there is none),
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
    buffer = io.BytesIO()  # NPZ is a zip file, which needs to seek; a pipe cannot
    np.savez_compressed(buffer, **arrays)
    stream.write(buffer.getvalue())


def _texts(texts: Iterable[str]) -> np.ndarray:
    return np.array(list(texts), dtype=np.str_)


RECORDINGS: dict[str, Format[Writer]] = formats(
    Format("table", write_table),
    Format("tsv", write_tsv, (".tsv", ".txt")),
    Format("json", write_json, (".json",)),
    Format("jsonl", write_jsonl, (".jsonl", ".ndjson")),
    Format("csv", write_csv, (".csv",)),
    Format("npz", write_npz, (".npz",)),
)
