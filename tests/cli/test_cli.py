"""The command line as a whole: which command runs, help, version, what is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import ROOT, call, music, run, run_alone

import stonekey
from stonekey.cli import with_command
from stonekey.cli.commands import COMMANDS

BASIC = ("predict", "models", "export", "calibrate", "demo")


def test_version() -> None:
    done = run_alone("--version")
    assert (done.returncode, done.stdout) == (0, f"stonekey {stonekey.__version__}\n")


@pytest.mark.parametrize("name", ["", *BASIC])
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*([name] if name else []), "--help") == 0
    text = capsys.readouterr().out
    assert "xample" in text
    assert f"stonekey {name}" in text.replace("stonekey song.mp3", "stonekey predict")


def test_the_groups_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(f" {name} " in text for name in COMMANDS)


def test_predict_is_put_in_front_of_paths_and_options(tmp_path: Path) -> None:
    (tmp_path / "song").touch()
    song = str(tmp_path / "song")
    assert with_command([song]) == ["predict", song]
    assert with_command(["--top", "3", song]) == ["predict", "--top", "3", song]
    assert with_command(["missing.mp3"]) == ["predict", "missing.mp3"]
    assert with_command(["models"]) == ["models"]
    assert with_command(["--help"]) == ["--help"]


def test_a_command_is_not_hidden_by_a_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").touch()
    assert with_command(["models"]) == ["models"]
    assert with_command(["./models"]) == ["predict", "./models"]


@pytest.mark.parametrize(
    ("word", "hint"),
    [("modles", "did you mean 'models'?"), ("zzzz", "commands: predict, timeline")],
)
def test_a_mistyped_command(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(word) == 2
    error = capsys.readouterr().err
    assert f"'{word}' is not a command, file or folder" in error
    assert hint in error


def test_nothing_given_prints_help_and_is_bad_usage() -> None:
    done = run()
    assert done.returncode == 2
    assert "Usage" in done.stdout + done.stderr


def test_an_unknown_option_is_bad_usage(tmp_path: Path) -> None:
    assert run(tmp_path, "--no-such-option").returncode == 2


def test_a_file_loads_no_torch_and_nothing_heavy(tmp_path: Path) -> None:
    song = music(tmp_path / "song.wav", "D major")
    heavy = ["torch", "onnx", "matplotlib", "gin", "rich.table", "pooch", "requests", "av"]
    code = (
        "import sys\n"
        "from stonekey.cli import main\n"
        f"try: main([{str(song)!r}])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert "D major" in done.stdout
    assert done.stderr == "[]\n"
