"""What scripts rely on: help with examples and JSON on every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_tools import call, music

from stonekey.cli.commands import COMMANDS
from stonekey.keys import Key

Capture = pytest.CaptureFixture[str]
# Commands that print no results: these write files or a script, and say so in words.
WITHOUT_JSON = {"serve", "page", "train", "data", "library", "plot", "completion"}


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
    has = "--json" in text or bool(re.search(r"--format[\s\S]*\bjsonl?\b", text))
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
