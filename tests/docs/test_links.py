"""Links between pages lead somewhere, anchors included; the site has every page."""

from __future__ import annotations

import re

import pytest
from doc_pages import PAGES, ROOT, anchors, links

DOCS = ROOT / "docs"
FORTHCOMING = {"docker.md", "live.md", "page.md", "server.md"} - {
    path.name for path in DOCS.glob("*.md")
}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            assert link.startswith(("https://", "mailto:")), link
            continue
        path, _, anchor = link.partition("#")
        target = (PAGES[page].parent / path).resolve() if path else PAGES[page]
        if target.name in FORTHCOMING:
            continue
        assert target.exists(), (page, link)
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), (page, link)


def made_pages() -> set[str]:
    text = (DOCS / "hooks.py").read_text("utf-8")
    return set(re.findall(r'"((?:project|explanation|reference)/\w+\.md)"', text))


def test_every_page_is_in_the_navigation_and_on_the_start_page() -> None:
    """Pages of tasks are on the start page; all are in the navigation, once."""
    nav = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert len(nav) == len(set(nav))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert set(nav) - FORTHCOMING == pages | made_pages()
    start = {link.partition("#")[0] for link in links("docs/README.md")}
    tasks = {page for page in pages if "/" not in page} - {"README.md"}
    assert tasks <= start


def test_headings_have_the_anchors_that_links_use() -> None:
    assert "confidence-and-no-key" in anchors(DOCS / "models.md")
