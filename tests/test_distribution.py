"""What tells of the package, its versions, extras and images, agrees with it and with itself."""

from __future__ import annotations

import json
import re
import runpy
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cli_tools import ROOT

from stonekey import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest needs there

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name]


def test_all_is_every_extra_for_users() -> None:
    extras = PROJECT["optional-dependencies"]
    [everything] = extras["all"]
    named = re.fullmatch(r"stonekey\[(.*)\]", everything)
    assert named
    assert set(named[1].split(",")) == set(extras) - {"all", "dev", "docs"}


def test_upper_bounds_have_reasons() -> None:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.search(r'"[\w\[\]]+[^"]*(<|==)\d', line):
            assert "#" in line or above.startswith("#"), line


def test_workflows_run_every_python() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert f"python: {PYTHONS}".replace("'", '"') in text
    several = re.search(r"python-version: \|\n((?: +[#3].*\n)+)", text)
    assert several
    assert set(re.findall(r"3\.\d+$", several[1], re.MULTILINE)) == set(PYTHONS)
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_npm_package_has_the_version() -> None:
    for name in ("package.json", "package-lock.json"):
        assert json.loads((ROOT / "js" / name).read_text("utf-8"))["version"] == __version__


def test_changelog_has_the_version() -> None:
    problem = runpy.run_path(str(ROOT / ".ci" / "notes"))["problem"]
    assert problem((ROOT / "CHANGELOG.md").read_text("utf-8"), __version__) is None


@pytest.mark.parametrize(
    ("headings", "version", "tag", "wrong"),
    [
        (["Unreleased"], "0.1.0", None, None),
        (["Unreleased"], "0.1.0", "v0.1.0", "still Unreleased"),
        (["0.1.0 (2027-01-31)"], "0.1.0", "v0.1.0", None),
        (["0.1.0 (2027-01-31)"], "0.1.0", "v0.2.0", "the tag is v0.2.0"),
        (["0.1.0 (2027-01-31)"], "0.2.0", None, "its first section 0.1.0"),
        (["Unreleased", "0.9.0 (2027-01-31)"], "0.10.0", None, None),
        (["Unreleased", "0.9.0 (2027-01-31)"], "0.9.0", None, "which is released"),
        (["0.9.0 (2027-01-31)", "0.10.0 (2027-01-30)"], "0.9.0", None, "do not fall"),
        (["0.1.0"], "0.1.0", None, "is not like"),
        (["0.1.0 (2027-01-31)", "Unreleased"], "0.1.0", None, "is not like"),
        ([], "0.1.0", None, "its first section none"),
    ],
)
def test_changelog_rule(
    headings: list[str], version: str, tag: str | None, wrong: str | None
) -> None:
    problem = runpy.run_path(str(ROOT / ".ci" / "notes"))["problem"]
    text = "# Changelog\n\n" + "".join(f"## {heading}\n\n- a\n\n" for heading in headings)
    found = problem(text, version, tag)
    assert found is None if wrong is None else wrong in found


def test_images_are_made_of_files_that_docker_sees() -> None:
    seen = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert seen[1] == "*"  # all others are left out
    kept = {line.removeprefix("!") for line in seen if line.startswith("!")}
    copied: set[str] = set()
    for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied |= {str(Path(name).parts[0]) for name in line.split()[1:-1]}
    assert kept == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    # What building the package needs.
    files = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src"}
    assert files <= copied
