"""Links between pages lead somewhere, anchors included; the site has every page."""

from __future__ import annotations

import re

import pytest
from doc_pages import PAGES, ROOT, anchors, links

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            assert link.startswith(("https://", "mailto:")), link
            continue
        path, _, anchor = link.partition("#")
        target = (PAGES[page].parent / path).resolve() if path else PAGES[page]
        assert target.exists(), (page, link)
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), (page, link)


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_repository_that_are_named_exist(page: str) -> None:
    text = PAGES[page].read_text("utf-8")
    for name in re.findall(r"(?<![\w./])(?:recipes|benchmarks|config|tests)/[\w/.-]+\.\w+", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_extras_that_are_installed_exist(page: str) -> None:
    for names in re.findall(r"pip install [^`\n]*\[([\w,]+)\]", PAGES[page].read_text("utf-8")):
        assert set(names.split(",")) <= declared_extras(), names


def declared_extras() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    part = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = \[", part, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_options_of_recipes_exist(page: str) -> None:
    text = re.sub(r"\\\n\s*", "", PAGES[page].read_text("utf-8"))
    for name, options in re.findall(r"python ((?:recipes|benchmarks)/\w+\.py)([^`\n]*)", text):
        source = "".join((ROOT / p).read_text("utf-8") for p in (name, "recipes/common.py"))
        for option in re.findall(r"(?<!\w)--([a-z][\w-]*)", options):
            assert f"--{option}" in source or option.replace("-", "_") in source, (name, option)


def made_pages() -> set[str]:
    text = (DOCS / "hooks.py").read_text("utf-8")
    return set(re.findall(r'"((?:project|explanation|reference)/\w+\.md)"', text))


def test_every_page_is_in_the_navigation_and_on_the_start_page() -> None:
    """Pages of tasks are on the start page; all are in the navigation, once."""
    nav = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert len(nav) == len(set(nav))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert set(nav) == pages | made_pages()
    start = {link.partition("#")[0] for link in links("docs/README.md")}
    tasks = {page for page in pages if "/" not in page} - {"README.md"}
    assert tasks <= start


def test_headings_have_the_anchors_that_links_use() -> None:
    assert "confidence-and-no-key" in anchors(DOCS / "models.md")
    assert "2026-11-22---fast-dev-set-n-84" in anchors(DOCS / "results.md")
