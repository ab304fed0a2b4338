"""The scores that the pages repeat are those of ``weights/scores.csv``."""

from __future__ import annotations

import pytest
from cli_tools import ROOT

from stonekey.model.registry import model_names, scores

PAGES = ("README.md", "docs/results.md", "docs/explanation/comparison.md")


def test_every_model_is_scored() -> None:
    assert set(scores()) == set(model_names())


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("model", [name for name in scores() if name != "template12"])
def test_pages_repeat_them(page: str, model: str) -> None:
    rows = [
        line
        for line in (ROOT / page).read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{model}`") and "[" in line
    ]
    assert rows, f"{page} has no row for {model}"
    for score in scores()[model].values():
        assert str(score) in rows[0]


@pytest.mark.parametrize("model", ["stone12", "stone24"])
def test_cards_repeat_them(model: str) -> None:
    card = ROOT / "src" / "stonekey" / "model" / "weights" / f"{model}.md"
    text = card.read_text(encoding="utf-8")
    for score in scores()[model].values():
        assert str(score) in text
