"""``CITATION.cff`` and the page for citing agree, and hold what programs ask for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from doc_pages import ROOT

yaml = pytest.importorskip("yaml")
CFF: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
PAGE = (ROOT / "docs" / "cite.md").read_text("utf-8")


def test_it_has_what_version_1_2_0_of_the_format_requires() -> None:
    assert CFF["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(CFF)
    assert CFF["type"] in ("software", "dataset")
    assert CFF["license"] == "MIT"
    assert "2026 " + CFF["authors"][0]["name"] in (ROOT / "LICENSE").read_text()
    for work in (CFF["preferred-citation"], *CFF["references"]):
        assert {"type", "title", "authors", "year", "url"} <= set(work)


@pytest.mark.parametrize("work", [CFF["preferred-citation"], *CFF["references"]])
def test_the_page_cites_the_same(work: dict[str, Any]) -> None:
    (number,) = re.findall(r"arXiv:(\S+)", work["identifiers"][0]["value"])
    (entry,) = [e for e in re.findall(r"@\w+\{.*?^\}", PAGE, re.S | re.M) if number in e]
    plain = " ".join(re.sub("[{}]", "", entry).split())
    assert f"title = {work['title']}," in plain
    names = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in work["authors"])
    assert f"author = {names}," in plain
    assert f"year = {work['year']}," in plain
    assert work["url"].endswith(number)


def test_the_paper_comes_first() -> None:
    assert CFF["preferred-citation"]["title"].startswith("STONE")
    assert PAGE.index("2407.07408") < PAGE.index("2501.12907")
