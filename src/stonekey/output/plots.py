"""A figure of a recording: its chroma, its keys over time, and the circle of fifths.

Drawn with matplotlib, without a display. Quantities are shown by darkness alone, so the figure
survives printing in grey. Orange marks the answers: colour-blind readers can tell it from blue.
"""

from __future__ import annotations

import math
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stonekey.estimate.timeline import Timeline
from stonekey.keys import NO_KEY, ClassLabel, Key, KeySignature
from stonekey.output.fonts import make_legible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORANGE = "#D55E00"  # from Okabe and Ito's colour-blind-safe palette
CMAP = "Blues"
_LEGEND = (
    "Darker: louder (pitch classes), likelier (keys).\n"
    "Orange: the key, and the seven notes of its scale."
)
_COLUMNS = 900  # most columns of the chroma to draw
_PITCH_CLASSES = ("C", "D♭", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")


def plot_recording(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    hop: float | None = None,
    window: float | None = None,
    notation: str = "short",
    title: str | None = None,
    **options: Any,
) -> Figure:
    """Analyse a file and draw it; its sound is held in memory.

    Args:
        path: the recording.
        model: name or path of a model; None for the default.
        hop: of the timeline, as in `stonekey.estimate.timeline.timeline_windows`.
        window: likewise.
        notation: how keys are written (`stonekey.keys.NOTATIONS`).
        title: title of the figure; None for the file's name.
        options: ``settings``, or settings by name, as `stonekey.KeyEstimator` takes them.

    Raises:
        AudioError: the file cannot be read.
        CheckpointError, ValueError: as for `stonekey.KeyEstimator`.
    """
    from stonekey.audio import stream_audio
    from stonekey.estimate.estimator import KeyEstimator
    from stonekey.estimate.source import whole
    from stonekey.estimate.timeline import DEFAULT_HOP, timeline_of, timeline_windows
    from stonekey.model.registry import DEFAULT_MODEL
    from stonekey.output.chroma import chroma
    from stonekey.text import printable, shown

    windows = timeline_windows(DEFAULT_HOP if hop is None else hop, window)
    estimator = KeyEstimator(DEFAULT_MODEL if model is None else model, **options)
    rate, tuner = estimator.info.front_end.sample_rate, estimator.settings.tuner()
    with stream_audio(path, rate, tuner, estimator.settings.timeout) as stream:
        blocks = list(stream)
    source = whole(
        blocks, estimator.settings, rate, estimator.segment_seconds, tuner, stream.warnings, windows
    )
    timeline = timeline_of(source, estimator, windows)
    energies = chroma(blocks, rate)
    name = shown(Path(path).name) if title is None else printable(title, keep="\n")
    return key_figure(timeline, energies, name, notation)


def key_figure(
    timeline: Timeline,
    energies: NDArray[np.float64],
    title: str = "",
    notation: str = "short",
) -> Figure:
    """Draw a recording.

    Args:
        timeline: of the recording.
        energies: its chroma (12, frames), C first.
        title: title of the figure.
        notation: how keys are written (`stonekey.keys.NOTATIONS`).
    """
    from matplotlib.figure import Figure

    estimate = timeline.estimate
    figure = Figure(figsize=(10.5, 6.9), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.6, 1), height_ratios=(1, 1.35))
    upper = figure.add_subplot(grid[0, 0])
    lower = figure.add_subplot(grid[1, 0], sharex=upper)
    circle = figure.add_subplot(grid[:, 1], projection="polar")
    centre = estimate.signature.fifths if estimate.signature else 0
    _draw_chroma(upper, timeline, energies, centre)
    _draw_keys(lower, timeline, centre, notation)
    for change in timeline.modulations:
        for axes in (upper, lower):
            axes.axvline(change.time, color=ORANGE, linewidth=1, linestyle=(0, (4, 3)))
    _name_spans(upper, timeline, notation)
    _draw_circle(circle, timeline, notation)
    figure.suptitle(
        _shortened(title, 90), fontsize=13, fontweight="bold", x=0.01, ha="left", parse_math=False
    )
    make_legible(figure)
    return figure


