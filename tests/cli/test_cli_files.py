"""Commands that read recordings: one bad file is told and costs itself only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import call, music, open_to_all

Command = Callable[[Path, Path], list[str | Path]]
COMMANDS: dict[str, Command] = {
    "predict": lambda files, out: ["predict", *sorted(files.iterdir())],
    "scan": lambda files, out: ["scan", *sorted(files.iterdir()), "-o", out / "k.csv", "-j", "1"],
    "tag": lambda files, out: ["tag", *sorted(files.iterdir())],
    "playlist": lambda files, out: ["playlist", *sorted(files.iterdir()), "-o", out / "l.m3u8"],
    "timeline": lambda files, out: ["timeline", files / "locked.wav"],
    "plot": lambda files, out: ["plot", files / "locked.wav", "-o", out / "x.svg"],
    "mix": lambda files, out: ["mix", files / "locked.wav", "-l", out / "known.csv"],
    "calibrate": lambda files, out: ["calibrate", "template", files / "locked.wav", "-k", "C"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file and another of which the tests forbid the reading."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("good.wav", "locked.wav"):
        music(folder / name, "D major", 16.0)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_no_permission_is_not_bad_usage(
    files: Path,
    tmp_path: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the parser of arguments asks of the system is not what decides."""
    if command == "plot":
        pytest.importorskip("matplotlib")
    (tmp_path / "known.csv").write_text("path,key,confidence\n")
    monkeypatch.setattr(os, "access", lambda path, mode, **_: Path(path).name != "locked.wav")
    code = call(*COMMANDS[command](files, tmp_path))
    said = capsys.readouterr().err
    assert "not readable" not in said
    assert code != 2 or command == "mix"  # the library of that is empty


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="permissions of Unix")
def test_a_locked_file_beside_good_ones(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("predict", files / "good.wav", files / "locked.wav", "--format", "tsv")
    assert call(*arguments) == 0  # everything is imported now
    capsys.readouterr()
    (files / "locked.wav").chmod(0)
    root = os.getuid() == 0
    if root:  # nothing is forbidden to root
        open_to_all(files)
        os.setresuid(65534, 65534, 0)
    try:
        code = call(*arguments)
    finally:
        if root:
            os.setresuid(0, 0, 0)
        (files / "locked.wav").chmod(0o644)
    out, said = capsys.readouterr()
    assert code == 1
    assert "D major" in out.splitlines()[0]
    assert "locked.wav: cannot be opened: Permission denied" in said


@pytest.mark.parametrize("command", ["predict", "scan", "timeline", "plot", "mix"])
def test_time_limit(
    files: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "plot":
        pytest.importorskip("matplotlib")
    output = tmp_path / "k.csv"
    assert call("scan", files, "-o", output, "-j", "1", "-m", "template") == 0
    if command == "scan":
        output.unlink()
    capsys.readouterr()
    flags = {"mix": ("-l", output), "scan": ("-o", output), "plot": ("-o", tmp_path / "x.svg")}
    what = files if command in ("predict", "scan") else files / "good.wav"
    common = (command, what, *flags.get(command, ()), "-m", "template")
    assert call(*common, "--timeout", "1e-6") == 1
    assert "good.wav: took longer than 1e-06 s" in capsys.readouterr().err
    assert call(*common, "--timeout", "0") == 2
    assert "must be above 0" in capsys.readouterr().err
