"""Titles of any script in pictures, with and without a font that has it. Warnings are errors."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from matplotlib import font_manager
from matplotlib.figure import Figure

from stonekey.evaluation.figures import groups_figure, save
from stonekey.evaluation.statistics import Interval
from stonekey.output.fonts import make_legible, written

TITLE = "\U000f0000\U000f0001 é \uff21\uff22"  # two that no font has, wide A and B


@pytest.fixture
def font(tmp_path: Path) -> Iterator[str]:
    """An installed font with squares for the two characters."""
    builder = pytest.importorskip("fontTools.fontBuilder").FontBuilder(1000, isTTF=True)
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", "one", "two"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({0xF0000: "one", 0xF0001: "two"})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "squares.ttf")
    known = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "squares.ttf")
    yield "Squares"
    font_manager.fontManager.ttflist[:] = known


def drawn(title: str) -> Figure:
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_title(title)
    make_legible(figure)
    for form in ("png", "svg", "pdf"):
        figure.savefig(io.BytesIO(), format=form)
    return figure


def test_a_font_that_has_the_title_is_found(font: str) -> None:
    figure = drawn(TITLE)
    assert font in figure.axes[0].title.get_fontfamily()
    assert figure.axes[0].title.get_text() == "\U000f0000\U000f0001 é AB"
    assert font not in drawn("plain é").axes[0].title.get_fontfamily()


def test_without_a_font_the_title_is_plain() -> None:
    assert drawn(TITLE).axes[0].title.get_text() == "?? é AB"
    assert written("a\U000e0101b\nc") == "ab\nc"  # invisible anyway
    assert written("F♯ minor ½") == "F♯ minor ½"


def test_figures_of_an_evaluation_are_legible(tmp_path: Path) -> None:
    score = {"\U000f0000": Interval(0.5, 0.4, 0.6)}
    figure = groups_figure([(TITLE, 3, score), ("jazz", 4, score)], "MIREX", "\U000f0001")
    save(figure, tmp_path / "x.png")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["?? é AB (3)", "jazz (4)"]
    assert axes.get_ylabel() == "?"
    assert axes.get_legend().get_texts()[0].get_text() == "?"
