"""What the hooks of the documentation site make."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from doc_pages import ROOT

from stonekey.cli.commands import COMMANDS

pytest.importorskip("mkdocs")

HOOKS: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "hooks.py"))


def test_the_page_of_commands_has_them_all() -> None:
    page = HOOKS["commands"]()
    for name in COMMANDS:
        assert f"### stonekey {name}\n" in page
    assert '| `--min-clarity` | Answer "no key" below this key clarity' in page
    assert "```sh\nstonekey song.mp3\n" in page
    assert page.count("\n### ") == len(COMMANDS) + 5  # data and library have commands of their own


@pytest.mark.parametrize(
    ("text", "source", "page", "wanted"),
    [
        ("[a](../recipes/LOG.md#x)", "docs/a.md", "a.md", "[a](explanation/log.md#x)"),
        ("[a](../docs/results.md)", "recipes/LOG.md", "explanation/log.md", "[a](../results.md)"),
        ("[js/](../js/)", "docs/a.md", "a.md", "[js/](reference/web.md)"),
        ("[`k`](../config/ks.gin)", "docs/a.md", "a.md", "`k`"),
        ("[a](README.md)", "CONTRIBUTING.md", "project/contributing.md", "[a](../README.md)"),
        ("![a](../docs/figures/x.png)", "recipes/LOG.md", "explanation/log.md",
         "![a](../figures/x.png)"),
        ("[a](https://arxiv.org/abs/1)", "docs/a.md", "a.md", "[a](https://arxiv.org/abs/1)"),
        ("[a](nowhere.md)", "recipes/LOG.md", "explanation/log.md", "[a](nowhere.md)"),
    ],
)  # fmt: skip
def test_links_are_those_of_the_site(text: str, source: str, page: str, wanted: str) -> None:
    assert HOOKS["relinked"](text, source, page) == wanted


def test_pages_that_fetch_from_elsewhere_are_found() -> None:
    fetched = HOOKS["fetched"]
    assert fetched('<script src="https://x.org/a.js"></script>') == ["https://x.org/a.js"]
    assert fetched('<link rel="stylesheet" href="//x.org/a.css">') == ["//x.org/a.css"]
    assert fetched('<a href="https://x.org">x</a><img src="figures/a.png">') == []
