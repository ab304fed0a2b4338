"""``stonekey predict`` for people: the table, its progress, standard input, files that are not."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_tools import ROOT, call, music, on_terminal, run

from stonekey import KeyEstimator
from stonekey.estimate.result import KeyEstimate
from stonekey.keys import Key
from stonekey.output.progress import FilesBar
from stonekey.output.recordings import RECORDINGS
from stonekey.output.records import FileResult, Layout
from stonekey.output.table import write_table

MODEL = ("--model", "template")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music, silence and a file that is no sound."""
    folder = tmp_path_factory.mktemp("folder")
    music(folder / "a.wav", "D major", 8.0)
    music(folder / "歌の歌.wav", "C minor", 8.0)
    soundfile.write(folder / "quiet.wav", np.zeros(22050), 22050)
    (folder / "bad.mp3").write_text("this is no mp3")
    return folder


def plain(shown: str) -> list[str]:
    """The lines of what a terminal got, those written over each other too, without escapes."""
    shown = re.sub(r"\r|\x1b\[[0-9;]*[A-K]", "\n", shown)
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", shown).splitlines()


def test_the_table_gives_reasons_and_totals(folder: Path) -> None:
    done = run(folder, "--format", "table", *MODEL)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["File", "Key", "Confidence", "Length"]
    bad = next(line for line in lines if "bad.mp3" in line)
    assert "error: not readable as sound" in bad
    at = next(i for i, line in enumerate(lines) if "quiet.wav" in line)
    assert lines[at + 1].strip() == "silence"
    total = "4 files, 0:17 of sound: 2 with a key, 1 with no key, 1 could not be read"
    assert lines[-1] == total
    single = run(folder / "a.wav", "--format", "table", *MODEL).stdout
    assert "of sound" not in single
    assert len(single.splitlines()) == 3


def test_the_columns_stand_under_each_other(folder: Path) -> None:
    from rich.cells import cell_len

    lines = run(folder, "-f", "table", "--top", "2", *MODEL).stdout.splitlines()
    head = lines[0].index("Key")
    for name in ("D major", "no key", "C minor"):
        line = next(line for line in lines if name in line)
        assert cell_len(line[: line.index(name)]) == head


@pytest.mark.parametrize("columns", [60, 200])
def test_the_table_on_a_terminal(folder: Path, columns: int) -> None:
    lines = plain(on_terminal(folder, *MODEL, columns=columns))
    told = " ".join(word for line in lines for word in line.split())
    assert told.count("not readable as sound") == 1
    assert "D major" in told
    assert "歌" in told
    assert [line for line in lines if len(line) > columns] == []


def test_rows_come_as_files_are_done() -> None:
    stream = io.BytesIO()
    seen: list[str] = []

    def results() -> Iterator[FileResult]:
        for name in ("one", "two"):
            seen.append(stream.getvalue().decode())
            answer = KeyEstimate(Key.parse("C"), None, 0.5, {}, (), 4000.0, "m")
            yield FileResult(Path(name), answer)
        yield FileResult(Path("three"), None, "gone")

    write_table(results(), stream, Layout("m", (Key.parse("C"),), files=[Path("three")]))
    assert "one" not in seen[0]
    assert "one" in seen[1]
    assert "1:06:40" in seen[1]
    assert "two" not in seen[1]


@pytest.mark.parametrize(
    ("form", "confidence"),
    [
        ("tsv", "0.0708"),
        ("csv", "0.0708"),
        ("json", "0.0708"),
        ("jsonl", "0.0708"),
        ("table", "7%"),
    ],
)
def test_every_format_gives_the_confidence_of_no_key(form: str, confidence: str) -> None:
    stream = io.BytesIO()
    key = Key.parse("C")
    result = FileResult(Path("drums"), KeyEstimate(None, None, 0.0708, {key: 0.0708}, (), 4.0, "m"))
    RECORDINGS[form].write(iter([result]), stream, Layout("m", (key,), top=1, files=[result.path]))
    assert stream.getvalue().decode().count(confidence) == (1 if form in ("tsv", "table") else 2)


