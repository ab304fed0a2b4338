from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stonekey.evaluation import calibration, coverage_curve, key_confusion, signature_confusion
from stonekey.evaluation.figures import (
    confusion_figure,
    coverage_figure,
    groups_figure,
    label_efficiency_figure,
    reliability_figure,
    save,
)
from stonekey.evaluation.statistics import Interval
from stonekey.keys import Key


def key(text: str) -> Key:
    return Key.parse(text)


def pixels(figure: Any) -> np.ndarray:
    """The figure as pixels (height, width, 3), 0 black to 255 white."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float)


def cell(figure: Any, drawn: np.ndarray, row: int, column: int) -> float:
    """Brightness of a corner of a matrix cell, beside its number."""
    x, y = figure.axes[0].transData.transform((column - 0.4, row - 0.35))
    return float(drawn[drawn.shape[0] - 1 - round(y), round(x)].mean())


def tick_names(axis: Any) -> list[str]:
    return [tick.get_text() for tick in axis.get_ticklabels()]


def test_darker_means_more_and_every_row_is_a_share_of_its_reference() -> None:
    references = [key("C major")] * 100 + [key("G major")] * 2
    estimates = [key("C major")] * 60 + [key("A minor")] * 30 + [key("F major")] * 10
    matrix = key_confusion(references, [*estimates, key("G major"), key("G major")])
    figure = confusion_figure(matrix, "title")
    drawn = pixels(figure)
    names = tick_names(figure.axes[0].yaxis)
    c, a, f, g, d = (names.index(name) for name in ("C", "Am", "F", "G", "D"))
    shades = [cell(figure, drawn, g, g), *(cell(figure, drawn, c, i) for i in (c, a, f, d))]
    assert shades == sorted(shades)
    assert min(np.diff(shades)) > 5
    np.testing.assert_allclose(figure.axes[0].images[0].get_array()[c].sum(), 1)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"60", "30", "10", "100", "N", "2"} <= texts


def test_axes_follow_the_circle_of_fifths() -> None:
    twenty_four = confusion_figure(key_confusion([key("C")], [None])).axes[0]
    names = tick_names(twenty_four.xaxis)
    assert names == tick_names(twenty_four.yaxis)
    assert names[:4] == ["Db", "Bbm", "Ab", "Fm"]
    order = [key(name) for name in names]
    for major, minor, following in zip(order[::2], order[1::2], order[2::2], strict=False):
        assert minor == major.relative
        assert following == major.dominant
    assert "1 without an answer" in twenty_four.get_title()
    twelve = confusion_figure(signature_confusion([key("C")], [key("C")])).axes[0]
    assert tick_names(twelve.xaxis)[4:7] == ["F/Dm", "C/Am", "G/Em"]
    assert twelve.get_xlabel() == "estimate"
    assert twelve.get_ylabel() == "reference"


def test_reliability_shows_accuracy_at_the_mean_confidence_of_each_bin() -> None:
    confidence = [0.92, 0.94, 0.96, 0.98, 0.15]
    found = calibration([1, 1, 1, 0, 0], confidence)
    figure = reliability_figure({"first": found, "second": found})
    assert len(figure.axes) == 2
    for axes, name in zip(figure.axes, ("first", "second"), strict=True):
        line = next(line for line in axes.lines if line.get_label() == "accuracy")
        np.testing.assert_allclose(line.get_xydata(), [[0.15, 0], [0.95, 0.75]])
        assert axes.get_title().startswith(f"{name}\nN 5, ECE {100 * found.ece:.1f}")
        assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(1)


def test_coverage_and_groups_show_their_numbers() -> None:
    curve = coverage_curve([1, 1, 0, 1], [0.9, 0.8, 0.3, 0.2])
    line = coverage_figure({"s": curve}).axes[0].lines[0]
    np.testing.assert_allclose(line.get_xydata()[-1], [100, 75])
    scores = {"a": Interval(0.5, 0.4, 0.7), "b": Interval(1.0, 1.0, 1.0)}
    groups = [("rock", 10, scores), ("a very long name of a genre of music", 2, scores)]
    axes = groups_figure(groups, "MIREX", "genre").axes[0]
    names = tick_names(axes.yaxis)
    assert names[0] == "rock (10)"
    assert names[1].endswith("... (2)")
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first group on top
    drawn = axes.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(drawn[:, 0], [50, 50])
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"a", "b"}


def test_label_efficiency_has_a_log_axis_lines_and_published_points() -> None:
    interval = Interval(0.6, 0.5, 0.65)
    curves = {"Semi": [(100.0, 0.7, None), (1.0, 0.6, interval)]}
    figure = label_efficiency_figure(
        curves, {"no labels": 0.4}, {"Semi": [(10.0, 0.65, None)], "Sup": [(1.0, 0.5, None)]}
    )
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert tick_names(axes.xaxis) == ["1", "10", "100"]
    measured = axes.containers[0].lines[0]
    np.testing.assert_allclose(measured.get_xydata(), [[1, 60], [100, 70]])
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["no labels"].get_ydata(), [40, 40])
    assert lines["Semi, published on FMAK"].get_color() == measured.get_color()
    assert lines["Sup, published on FMAK"].get_color() != measured.get_color()
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown[0] == "Semi"


def test_figures_are_written_without_a_display(tmp_path: Path) -> None:
    save(confusion_figure(key_confusion([key("C")], [key("C")])), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_figures_for_print_are_the_same_each_time(tmp_path: Path) -> None:
    groups = [("rock", 10, {"a": Interval(0.5, 0.4, 0.7)})]
    for name, start in (("a.pdf", b"%PDF"), ("a.svg", b"<?xml")):
        save(groups_figure(groups, "MIREX", "genre"), tmp_path / name)
        first = (tmp_path / name).read_bytes()
        assert first.startswith(start)
        save(groups_figure(groups, "MIREX", "genre"), tmp_path / name)
        assert (tmp_path / name).read_bytes() == first
    assert ">rock (10)<" in (tmp_path / "a.svg").read_text()
    assert b"/FontFile2" in (tmp_path / "a.pdf").read_bytes()  # outlines, not bitmaps (Type 3)


@pytest.mark.parametrize("systems", [1, 2, 5])
def test_legends_cover_no_data(systems: int) -> None:
    from matplotlib.transforms import Bbox

    names = [f"system number {number}" for number in range(systems)]
    correct, sure = [1, 1, 0, 1], [0.05, 0.1, 0.95, 0.9]  # where a legend would be
    curve, found = coverage_curve(correct, sure), calibration(correct, sure)
    interval = Interval(0.5, 0.0, 1.0)
    points = [(share, value, None) for share in (1.0, 10.0, 100.0) for value in (0.0, 1.0)]
    for figure in (
        coverage_figure(dict.fromkeys(names, curve)),
        reliability_figure(dict.fromkeys(names, found)),
        groups_figure([("rock", 1, dict.fromkeys(names, interval))], "MIREX", "genre"),
        label_efficiency_figure(dict.fromkeys(names, points), {"line": 0.5}, {}),
    ):
        pixels(figure)
        legends = [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]
        assert len(legends) == 1
        box = legends[0].get_window_extent()
        for axes in figure.axes:
            shared = Bbox.intersection(box, axes.patch.get_window_extent())
            assert shared is None or shared.width * shared.height < 1
