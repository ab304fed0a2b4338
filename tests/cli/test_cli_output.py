"""Which files commands replace, and what reaches the terminal."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import ROOT, call, music

from stonekey.model.registry import local_model

EVIL = "\x1b]0;mine\x07\x1b[31m\u202e.wav"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music under a name with terminal escapes."""
    return music(tmp_path_factory.mktemp("music") / EVIL, "C major", 4)


@pytest.mark.parametrize("kind", ["folder", "pipe", "recording", "read"])
def test_not_even_force_replaces(
    kind: str, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / ("theirs.flac" if kind == "recording" else "keys.csv")
    given: list[str | Path] = [song]
    if kind == "folder":
        output.mkdir()
    elif kind == "pipe":
        os.mkfifo(output)
    elif kind == "read":
        shutil.copy(song, output)
        given = [output]
    else:
        output.write_bytes(b"music")
    before = output.lstat(), output.read_bytes() if output.is_file() else None
    for command, form in (("predict", "csv"), ("timeline", "csv")):
        assert call(command, *given, "-m", "template", "-f", form, "-o", output, "--force") == 2
        assert str(output) in capsys.readouterr().err
    after = output.lstat(), output.read_bytes() if output.is_file() else None
    assert after == before


def test_a_library_is_not_replaced_by_what_is_read_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = tmp_path / "keys.csv"
    library.write_text("whatever")
    assert call("mix", "8A", "-l", library, "-o", library, "--force") == 2
    assert call("playlist", "-l", library, "-o", library, "--force") == 2
    assert call("compare", "a.nml", "--from", library, "-o", library, "--force") == 2
    assert library.read_text() == "whatever"
    assert capsys.readouterr().err.count("is read by this command") == 3


def test_what_is_sorted_or_mixed_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, library = tmp_path / "set.m3u8", tmp_path / "keys.csv"
    given.write_text("one.wav\n")
    library.write_text("whatever")
    (tmp_path / "link.m3u8").symlink_to(given)
    for output in (given, tmp_path / "link.m3u8"):
        assert call("playlist", given, "-o", output, "--force") == 2
        assert call("playlist", given, "-l", library, "-o", output, "--force") == 2
        assert call("mix", given, "-l", library, "-o", output, "--force") == 2
    assert call("playlist", given, "-l", library, "-o", library, "--force") == 2
    assert given.read_text() == "one.wav\n"
    assert library.read_text() == "whatever"
    assert capsys.readouterr().err.count("is read by this command") == 7


def test_a_model_is_not_replaced_by_its_own_answers(
    song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.safetensors"
    shutil.copy(local_model("stone12") or "", tmp_path / "model.onnx")
    shutil.copy((local_model("stone12") or Path()).with_suffix(".safetensors"), model)
    manifest, library = tmp_path / "labels.csv", tmp_path / "keys"
    manifest.write_text(f"path,key\n{song},C major\n")
    library.mkdir()
    (library / "part-000000.parquet").write_text("whatever")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    own = ("-o", model, "--force")
    asked: list[tuple[str | Path, ...]] = [
        ("calibrate", model, *own),
        ("confidence", model, "--manifest", manifest, *own),
        ("confidence", tmp_path / "model.onnx", "--manifest", manifest, *own),
        ("demo", "-m", model, *own),
        ("predict", song, "-m", model, "-f", "json", *own),
        ("timeline", song, "-m", model, "-f", "json", *own),
        ("mix", song, "-l", library, "-m", model, "-f", "json", *own),
        ("playlist", song, "-m", model, "-f", "json", *own),
        ("compare", song, "-m", model, "-f", "json", *own),
        ("export", tmp_path, "-o", tmp_path / "model.onnx", "--force"),
        ("mix", "8A", "-l", library, "-f", "csv", "-o", library / "part-000000.parquet", "--force"),
        ("evaluate", "--manifest", manifest, "-m", "template", "-o", tmp_path, "--force"),
    ]
    for command in asked:
        assert call(*command) == 2, command
        assert "is read by this command" in capsys.readouterr().err, command
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_link_stays_a_link(song: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "elsewhere" / "keys.tsv", tmp_path / "keys.tsv"
    real.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    assert call("predict", song, "-m", "template", "-o", link, "--force") == 0
    assert link.is_symlink()
    assert "C major" in real.read_text()


@pytest.mark.parametrize("command", [["timeline"], ["timeline", "-f", "csv"], ["tag"]])
def test_no_escape_reaches_standard_error_or_output(
    command: list[str], song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = song.with_name(f"missing{EVIL}")
    for file in (song, missing):
        call(*command, file, "-m", "template")
        told = capsys.readouterr()
        assert "\x1b" not in told.err + told.out
        assert "\u202e" not in told.err + told.out
        assert file is song or "missing\\x1b" in told.err


@pytest.mark.parametrize("form", ["csv", "json", "table"])
def test_no_escape_reaches_a_terminal(form: str, song: Path) -> None:
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stonekey", song, "-m", "template", "-f", form],
        cwd=ROOT, stdout=side, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.wait(60) == 0
    os.close(side)
    told = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # all is read
            break
        told += part
    os.close(terminal)
    assert b"\x1b]0" not in told
    assert b"\x1b[31m\xe2\x80\xae" not in told
    assert b"x1b" in told if form != "json" else b"\\u001b" in told


def test_csv_for_people_has_no_formulas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    music(tmp_path / "=SUM(A1).wav", "C major", 4)
    for command in (["predict"], ["tag"]):
        assert call(*command, "=SUM(A1).wav", "-m", "template", "-f", "csv") == 0
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        assert [row["file"] for row in rows] == ["./=SUM(A1).wav"]
    assert call("predict", "=SUM(A1).wav", "-m", "template", "-f", "json") == 0
    assert json.loads(capsys.readouterr().out)["file"] == "=SUM(A1).wav"
