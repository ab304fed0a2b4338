"""Shell completion: what a shell is told when it asks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import ROOT, call

from stonekey.cli.commands import COMMANDS
from stonekey.model.registry import model_names

Ask = Callable[[str, str], list[str]]
BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command ``stonekey`` of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "stonekey"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stonekey "$@"\n')
    command.chmod(0o755)
    return folder


def environment(program: Path, **more: str) -> dict[str, str]:
    path = f"{program}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), **more}


def in_bash(program: Path, *lines: tuple[str, ...]) -> list[list[str]]:
    """What bash would offer for each line, its last word being typed."""
    script = ['eval "$(stonekey completion bash)"']
    for words in lines:
        quoted = " ".join(f"'{word}'" for word in ("stonekey", *words))
        script += [f"COMP_WORDS=({quoted})", f"COMP_CWORD={len(words)}", "COMPREPLY=()"]
        script += ["_stonekey_completion stonekey", 'echo "${COMPREPLY[*]}"']
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--norc", "-c", "\n".join(script)],
        capture_output=True, text=True, timeout=600, env=environment(program),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) == len(lines)
    return found


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_runs_the_script(program: Path) -> None:
    commands, models, option = in_bash(
        program, ("",), ("my\\ song.mp3", "--model", "=", "template1"), ("mix", "8A", "--li")
    )
    assert sorted(commands) == sorted(COMMANDS)
    assert models == ["template12"]
    assert sorted(option) == ["--library", "--limit"]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What the program answers to a shell, as words."""

    def answer(shell: str, line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_STONEKEY_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("_TYPER_COMPLETE_WORD_TO_COMPLETE", words[-1])
        if shell == "bash":
            monkeypatch.setenv("COMP_WORDS", "\n".join(words))
            monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        else:
            monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
            monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        assert call() == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out.split()

    return answer


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stonekey ", list(COMMANDS)),
        ("stonekey pl", ["playlist", "plot"]),
        ("stonekey scan --model ", model_names()),
        ("stonekey export deezer/", ["deezer/stone12", "deezer/stone24", "deezer/skey"]),
        ("stonekey song.mp3 --mo", ["--model"]),
        ("stonekey --model =", model_names()),
        ("stonekey --model = deezer/sk", ["deezer/skey"]),
        ("stonekey --overl", ["--overlap"]),
        ("stonekey song.mp3 --overl", ["--overlap"]),
        ("stonekey data sh", ["shard"]),
        ("stonekey song.mp3 other", []),  # the shell goes on to the names of files
    ],
)
def test_commands_options_and_models(line: str, expected: list[str], ask: Ask) -> None:
    assert sorted(ask("bash", line)) == sorted(expected)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "data"])
def test_every_command_has_its_options(name: str, ask: Ask) -> None:
    assert "--help" in ask("bash", f"stonekey {name} --h")


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_what_other_shells_are_answered(shell: str, ask: Ask) -> None:
    def asked(line: str) -> str:
        return " ".join(ask(shell, line))

    assert "template12" in asked("stonekey tag x --model temp")
    assert "--min-confidence" in asked("stonekey mix 8A --min")
    assert "playlist" in asked("stonekey play")
    assert "--overlap" in asked("stonekey song.mp3 --over")
    assert "predict" not in asked("stonekey song.mp3 --over")


def test_a_line_for_each_completion_of_powershell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_STONEKEY_COMPLETE", "complete_powershell")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "stonekey tag --")
    monkeypatch.setenv("_TYPER_COMPLETE_WORD_TO_COMPLETE", "--")
    monkeypatch.setenv("COLUMNS", "80")
    assert call() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 20
    assert all(re.match("--[a-z-]+:::", line) for line in lines)


def test_an_empty_variable_asks_for_no_completion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_STONEKEY_COMPLETE", "")
    assert call("help") == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_is_for_that_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("completion", shell) == 0
    script = capsys.readouterr().out
    assert f"_STONEKEY_COMPLETE=complete_{shell}" in re.sub(' = "', "=", script)
    if path := shutil.which(shell):
        assert subprocess.run([path, "-n"], input=script, text=True).returncode == 0


def test_another_shell_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("completion", "tcsh") == 2
    assert "bash, zsh, fish" in capsys.readouterr().err


def test_completing_loads_one_command_and_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from stonekey.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('onnxruntime', 'torch', 'soundfile', 'rich.table', "
        "'stonekey.cli.scan') if m in sys.modules], file=sys.stderr)\n"
    )
    more = {"_STONEKEY_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, **more, "COMP_WORDS": "stonekey\nmix\n--lib"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("--library\n", "[]\n")