@pytest.mark.parametrize(("cents", "shown"), [(-0.04, "0.0"), (-0.06, "-0.1"), (None, "None")])
def test_no_tuning_is_minus_zero(cents: float | None, shown: str) -> None:
    estimate = KeyEstimate(None, None, 0.0, {}, (), 4.0, "m", (), cents)
    assert str(estimate.to_dict()["tuning"]) == shown


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl", "table"])
def test_an_error_is_told_once_where_both_outputs_meet(folder: Path, form: str) -> None:
    command = [sys.executable, "-m", "stonekey", folder / "gone.mp3", "-f", form, *MODEL]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 1
    assert done.stdout.count("No such file") == 1
    apart = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert apart.stdout.count("No such file") == apart.stderr.count("No such file") == 1


@pytest.mark.parametrize(
    ("given", "hint"),
    [("qiuet.wav", "did you mean 'quiet.wav'?"), ("Bad.MP3", "did you mean 'bad.mp3'?")],
)
def test_a_missing_file_names_the_nearest(folder: Path, given: str, hint: str) -> None:
    error = run(folder / given, *MODEL).stderr
    assert f"No such file or directory; {hint}" in error
    assert "did you mean" not in run(folder / "something else.flac", *MODEL).stderr


def test_an_address_is_no_file(folder: Path) -> None:
    for address in ("https://host.example/a/b.mp3", "ftp://host.example/list.m3u8"):
        done = run(address, folder / "a.wav", *MODEL)
        assert done.returncode == 1
        assert "D major" in done.stdout
        assert f"{address}: " in done.stderr
        assert "an address, not a file: download it first" in done.stderr
        assert address in done.stdout
    for command in (["timeline"], ["plot", "-o", folder / "x.svg"]):
        done = run(*command, "https://host.example/a.mp3")
        assert done.returncode == 1
        assert "https://host.example/a.mp3: cannot be opened: an address" in done.stderr


def with_input(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = (folder / "a.wav").read_bytes()
    with_input(sound, monkeypatch)
    assert run("-", *MODEL).stdout.split("\t")[:2] == ["-", "D major"]
    with_input(sound, monkeypatch)
    done = run(folder / "歌の歌.wav", "-", "--format", "csv", *MODEL)
    assert [row.split(",")[1] for row in done.stdout.splitlines()[1:]] == ["C minor", "D major"]
    with_input(sound, monkeypatch)
    assert "D major" in run("timeline", "-", *MODEL).stdout
    with_input(b"", monkeypatch)
    assert "stonekey: -: is empty: 0 bytes" in run("timeline", "-", *MODEL).stderr
    pytest.importorskip("matplotlib")
    with_input(sound, monkeypatch)
    assert run("plot", "-", "-o", tmp_path / "x.svg", *MODEL).returncode == 0
    assert "standard input" in (tmp_path / "x.svg").read_text()


def test_a_long_file_shows_how_far_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[tuple[float, float | None]] = []
    estimator = KeyEstimator("template", threads=1, segment_seconds=1.0)
    estimator.watch = lambda seconds, promised: heard.append((seconds, promised))
    estimator(folder / "a.wav")
    assert [seconds for seconds, _ in heard] == pytest.approx([4, 8], rel=1e-2)
    assert [promised for _, promised in heard] == pytest.approx([8, 8], rel=1e-2)

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for command, patience, seen in (
        ("predict", 1e9, False), ("predict", 0.0, True), ("timeline", 0.0, True)
    ):  # fmt: skip
        module = import_module(f"stonekey.cli.{command}")
        monkeypatch.setattr(module, "PATIENCE", patience)
        assert call(command, folder / "a.wav", *MODEL) == 0
        out, error = capsys.readouterr()
        assert ("0/1" in error) == seen
        assert "D major" in out


def test_the_bar_moves_within_a_file_and_leaves_the_terminal_to_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with FilesBar(2) as bar:
        bar.heard(30.0, 120.0)
        bar.heard(30.0, None)
        assert bar.completed == 0.25
        bar.heard(130.0, 120.0)
        assert bar.completed == 1.0
        bar.advance()
        with bar.aside():
            size = len(screen.getvalue())
        bar.heard(60.0, 120.0)
        assert bar.completed == 1.5
        assert len(screen.getvalue()) > size
