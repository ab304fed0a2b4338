"""The command line as a whole: which command runs, help, version, what is loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import ROOT, call, music, on_terminal, run, run_alone

import stonekey
from stonekey.cli import WIDEST_HELP, with_command
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
    [
        ("modles", "did you mean 'models'?"),
        ("halp", "did you mean 'help'?"),
        ("albun", "did you mean 'album'?"),
        ("zzzz", '"stonekey --help" lists the commands'),
    ],
)
def test_a_mistyped_word(
    word: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    assert call(word) == 2
    error = capsys.readouterr().err
    assert f"'{word}' is not a command, file or folder" in error
    assert hint in error


@pytest.mark.parametrize("given", [(), ("help",), ("data",), ("help", "data")])
def test_help_is_no_bad_usage(given: tuple[str, ...]) -> None:
    done = run(*given)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: stonekey" in done.stdout


@pytest.mark.parametrize("command", [("predict",), ("data", "render")])
def test_help_of_a_command(command: tuple[str, ...]) -> None:
    assert run("help", *command).stdout == run(*command, "--help").stdout != ""
    wrong = run("help", "modles")
    assert wrong.returncode == 2
    assert "'modles' is not a command; did you mean 'models'?" in wrong.stderr


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_help_on_a_terminal(columns: int) -> None:
    shown = on_terminal("--help", columns=columns)
    assert "\x1b[1mMusic libraries\x1b[0m:" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= min(columns, WIDEST_HELP)
    assert "    stonekey song.mp3" in lines
    blurb = "List the tracks of a library that mix well with a recording or key, best first."
    assert blurb in " ".join(" ".join(lines).split())
    assert "\x1b" not in on_terminal("--help", columns=columns, TERM="dumb")


def test_every_help_page_is_complete() -> None:
    """Every option has words, nothing is cut, and no name of a Python type shows."""
    pages = [[name] for name in COMMANDS]
    pages += [["data", name] for name in ("shard", "cache", "render", "subset")]
    for page in [*pages, ["library", "export"]]:
        text = run(*page, "--help").stdout
        assert max(map(len, text.splitlines())) <= 80, page
        assert not re.search(r"<[a-z]|…|{|\\\[", text), page
        for line in text.splitlines():
            assert not re.fullmatch(r"  (-\w, )?--[\w-]+( [A-Z]+)?", line), line


def test_a_file_that_reads_as_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    music(tmp_path / "-x.wav", "D major", 4.0)
    for given in (["-x.wav"], ["predict", "y.wav", "-x.wav"], ["tag", "-x.wav"]):
        done = run(*given)
        assert done.returncode == 2
        assert "for the file '-x.wav' write ./-x.wav, or put -- before all files" in done.stderr
    for given in (["./-x.wav"], ["--", "-x.wav"]):
        assert "D major" in run(*given).stdout
    assert "write ./" not in run("--no-such-option").stderr


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
