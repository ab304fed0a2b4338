"""``stonekey scan``: outputs, resuming, links, names, failures."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_tools import ROOT, call, music, run

from stonekey.keys import Key, KeySignature
from stonekey.library import Result, read_results
from stonekey.text import to_install

KEYS = {"a.wav": "D major", "b.wav": "F# minor", "sub/deep/c.wav": "Bb major"}
SOURCE = ROOT / "docs" / "library.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pieces, a broken one, and a text file."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "sub/deep").mkdir(parents=True)
    for name, key in KEYS.items():
        music(folder / name, key, 2.0)
    (folder / "bad.mp3").write_text("this is no mp3")
    (folder / "notes.txt").write_text("no music")
    return folder


@pytest.fixture
def album(made: Path, tmp_path: Path) -> Path:
    """A copy of these that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "album"))


def rows(output: Path) -> dict[str, Result]:
    """Results by the file's name."""
    results = read_results(output)
    assert len({result.path for result in results}) == len(results)
    return {result.path.name: result for result in results}


def summary(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """Scan in this process; what it prints with --json, and its exit code."""
    capsys.readouterr()
    code = call("scan", *arguments, "--json")
    return {**json.loads(capsys.readouterr().out), "code": code}


def test_results_summary_and_exit_code(album: Path, tmp_path: Path) -> None:
    done = run("scan", album, "--output", tmp_path / "keys.csv")
    assert done.returncode == 1
    failure = f"{album}/bad.mp3: not readable as sound"
    assert failure in done.stderr
    assert "4 files: 4 analysed in" in done.stdout
    assert "1 failed:\n  " + failure in done.stdout
    assert all(re.search(rf"  {key} +1  #+", done.stdout) for key in KEYS.values())
    found = rows(tmp_path / "keys.csv")
    assert set(found) == {"a.wav", "b.wav", "c.wav", "bad.mp3"}
    for name, key in KEYS.items():
        result = found[Path(name).name]
        assert (result.path, result.key, result.error) == (album / name, key, None)
        assert result.size == (album / name).stat().st_size
        assert result.mtime == (album / name).stat().st_mtime
        assert result.duration == pytest.approx(2, abs=0.01)
        assert 0.3 < (result.confidence or 0) <= 1
    b = found["b.wav"]
    assert b.label == Key.parse("F# minor")
    assert b.tuning == pytest.approx(0, abs=5)
    assert b.model == "stone24"
    assert found["bad.mp3"].key is None
    assert "not readable" in (found["bad.mp3"].error or "")
    with (tmp_path / "keys.csv").open(newline="", encoding="utf-8") as stream:
        assert {row["key"] for row in csv.DictReader(stream)} == {"", *KEYS.values()}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["album", "keys.csv"]


def test_all_formats_hold_the_same(album: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    outputs = [tmp_path / f"keys.{suffix}" for suffix in ("csv", "jsonl", "sqlite", "parquet")]
    for output in outputs:
        assert call("scan", album, "-o", output) == 1
    first = rows(outputs[0])
    assert all(rows(output) == first for output in outputs[1:])
    assert len(first) == 4


def test_parquet_without_pyarrow_says_what_to_install(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert call("scan", album, "-o", tmp_path / "keys.parquet") == 2
    assert to_install("library") in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["csv", "sqlite", "parquet"])
def test_only_what_is_new_or_changed_is_analysed(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    output = tmp_path / f"keys.{suffix}"
    first = summary(capsys, album, "-o", output)
    assert (first["analysed"], first["kept"], first["code"]) == (4, 0, 1)
    before = rows(output)
    again = summary(capsys, album, "-o", output)
    assert (again["analysed"], again["kept"], again["code"]) == (0, 4, 1)
    assert again["failed"] == first["failed"]
    assert again["keys"] == first["keys"]
    assert rows(output) == before

    music(album / "a.wav", "E minor", 2.0)  # of the same size
    music(album / "new.wav", "G minor", 2.0)
    status = (album / "b.wav").stat()
    os.utime(album / "b.wav", (status.st_atime, status.st_mtime + 1))
    (album / "sub/deep/c.wav").unlink()
    (album / "bad.mp3").unlink()
    later = summary(capsys, album, "-o", output)
    assert (later["files"], later["analysed"], later["kept"], later["code"]) == (3, 3, 0, 0)
    keys = {name: result.key for name, result in rows(output).items()}
    expected = {"a.wav": "E minor", "b.wav": "F# minor", "new.wav": "G minor"}
    assert keys == {**expected, "c.wav": "Bb major", "bad.mp3": None}
    assert summary(capsys, album, "-o", output, "--prune")["analysed"] == 0
    assert {name: result.key for name, result in rows(output).items()} == expected


def test_another_model_or_setting_analyses_again(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "keys.csv"
    summary(capsys, album, "-o", output)
    assert summary(capsys, album, "-o", output, "--overlap", "0.5")["analysed"] == 4
    assert summary(capsys, album, "-o", output, "--overlap", "0.5")["analysed"] == 0
    assert summary(capsys, album, "-o", output, "--tune", "off")["analysed"] == 4
    signatures = summary(capsys, album, "-o", output, "--model", "template12")
    assert signatures["analysed"] == 4
    found = rows(output)
    assert found["a.wav"].key == "D major / B minor"
    assert (found["a.wav"].label, found["a.wav"].model) == (KeySignature(2), "template12")


def test_notation_and_confidence_change_without_an_analysis_where_they_can(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "keys.jsonl"
    summary(capsys, album, "-o", output)
    confidences = {name: result.confidence or 0 for name, result in rows(output).items()}
    best = max(confidences, key=lambda name: confidences[name])
    strict = ("--min-confidence", str(confidences[best]))
    told = summary(capsys, album, "-o", output, "-n", "camelot", *strict)
    assert (told["analysed"], told["without_key"]) == (0, 2)
    found = rows(output)
    assert found[best].key == found[best].as_dict()["camelot"]
    others = [result for name, result in found.items() if name != best and not result.error]
    assert len(others) == 2
    assert all(r.key is r.label is None for r in others)
    # A key that was not written has to be found again.
    assert summary(capsys, album, "-o", output)["analysed"] == 2
    assert {r.key for r in rows(output).values()} == {None, *KEYS.values()}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "sqlite"])
def test_music_without_a_key_is_not_analysed_again(
    album: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / f"keys.{suffix}"
    unclear = ("-o", output, "--min-clarity", "1")
    assert summary(capsys, album, *unclear)["without_key"] == 3
    assert all(result.confidence for result in rows(output).values() if not result.error)
    told = summary(capsys, album, *unclear)
    assert (told["analysed"], told["kept"], told["without_key"]) == (0, 4, 3)


def test_links_are_followed_once(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "bad.mp3").unlink()
    (album / "0-link.wav").symlink_to(album / "b.wav")  # sorts before its target
    (album / "loop").symlink_to(album)
    (album / "sub/up").symlink_to("..")
    outside = tmp_path / "outside"
    outside.mkdir()
    music(outside / "d.wav", "A minor", 2.0)
    (album / "other").symlink_to(outside)
    (album / "e.wav").symlink_to(outside / "d.wav")
    (album / "nowhere.wav").symlink_to("nothing")
    os.link(album / "a.wav", album / "hard.wav")
    told = summary(capsys, album, album / "sub", "-o", tmp_path / "keys.csv")
    assert (told["files"], told["repeated"], told["code"]) == (5, 2, 0)
    names = {"a.wav", "b.wav", "c.wav", "hard.wav"}
    assert names < set(rows(tmp_path / "keys.csv")) <= {*names, "d.wav", "e.wav"}


def test_a_folder_that_cannot_be_listed_is_reported(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "bad.mp3").unlink()
    (album / "circle").symlink_to("circle")
    (album / "sub").chmod(0)
    try:
        told = summary(capsys, album, "-o", tmp_path / "keys.csv")
    finally:
        (album / "sub").chmod(0o755)
    failed = {entry["path"]: entry["error"] for entry in told["failed"]}
    assert told["code"] == 1
    assert "Too many levels of symbolic links" in failed.pop(str(album / "circle"))
    if os.geteuid() != 0:  # root may list any folder
        assert "Permission denied" in failed.pop(str(album / "sub"))
    assert failed == {}


def test_names_in_any_encoding(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    source = music(tmp_path / "x.wav", "D major", 1.0)
    names = [b"caf\xe9.wav", b"line\nend.wav", b'tab\t,";.wav', "Ωmega♭.wav".encode(), b"\\x41.wav"]
    for name in names:
        shutil.copy(os.fsencode(source), os.path.join(os.fsencode(folder), name))
    (folder / os.fsdecode(b"bad\xff.mp3")).write_text("no music")
    for suffix in ("csv", "jsonl"):
        output = tmp_path / f"keys.{suffix}"
        done = run("scan", folder, "-o", output, "--progress")
        assert done.returncode == 1
        assert "files/s" in done.stderr
        words = "".join(done.stderr.split())  # the bar breaks lines at the terminal's width
        assert "bad\\xff.mp3:notreadable" in words
        before = set(read_results(output))
        found = {os.fsencode(result.path.name): result.key for result in before}
        assert found == {**dict.fromkeys(names, "D major"), b"bad\xff.mp3": None}
        assert call("scan", folder, "-o", output) == 1
        assert set(read_results(output)) == before


@pytest.mark.parametrize("suffix", ["csv", "sqlite"])
def test_a_full_disk_is_told_and_overcome(album: Path, tmp_path: Path, suffix: str) -> None:
    for number in range(30):
        shutil.copy(album / "a.wav", album / f"copy-{number}.wav")
    output = tmp_path / f"keys.{suffix}"
    limit = 100_000 if suffix == "sqlite" else 2500

    def small_files() -> None:  # no file may grow beyond: the write fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    full = subprocess.run(
        [sys.executable, "-m", "stonekey", "scan", album, "-o", output],
        cwd=ROOT, capture_output=True, encoding="utf-8", preexec_fn=small_files, timeout=600,
    )  # fmt: skip
    assert full.returncode == 1
    assert f"stonekey: {output}: cannot be written: " in full.stderr
    assert "Traceback" not in full.stderr
    kept = len(rows(output))
    assert 0 < kept < 34
    done = run("scan", album, "-o", output, "--json")
    assert json.loads(done.stdout)["kept"] == kept
    assert len(rows(output)) == 34


def test_bad_usage(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(*arguments: str | Path) -> str:
        assert call("scan", *arguments) == 2
        return capsys.readouterr().err

    (tmp_path / "notes.csv").write_text("title,year\n")
    assert "must end in one of" in message(album, "-o", tmp_path / "keys.xls")
    assert "not an output of stonekey scan" in message(album, "-o", tmp_path / "notes.csv")
    assert "no such file or folder" in message(album / "musik", "-o", tmp_path / "keys.csv")
    assert "did you mean template?" in message(album, "-o", tmp_path / "k.csv", "-m", "templat")
    assert "--notation must be" in message(album, "-o", tmp_path / "k.csv", "-n", "solfa")
    assert (tmp_path / "notes.csv").read_text() == "title,year\n"


def test_an_empty_library_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "music").mkdir()
    told = summary(capsys, tmp_path / "music", "-o", tmp_path / "keys.csv")
    assert (told["files"], told["code"]) == (0, 1)


def test_commands_of_the_page_work(album: Path, tmp_path: Path) -> None:
    """Every command in docs/library.md, with small folders of the names that it uses."""
    pytest.importorskip("pyarrow")
    for folder in ("Music", "dj"):
        shutil.copytree(album, tmp_path / folder)
        (tmp_path / folder / "bad.mp3").unlink()
    text = SOURCE.read_text(encoding="utf-8")
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if "stonekey scan" in line]
    assert len(commands) >= 5
    for command in commands:
        arguments = [word.replace("~", str(tmp_path)) for word in shlex.split(command)]
        done = subprocess.run(
            [sys.executable, "-m", "stonekey", *arguments[1:]],
            cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=600,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
    python = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert python
    code = python[1].replace("~", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Bb major" in done.stdout
