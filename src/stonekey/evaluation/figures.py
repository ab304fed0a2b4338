"""Figures of an evaluation.

Every function returns a matplotlib Figure, and :func:`save` writes it. None of them uses pyplot,
so they need no display and leave the caller's own figures alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stonekey.evaluation.confidence import Calibration, CoverageCurve
from stonekey.evaluation.confusion import ConfusionMatrix
from stonekey.evaluation.statistics import Interval
from stonekey.files import write_atomically
from stonekey.keys import ClassLabel
from stonekey.output.fonts import make_legible, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which most colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
FORMATS = ("png", "pdf", "svg")
_GRID: dict[str, Any] = {"color": "0.88", "linewidth": 0.8}
# Points of (share of labels in percent, score, interval or None).
Curve = Sequence[tuple[float, float, Interval | None]]


def save(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a figure, in the format of the suffix, of `FORMATS`; PNG without one.

    Text in PDF and SVG stays text. The same figure gives the same file.
    """
    from matplotlib import rc_context

    make_legible(figure)
    form = path.suffix.lstrip(".") or "png"
    options: dict[str, Any] = {"dpi": dpi, "bbox_inches": "tight", "pad_inches": 0.12}
    if form != "png":
        options["metadata"] = {"Date" if form == "svg" else "CreationDate": None}
    with rc_context({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "stonekey"}):
        write_atomically(path, lambda temporary: figure.savefig(temporary, format=form, **options))


def confusion_figure(matrix: ConfusionMatrix, title: str = "") -> Figure:
    """Draw a confusion matrix; rows are references, columns estimates.

    Cells are shares of the row's reference class; each row's number of tracks is on the right. The
    axes follow the circle of fifths, with each major key beside its relative minor.
    """
    size = len(matrix.labels)
    small = size > 12
    figure, axes = _figure((8.6, 8.0) if small else (7.6, 6.8))
    share = matrix.normalised()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = [_short(label) for label in matrix.labels]
    font = 8 if small else 9
    turned = {"rotation": 90} if small else {"rotation": 45, "ha": "right"}
    axes.set_xticks(range(size), names, fontsize=font, rotation_mode="anchor" if not small else
                    "default", **turned)  # fmt: skip
    axes.set_yticks(range(size), names, fontsize=font)
    axes.set_xlabel("estimate")
    axes.set_ylabel("reference")
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    for row, column in zip(*np.nonzero(share >= 0.005), strict=True):
        axes.text(
            column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center",
            fontsize=6 if small else 8, color="white" if share[row, column] > 0.55 else "0.15",
        )  # fmt: skip
    totals = matrix.counts.sum(axis=1) + matrix.no_answer
    for row, total in enumerate(totals):
        axes.text(size - 0.3, row, str(total), va="center", fontsize=font - 1, color="0.4")
    axes.text(size - 0.3, -0.9, "N", va="center", fontsize=font - 1, color="0.4")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.07, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.ax.set_yticklabels(["0", "25", "50", "75", "100"])
    bar.set_label("% of the reference class")
    if unanswered := int(matrix.no_answer.sum()):
        title += f"{', ' if title else ''}{unanswered} without an answer"
    axes.set_title(title, fontsize=10, pad=14)
    return figure


