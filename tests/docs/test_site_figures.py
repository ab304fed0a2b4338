"""The figures of the documentation are what ``docs/make.py`` makes today."""

from __future__ import annotations

import io
import os
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from doc_pages import PAGES, ROOT, links

matplotlib = pytest.importorskip("matplotlib")

FIGURES = ROOT / "docs" / "figures"
# By recipes/label_efficiency.py, after many trainings; a screenshot of the page.
MADE_ELSEWHERE = {"label_efficiency.png", "page.png"}
MAKERS: dict[str, Callable[[], str | bytes]] = runpy.run_path(str(ROOT / "docs" / "make.py"))[
    "FIGURES"
]


def words(svg: str) -> str:
    """The text in a picture, however it is coloured."""
    return "".join(re.sub("<[^>]*>", "", t) for t in re.findall(r"<text.*?</text>", svg, re.DOTALL))


def coarse(png: bytes | Path) -> np.ndarray:
    """A picture in grey, in 16 x 16 fields: fonts and antialiasing hardly show."""
    grey = matplotlib.image.imread(io.BytesIO(png) if isinstance(png, bytes) else png)
    grey = grey[..., :3].mean(-1)
    height, width = (16 * (size // 16) for size in grey.shape)
    return grey[:height, :width].reshape(16, height // 16, 16, width // 16).mean((1, 3))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "architecture.svg" else pytest.mark.slow) for n in MAKERS],
)
def test_figures_are_up_to_date(name: str) -> None:
    if name == "views.svg":
        pytest.importorskip("torch")
    if name == "terminal.svg" and os.name != "posix":
        pytest.skip("needs a pseudo-terminal")
    made, told = MAKERS[name](), f"run python docs/make.py {name}"
    if isinstance(made, bytes):
        assert np.abs(coarse(made) - coarse(FIGURES / name)).max() < 0.05, told
    else:
        stored = (FIGURES / name).read_text("utf-8")
        assert words(made) == words(stored), told
        assert len(words(made)) > 50


def test_every_figure_is_made_and_shown() -> None:
    stored = {p.name for p in FIGURES.iterdir() if p.suffix in (".png", ".svg")} - {"favicon.svg"}
    assert stored - MADE_ELSEWHERE == set(MAKERS)
    shown = {Path(link).name for page in PAGES for link in links(page)}
    assert set(MAKERS) <= shown


@pytest.mark.parametrize("name", [name for name in MAKERS if name.endswith(".svg")])
def test_figures_fetch_nothing(name: str) -> None:
    text = (FIGURES / name).read_text("utf-8")
    assert not re.search(r"url\(\"?http|<(image|use)[^>]*href=\"http|@import|@font-face", text)