def _draw_chroma(
    axes: Axes, timeline: Timeline, energies: NDArray[np.float64], centre: int
) -> None:
    """Pitch classes in fifths, with boxes around the scales, whose notes are then neighbours."""
    # Centre the scale of the main key.
    order = [(7 * (centre - 4 + row)) % 12 for row in range(12)]
    # Between magnitude and energy, so that a loud note's neighbours stay pale.
    shown = _columns(energies[order] ** 0.7, _COLUMNS)
    loudest = shown.max(axis=0, initial=0.0)
    audible = loudest > 1e-3 * loudest.max(initial=0.0)
    shown = np.where(audible, shown / np.where(audible, loudest, 1), 0)
    axes.imshow(
        shown, origin="lower", aspect="auto", cmap=CMAP, vmin=0, vmax=1, interpolation="nearest",
        extent=(0, timeline.duration, -0.5, 11.5),
    )  # fmt: skip
    for span in timeline.spans:
        if span.label is None:
            continue
        first = (span.label.signature.fifths - 1 - (centre - 4)) % 12
        for low in (first, first - 12):  # the scale wraps around the edge
            _box(axes, span.start, span.end, max(low, 0) - 0.5, min(low + 7, 12) - 0.5)
    axes.set_yticks(range(12), [_PITCH_CLASSES[i] for i in order], fontsize=9)
    axes.set_ylabel("pitch class, in fifths")
    axes.tick_params(length=0, labelbottom=False)
    axes.set(xlim=(0, timeline.duration or 1), ylim=(-0.5, 11.5))


def _box(axes: Axes, left: float, right: float, low: float, high: float) -> None:
    from matplotlib.patches import Rectangle

    if high > low:
        axes.add_patch(
            Rectangle((left, low), right - left, high - low, fill=False, edgecolor=ORANGE,
                      linewidth=1.4)
        )  # fmt: skip


def _draw_keys(axes: Axes, timeline: Timeline, centre: int, notation: str) -> None:
    """Probabilities of the windows, one row per key, with boxes around the smoothed keys."""
    table = timeline.class_table

    def place(label: ClassLabel) -> tuple[int, int]:
        minor = isinstance(label, Key) and label.mode == "minor"
        return (label.signature.fifths - (centre - 6)) % 12, int(minor)

    order = sorted(range(len(table)), key=lambda i: place(table[i]))
    row = {table[i]: number for number, i in enumerate(order)}
    if len(timeline.times):
        middles = (timeline.times[1:] + timeline.times[:-1]) / 2
        edges = np.array([0.0, *middles, timeline.duration])
        axes.pcolormesh(
            edges, np.arange(len(table) + 1) - 0.5, timeline.probabilities[:, order].T,
            cmap=CMAP, vmin=0, vmax=1, rasterized=True,
        )  # fmt: skip
    for edge in range(2, len(table), 2):
        axes.axhline(edge - 0.5, color="0.9", linewidth=0.5)
    for span in timeline.spans:
        if span.label is not None:
            at = row[span.label]
            _box(axes, span.start, span.end, at - 0.5, at + 0.5)
    names = [_text(table[i], notation) for i in order]
    axes.set_yticks(range(len(table)), names, fontsize=8)
    axes.set_ylabel("key, on the circle of fifths")
    axes.set_xlabel("time (minutes:seconds)")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.5, len(table) - 0.5)
    ticks = _time_ticks(timeline.duration)
    axes.set_xticks(ticks, [f"{int(t) // 60}:{int(t) % 60:02d}" for t in ticks])


def _name_spans(axes: Axes, timeline: Timeline, notation: str) -> None:
    """Write the keys above their spans, where there is room."""
    for span in timeline.spans:
        share = (span.end - span.start) / timeline.duration
        name = NO_KEY if span.label is None else _text(span.label, notation)
        if share >= 0.013 * len(name) + 0.01:
            axes.annotate(
                name, ((span.start + span.end) / 2, 11.5), (0, 4), textcoords="offset points",
                ha="center", va="bottom", fontsize=10, color=ORANGE, fontweight="bold",
                annotation_clip=False,
            )  # fmt: skip