def reliability_figure(systems: Mapping[str, Calibration]) -> Figure:
    """Draw accuracy against confidence and the share of answers, one panel per system."""
    figure, panels = _panels(len(systems), (3.3, 3.7))
    for axes, (name, found) in zip(panels, systems.items(), strict=True):
        bins = [b for b in found.bins if b.accuracy is not None and b.confidence is not None]
        width = found.bins[0].high - found.bins[0].low
        axes.bar(
            [b.low for b in found.bins], [b.n / found.n for b in found.bins], width, align="edge",
            color="0.88", edgecolor="white", label="share of answers",
        )  # fmt: skip
        axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label="calibrated")
        axes.plot(
            [float(b.confidence or 0) for b in bins], [float(b.accuracy or 0) for b in bins],
            color=COLOURS[0], marker="o", markersize=4, label="accuracy", clip_on=False,
        )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", aspect="equal")
        axes.set_title(f"{name}\nN {found.n}, ECE {100 * found.ece:.1f} %", fontsize=9)
    panels[0].set_ylabel("accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    columns = 3 if len(panels) > 1 else 2
    figure.legend(
        handles, labels, fontsize=7, loc="outside lower center", frameon=False, ncols=columns
    )
    return figure


def coverage_figure(systems: Mapping[str, CoverageCurve]) -> Figure:
    """Draw the accuracy of the answers against their share, as low confidence abstains."""
    figure, axes = _figure((6.0, 4.0))
    lowest = 1.0
    for i, (name, curve) in enumerate(systems.items()):
        axes.plot(100 * curve.coverage, 100 * curve.score, color=_colour(i), label=name,
                  linestyle=("-", "--", ":")[i // len(COLOURS) % 3],
                  marker="." if len(curve.coverage) < 20 else "")  # fmt: skip
        lowest = min(lowest, float(curve.score.min()))
    floor = max(0, math.floor(10 * lowest) * 10 - 5)
    axes.set(xlim=(0, 101), ylim=(floor, 101), xlabel="tracks answered (%)")
    axes.set_ylabel("accuracy of the answers (%)")
    axes.grid(**_GRID)
    _legend_above(axes, len(systems))
    return figure


def groups_figure(
    groups: Sequence[tuple[str, int, Mapping[str, Interval]]], score: str, column: str
) -> Figure:
    """Draw the score of each system in each group, with intervals.

    Args:
        groups: value of the column, number of tracks and score by system, from the top down.
        score: name of the score, for the axis.
        column: name of the column.
    """
    names = list(groups[0][2])
    step = 0.8 / len(names)
    figure, axes = _figure((7.0, 1.2 + len(groups) * max(0.32, 0.17 * len(names))))
    for i, name in enumerate(names):
        found = [scores[name] for _, _, scores in groups]
        values = np.array([100 * interval.value for interval in found])
        low = values - [100 * interval.low for interval in found]
        high = [100 * interval.high for interval in found] - values
        axes.errorbar(
            values, np.arange(len(groups)) - 0.4 + step * (i + 0.5),
            xerr=np.maximum([low, high], 0), fmt=MARKERS[i % len(MARKERS)], color=_colour(i),
            markersize=4.5, linewidth=1, capsize=2, label=name,
        )  # fmt: skip
    axes.set_yticks(
        range(len(groups)), [f"{written(_cut(value))} ({n})" for value, n, _ in groups], fontsize=8
    )
    for edge in range(1, len(groups)):
        axes.axhline(edge - 0.5, color="0.88", linewidth=0.8)
    axes.set(ylim=(len(groups) - 0.5, -0.5), xlim=(-2, 102), ylabel=column)
    axes.set_xlabel(f"{score} (%), 95 % interval")
    axes.grid(axis="x", **_GRID)
    axes.tick_params(axis="y", length=0)
    _legend_above(axes, len(names))
    return figure


def label_efficiency_figure(
    curves: Mapping[str, Curve], lines: Mapping[str, float], published: Mapping[str, Curve]
) -> Figure:
    """Draw the weighted (MIREX) score against the share of labels used, on a log axis.

    Args:
        curves: measured points by system.
        lines: scores of systems trained without labels, drawn as horizontal lines.
        published: published points, drawn faintly in the colour of the system of the same name.
    """
    figure, axes = _figure((8.4, 4.4))
    shares: set[float] = set()
    names = [*curves, *(name for name in published if name not in curves)]
    for i, (name, points) in enumerate(curves.items()):
        points = sorted(points, key=lambda point: point[0])
        x = [share for share, _, _ in points]
        y = np.array([100 * value for _, value, _ in points])
        bounds = [interval or Interval(v, v, v) for _, v, interval in points]
        errors = [y - [100 * b.low for b in bounds], [100 * b.high for b in bounds] - y]
        axes.errorbar(x, y, yerr=np.maximum(errors, 0), color=_colour(i), label=name, capsize=3,
                      marker=MARKERS[i % len(MARKERS)])  # fmt: skip
        shares |= set(x)
    for name, points in published.items():
        i = names.index(name)
        axes.plot([share for share, _, _ in points], [100 * value for _, value, _ in points],
                  color=_colour(i), alpha=0.45, linestyle=":", marker=MARKERS[i % len(MARKERS)],
                  markerfacecolor="white", label=f"{name}, published on FMAK")  # fmt: skip
        shares |= {share for share, _, _ in points}
    for i, (name, value) in enumerate(lines.items()):
        style = ("--", "-.", ":")[i % 3]
        axes.axhline(100 * value, color="0.35", linestyle=style, linewidth=1.2, label=name)
    axes.set_xscale("log")
    ticks = sorted(shares) or [1, 10, 100]
    axes.set_xticks(ticks, [f"{share:g}" for share in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("share of the labels used (%)")
    axes.set_ylabel("weighted (MIREX) score (%)")
    axes.grid(**_GRID)
    by_label = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = [*curves, *(label for label in by_label if label not in curves)]
    axes.legend(
        [by_label[label] for label in order], order, fontsize=8, frameon=False,
        loc="center left", bbox_to_anchor=(1.01, 0.5),
    )  # fmt: skip
    return figure


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure, axes = _panels(1, size)
    return figure, axes[0]


def _panels(count: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure with rows of up to four panels; ``size`` is that of a panel, in inches."""
    from matplotlib.figure import Figure

    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure((size[0] * columns, size[1] * rows), layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    panels = list(grid.flat)
    for extra in panels[count:]:
        extra.remove()
    for axes in panels[:count]:
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels[:count]


def _legend_above(axes: Axes, entries: int) -> None:
    axes.legend(
        fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(entries, 3)
    )


def _short(label: ClassLabel) -> str:
    """``Eb``, ``Cm`` or ``Eb/Cm``, for an axis."""
    return label.format("short").replace(" / ", "/")


def _cut(text: str, length: int = 28) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]
