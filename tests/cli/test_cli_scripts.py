"""What scripts rely on: help with examples and JSON on every command, pages of docs that run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import ROOT, call, music
from library_files import rekordbox, traktor

from stonekey.cli.commands import COMMANDS
from stonekey.keys import Key

Capture = pytest.CaptureFixture[str]
DOCS = ROOT / "docs"
# Pages whose commands are tried here; the others have tests of their own.
PAGES = ("mixing.md", "playlists.md", "shell.md")
# Commands that print no results: these write files or a script, and say so in words.
WITHOUT_JSON = {"serve", "train", "data", "library", "plot", "completion"}


GROUPS = {"data": ("shard", "cache", "render", "subset"), "library": ("export",)}
ALL = [(name, *sub) for name in COMMANDS for sub in [(x,) for x in GROUPS.get(name, ())] or [()]]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_help_of_every_command_has_examples_and_fits_80_columns(
    command: tuple[str, ...], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(*command, "--help") == 0
    text = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in text  # what rich puts where a cell is cut off
    examples = re.split(r"For example:|Examples:", text)
    assert len(examples) == 2
    name = " ".join(command)
    short = "stonekey song.mp3" if name == "predict" else f"stonekey {name}"
    assert short in examples[1].split("Options:")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_results_has_json(name: str, capsys: Capture) -> None:
    call(name, "--help")
    text = capsys.readouterr().out
    has = "--json" in text or bool(re.search(r"--format[\s\S]*\bjson\b", text))
    assert has is (name not in WITHOUT_JSON)


def printed(capsys: Capture, *arguments: str | Path) -> dict[str, object]:
    """The one JSON object that a command prints."""
    assert call(*arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_demo_as_json(tmp_path: Path, capsys: Capture) -> None:
    song = tmp_path / "demo.wav"
    found = printed(capsys, "demo", "--key", "Eb", "--seconds", "15", "--output", song)
    assert (found["synthesised"], found["output"], found["model"]) == (
        "Eb major", str(song), "stone24",
    )  # fmt: skip
    assert found["key"] == found["vorbis"]["key"] == "Eb major"


def test_export_and_calibrate_as_json(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "copy.onnx"
    found = printed(capsys, "export", "template12", "--output", path)
    assert found == {"output": str(path), "bytes": path.stat().st_size}
    found = printed(capsys, "calibrate", "template")
    assert found["class_table"] == [str(Key.from_index(i)) for i in range(24)]
    assert (found["same_as_stored"], found["keys_heard"], found["output"]) == (True, 24, None)
    assert found["agreement"] == 1.0


def test_evaluate_as_json(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    song = music(tmp_path / "song.wav", "D major", 15)
    manifest = tmp_path / "keys.csv"
    manifest.write_text(f"path,key\n{song},D major\n")
    found = printed(
        capsys, "evaluate", "--manifest", manifest, "--cache", tmp_path / "cache",
        "--output", tmp_path / "report",
    )  # fmt: skip
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["scored"] == 1
    assert found == {name: written[name] for name in found}


def blocks(page: str, language: str = "") -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the pages name, which is the working folder."""
    (tmp_path / "music").mkdir()
    for name, key in (("song", "A minor"), ("other", "E minor"), ("third", "C major")):
        music(tmp_path / "music" / f"{name}.mp3", key, 15)
    (tmp_path / "music" / "song.mp3").rename(tmp_path / "song.mp3")
    for playlist in ("set.m3u8", "set.m3u"):
        (tmp_path / playlist).write_text("song.mp3\nmusic/other.mp3\n")
    song = tmp_path / "song.mp3"
    rekordbox(tmp_path / "rekordbox.xml", [{"Location": song.as_uri(), "Tonality": "Am"}])
    folder = str(tmp_path).replace("/", "/:") + "/:"
    traktor(tmp_path / "collection.nml", [{"DIR": folder, "FILE": song.name, "VOLUME": "SSD"}])
    assert call("scan", tmp_path, "-o", tmp_path / "keys.csv", "--workers", "1") == 0
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page(page: str, desk: Path, capsys: Capture) -> None:
    lines = [line for block in blocks(page) for line in block.splitlines()]
    ours = [shlex.split(line, comments=True) for line in lines if line.startswith("stonekey ")]
    assert len(ours) >= 3
    for words in ours:
        end = words.index(">") if ">" in words else len(words)
        assert call(*words[1:end]) == 0, words
        if "--output" in words and words[1] != "scan":
            assert Path(words[words.index("--output") + 1]).stat().st_size > 10


def test_the_python_of_the_pages(desk: Path) -> None:
    for page in PAGES:
        for code in blocks(page, "python"):
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=desk, capture_output=True, text=True, timeout=600,
                env={"PYTHONPATH": str(ROOT / "src")},
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")
            assert "other" in done.stdout


def test_the_list_of_pages_names_every_page() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([a-z_-]+\.md)\)", text))
    assert linked == {path.name for path in DOCS.glob("*.md")} - {"README.md"}


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / link).exists(), (page.name, link)
