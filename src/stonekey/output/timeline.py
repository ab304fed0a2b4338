"""A timeline as a table, JSON, CSV, JAMS, or labels for Audacity and Sonic Visualiser."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from stonekey import __version__
from stonekey.estimate.record import FIELDS
from stonekey.estimate.timeline import Timeline
from stonekey.keys import NO_KEY, ClassLabel, Key
from stonekey.output.formats import Format, formats
from stonekey.output.page import Page
from stonekey.text import json_text


def _name(label: ClassLabel | None, notation: str) -> str:
    return NO_KEY if label is None else label.format(notation)


def to_json(timeline: Timeline, file: str, notation: str = "musical") -> str:
    """One object: the key, spans, modulations, and the grid by columns; times in seconds."""
    record: dict[str, Any] = {
        "file": file,
        "duration": round(timeline.duration, 3),
        "key": timeline.estimate.label and timeline.estimate.label.format(notation),
        "confidence": round(timeline.estimate.confidence, 4),
        "spans": [
            {
                "start": round(span.start, 3),
                "end": round(span.end, 3),
                "key": span.label and span.label.format(notation),
                "confidence": round(span.confidence, 4),
            }
            for span in timeline.spans
        ],
        "modulations": [
            {
                "time": round(change.time, 3),
                "from": change.before.format(notation),
                "to": change.after.format(notation),
                "confidence": round(change.confidence, 4),
            }
            for change in timeline.modulations
        ],
        "grid": {
            "times": [round(float(time), 3) for time in timeline.times],
            "keys": [label.format(notation) for label in timeline.labels],
            "probabilities": {
                label.format(notation): [round(float(p), 4) for p in column]
                for label, column in zip(
                    timeline.class_table, timeline.probabilities.T, strict=True
                )
            },
        },
        "hop": timeline.hop,
        "window": timeline.window,
        "tuning": FIELDS["tuning"].rounded(timeline.estimate.tuning),
        "model": timeline.model,
        "warnings": list(timeline.warnings),
    }
    return json_text(record) + "\n"


def to_csv(timeline: Timeline, file: str, notation: str = "musical") -> str:
    """The grid: a row per window with its time, smoothed key and all probabilities."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["time", "key", *(label.format(notation) for label in timeline.class_table)])
    for time, label, row in zip(
        timeline.times, timeline.labels, timeline.probabilities, strict=True
    ):
        cells = (f"{p:.4f}" for p in row)
        rows.writerow([f"{time:.3f}", label.format(notation), *cells])
    return text.getvalue()


def to_jams(timeline: Timeline, file: str, notation: str = "musical") -> str:
    """JAMS 0.3: namespace ``key_mode``, or ``tag_open`` for key signatures, which JAMS lacks.

    Ignores ``notation``: JAMS has its own.
    """
    keys = all(isinstance(label, Key) for label in timeline.class_table)
    record = {
        "annotations": [
            {
                "annotation_metadata": {
                    "curator": {"name": "", "email": ""},
                    "annotator": {"model": timeline.model},
                    "version": "",
                    "corpus": "",
                    "annotation_tools": f"stonekey {__version__}",
                    "annotation_rules": "",
                    "validation": "",
                    "data_source": "program",
                },
                "namespace": "key_mode" if keys else "tag_open",
                "data": [
                    {
                        "time": span.start,
                        "duration": span.end - span.start,
                        "value": _jams_value(span.label),
                        "confidence": span.confidence,
                    }
                    for span in timeline.spans
                ],
                "sandbox": {},
                "time": 0.0,
                "duration": timeline.duration,
            }
        ],
        "file_metadata": {
            "title": file,
            "artist": "",
            "release": "",
            "duration": timeline.duration,
            "identifiers": {},
            "jams_version": "0.3.4",
        },
        "sandbox": {},
    }
    return json_text(record, indent=2) + "\n"


def _jams_value(label: ClassLabel | None) -> str:
    if label is None:
        return "N"
    if isinstance(label, Key):
        return label.format("musical").replace(" ", ":")
    return label.format("musical")


def to_audacity(timeline: Timeline, file: str, notation: str = "musical") -> str:
    """An Audacity label track: a line per span with start, end and key, separated by tabs."""
    return "".join(
        f"{span.start:.6f}\t{span.end:.6f}\t{_name(span.label, notation)}\n"
        for span in timeline.spans
    )


def to_sonic(timeline: Timeline, file: str, notation: str = "musical") -> str:
    """A regions layer for Sonic Visualiser: CSV of time, value, duration and label.

    The value, which sets the region's height, is the confidence in percent.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for span in timeline.spans:
        value, duration = f"{100 * span.confidence:.1f}", f"{span.end - span.start:.6f}"
        rows.writerow([f"{span.start:.6f}", value, duration, _name(span.label, notation)])
    return text.getvalue()


def to_table(timeline: Timeline, file: str, notation: str = "musical", colour: bool = False) -> str:
    """The key of the whole, a table of the spans, then the modulations, for reading.

    ``colour`` is for a terminal on standard output.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    spans = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Start", "End", "Key", "Confidence"):
        spans.add_column(name, justify="left" if name == "Key" else "right")
    for span in timeline.spans:
        cells = _name(span.label, notation), f"{span.confidence:.0%}"
        spans.add_row(_clock(span.start), _clock(span.end), *cells)
    text = Page(None if colour else "utf-8")
    console = Console(file=text, force_terminal=colour, width=100, highlight=False)
    whole = timeline.estimate
    sure = "" if whole.label is None else f", confidence {whole.confidence:.0%}"
    console.print(f"{_name(whole.label, notation)}{sure}")
    if timeline.spans:
        console.print(spans)
    for change in timeline.modulations:
        names = f"{_name(change.before, notation)} to {_name(change.after, notation)}"
        console.print(f"{_clock(change.time)}  {names}, confidence {change.confidence:.0%}")
    return text.getvalue()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


TIMELINES: dict[str, Format[Callable[..., str]]] = formats(
    Format("table", to_table),
    Format("json", to_json, (".json",)),
    Format("csv", to_csv, (".csv",)),
    Format("jams", to_jams, (".jams",)),
    Format("audacity", to_audacity, (".txt",)),
    Format("sonic", to_sonic),
)
