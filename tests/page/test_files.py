"""The page's files: in the package, on a host, built from their sources."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
from cli_tools import run

from stonekey import page
from stonekey.model.registry import find_model

SOURCES = Path(__file__).resolve().parents[2] / "page"


def test_names_and_contents() -> None:
    assert {"index.html", "page.js", "worker.js", "style.css", "stone24.onnx"} < set(page.names())
    assert page.read("stone24.onnx") == find_model("stone24").read_bytes()
    assert page.read("ort-wasm-simd-threaded.wasm")[:4] == b"\0asm"
    for name in page.names():
        assert page.media_type(name)
    for name in ("../__init__.py", "ort-wasm-simd-threaded.wasm.xz", ""):
        with pytest.raises(KeyError):
            page.read(name)
    assert sum(len(page.read(name)) for name in page.names()) < 15e6


def test_index_names_only_files_of_the_page() -> None:
    index = page.read("index.html").decode()
    named = re.findall(r'(?:src|href)="([^"]*)"', index)
    assert named
    assert set(named) <= set(page.names())
    policy = re.search(r'content="(default-src[^"]*)"', index)
    assert policy
    assert "unsafe-inline" not in policy[1]
    assert "'unsafe-eval'" not in policy[1]
    for name in ("page.js", "style.css", "index.html"):
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", page.read(name))


def test_write_a_site(tmp_path: Path) -> None:
    site = tmp_path / "a" / "site"
    done = run("page", "--output", site)
    assert done.returncode == 0
    assert done.stderr.startswith(f"stonekey: {site}: {len(page.names())} files, 14.")
    assert {path.name for path in site.iterdir()} == set(page.names())
    for name in page.names():
        assert (site / name).read_bytes() == page.read(name)
    # An older page is brought up to date.
    (site / "page.js").write_text("old")
    (site / "stone24.onnx").unlink()
    assert run("page", "--output", site).returncode == 0
    assert (site / "page.js").read_bytes() == page.read("page.js")
    assert (site / "stone24.onnx").exists()


def test_nothing_foreign_is_overwritten(tmp_path: Path) -> None:
    theirs = tmp_path / "index.html"
    theirs.write_text("<title>mine</title>")
    done = run("page", "-o", tmp_path)
    assert done.returncode == 2
    expected = f"stonekey: {tmp_path} holds index.html, not of this page; --force writes there"
    assert done.stderr.startswith(expected)
    assert theirs.read_text() == "<title>mine</title>"
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    theirs.rename(tmp_path / "notes.txt")
    assert run("page", "-o", tmp_path).returncode == 2
    assert run("page", "-o", tmp_path, "--force").returncode == 0
    assert (tmp_path / "notes.txt").read_text() == "<title>mine</title>"
    done = run("page", "-o", tmp_path / "notes.txt")
    assert done.returncode == 2
    assert "is a file, not a folder" in done.stderr


def test_built_from_the_sources(tmp_path: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm, which are not on this machine")
    if not (SOURCES / "node_modules").is_dir():
        pytest.skip("needs the packages that `npm ci` fetches in page/")
    spec = importlib.util.spec_from_file_location("build_page", SOURCES / "build.py")
    assert spec
    assert spec.loader
    building = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(building)
    building.build(tmp_path / "built")
    built = {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()}
    assert {*built, "stone24.onnx"} == set(page.names())
    for name, data in built.items():
        assert page.read(name) == data, f"{name}: run python page/build.py"


def test_one_version_of_the_runtime() -> None:
    """The page and stonekey-web ask for the same ONNX Runtime."""
    pinned = re.compile(r'"onnxruntime-web": "([\d.]+)"')
    versions = {
        match[1]
        for folder in (SOURCES, SOURCES.parent / "js")
        if (match := pinned.search((folder / "package.json").read_text(encoding="utf-8")))
    }
    assert len(versions) == 1
    assert f"version {versions.pop()}," in page.read("licences.txt").decode()


def test_every_text_is_used() -> None:
    """``strings.ts`` is the one place of texts, and none is left over."""
    texts = (SOURCES / "src" / "strings.ts").read_text(encoding="utf-8")
    names = re.findall(r"^  (\w+):", texts, re.MULTILINE)
    assert len(names) > 50
    others = "".join(
        path.read_text(encoding="utf-8")
        for path in (SOURCES / "src").glob("*.ts")
        if path.name != "strings.ts"
    )
    used = set(re.findall(r"\bstrings\.(?!ts\b)(\w+)", others))
    assert set(names) == used