def _draw_circle(axes: Any, timeline: Timeline, notation: str) -> None:
    """Sectors clockwise in fifths: major keys outside, minor inside; darker is likelier."""
    from matplotlib import colormaps

    estimate = timeline.estimate
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_axis_off()
    axes.set_anchor((0.5, 0.8))
    axes.set_ylim(0, 1)
    cmap = colormaps[CMAP]
    scale = max(estimate.probabilities.values(), default=1.0)
    width = 2 * math.pi / 12
    for label in timeline.class_table:
        probability = estimate.probabilities.get(label, 0.0)
        low, high = 0.34, 1.0
        if isinstance(label, Key):
            low, high = (0.68, 1.0) if label.mode == "major" else (0.36, 0.68)
        angle = label.signature.fifths * width
        best = label == estimate.label
        axes.bar(
            angle, high - low, width, bottom=low, color=cmap(0.95 * probability / scale),
            edgecolor=ORANGE if best else "0.6", linewidth=3 if best else 0.8,
            zorder=3 if best else 2, clip_on=False,
        )  # fmt: skip
        dark = probability / scale > 0.55
        share = f"\n{100 * probability:.0f} %" if probability >= 0.015 else ""
        axes.text(
            angle, (low + high) / 2, _text(label, notation).replace("/", "\n") + share,
            ha="center", va="center", fontsize=9, linespacing=1.15, zorder=4,
            color="white" if dark else "0.1", fontweight="bold" if best else "normal",
        )  # fmt: skip
    answer = NO_KEY if estimate.label is None else _text(estimate.label, "musical", "\n")
    axes.text(0, 0, answer, ha="center", va="center", fontsize=13, fontweight="bold")
    facts = [_shortened(warning, 44) for warning in estimate.warnings[:2]]
    if estimate.label is not None:
        facts = [f"confidence {100 * estimate.confidence:.0f} %"]
    if estimate.tuning is not None:
        facts[-1] += f", {_tuning(estimate.tuning)}"
    facts += [textwrap.fill(note, 44) for note in timeline.notes]
    facts.append(f"model {_shortened(estimate.model, 40)}")
    axes.set_title("\n".join(facts), fontsize=10, y=-0.06, va="top")
    axes.text(0.5, -0.22, _LEGEND, transform=axes.transAxes, ha="center", va="top", fontsize=8,
              color="0.35", linespacing=1.4)  # fmt: skip


def _tuning(cents: float) -> str:
    """The deviation from A = 440 Hz in words."""
    whole = round(cents)
    if not whole:
        return "in tune with A = 440 Hz"
    return f"{abs(whole)} cents {'above' if whole > 0 else 'below'} A = 440 Hz"


def _text(label: ClassLabel, notation: str, between: str = "/") -> str:
    """A label with typographic sharps and flats."""
    names = [label.major, label.minor] if isinstance(label, KeySignature) else [label]
    if isinstance(label, KeySignature) and notation in ("short", "musical"):
        parts = label.format(notation).split(" / ")
    else:
        parts = [name.format(notation) for name in names]
    if notation in ("camelot", "openkey"):
        return between.join(parts)
    return between.join(part[0] + part[1:].replace("b", "♭").replace("#", "♯") for part in parts)


def _columns(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """The values with neighbouring columns averaged down to at most ``most``."""
    count = values.shape[1]
    if count <= most:
        return values
    starts = np.linspace(0, count, most, endpoint=False).astype(int)
    sums = np.add.reduceat(values, starts, axis=1)
    return np.asarray(sums / np.diff([*starts, count]))


def _time_ticks(duration: float) -> list[int]:
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((s for s in steps if duration / s <= 9), steps[-1])
    return list(range(0, int(duration) + 1, step))


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
