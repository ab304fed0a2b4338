"""``stonekey predict``: formats, exit codes, failures, Ctrl-C."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_tools import ROOT, call, music, run, run_alone, until_closed

from stonekey import KeyEstimator
from stonekey.output.records import FIELDS

KEYS = {"a.wav": "D major", "b.wav": "F# minor", "sub/c.wav": "Bb major"}


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pieces, one in a folder of its own, and a text file."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "sub").mkdir()
    for name, key in KEYS.items():
        music(folder / name, key)
    (folder / "notes.txt").write_text("no music")
    return folder


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file, one that is no audio and one of silence."""
    folder = tmp_path_factory.mktemp("spoilt")
    (folder / "bad.mp3").write_text("this is no mp3")
    music(folder / "good.wav", "G minor")
    import soundfile

    soundfile.write(folder / "silence.wav", np.zeros(22050), 22050)
    return folder


def test_a_pipe_gets_tab_separated_lines(album: Path) -> None:
    done = run(album)
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows] == [[str(album / name), key] for name, key in KEYS.items()]
    assert all(0 < float(row[2]) <= 1 for row in rows)
    assert done.stderr == ""


def test_one_file_gives_one_json_object(album: Path) -> None:
    done = run(album / "b.wav", "--format", "json", "--top", "2")
    record = json.loads(done.stdout)
    assert tuple(record) == tuple(FIELDS)
    expected = {
        "file": str(album / "b.wav"), "key": "F# minor", "tonic": "F#", "mode": "minor",
        "signature": "A major / F# minor", "camelot": "11A", "open_key": "4m",
        "model": "stone24", "warnings": [], "error": None,
    }  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert record["segments"] == math.ceil(record["duration"] / KeyEstimator().segment_seconds)
    assert record["duration"] == pytest.approx(16, abs=0.01)
    assert record["top"][0]["key"] == "F# minor"
    assert len(record["top"]) == 2
    assert record["top"][0]["probability"] == record["confidence"]


def test_a_folder_gives_a_json_array_and_12_outputs_no_tonic(album: Path) -> None:
    done = run(album, "--format", "json", "--model", "template12")
    first, *others = json.loads(done.stdout)
    assert len(others) == 2
    assert (first["key"], first["tonic"], first["mode"]) == ("D major / B minor", None, None)
    assert first["signature"] == first["key"]


def test_jsonl_and_csv_hold_the_same(album: Path) -> None:
    lines = run(album, "--format", "jsonl", "--notation", "camelot").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["key"] for record in records] == ["10B", "11A", "6B"]
    text = run(album, "--format", "csv", "--notation", "camelot").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == tuple(FIELDS)
    for row, record in zip(rows, records, strict=True):
        for name in ("file", "key", "tonic", "mode", "signature", "open_key", "model"):
            assert row[name] == record[name]
        assert float(row["confidence"]) == record["confidence"]
        assert row["top"].startswith(f"{record['key']}={record['confidence']}; ")


def test_npz_through_a_pipe(album: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stonekey", str(album), "--format", "npz", "--model", "template"],
        cwd=ROOT, capture_output=True, timeout=600, check=True,
    )  # fmt: skip
    arrays = np.load(io.BytesIO(done.stdout))
    assert arrays["keys"].tolist() == list(KEYS.values())
    assert arrays["probabilities"].shape == (3, 24)
    assert arrays["class_table"][arrays["probabilities"].argmax(axis=1)].tolist() == list(
        KEYS.values()
    )
    assert arrays["segment_files"].tolist() == [0, 0, 1, 1, 2, 2]
    mean = arrays["segment_probabilities"][:2].mean(axis=0)
    np.testing.assert_allclose(mean, arrays["probabilities"][0], atol=1e-6)
    assert arrays["segment_starts"][:2].tolist() == pytest.approx([0, 1], abs=1e-3)


def test_the_suffix_of_the_output_gives_the_format_and_nothing_is_replaced(
    album: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "keys.csv"
    assert run(album, "--output", output).returncode == 0
    first = output.read_text()
    assert first.startswith("file,key,")
    again = run(album / "a.wav", "--output", output)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert output.read_text() == first
    assert run(album / "a.wav", "--output", output, "--force").returncode == 0
    assert len(output.read_text().splitlines()) == 2
    assert [path.name for path in output.parent.iterdir()] == ["keys.csv"]


def test_bad_files_are_named_and_the_others_reported(spoilt: Path) -> None:
    missing = spoilt / "missing.ogg"
    done = run(spoilt, missing, "--format", "jsonl")
    assert done.returncode == 1
    bad, good, silent, lost = [json.loads(line) for line in done.stdout.splitlines()]
    assert good["key"] == "G minor"
    assert good["error"] is None
    assert (bad["key"], bad["top"], bad["model"]) == (None, [], "stone24")
    assert bad["error"]
    assert "No such file" in lost["error"]
    assert tuple(bad) == tuple(FIELDS)
    assert (silent["key"], silent["error"], silent["warnings"]) == (None, None, ["silence"])
    told = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in told] == [str(spoilt / "bad.mp3"), str(missing)]


def test_bad_files_in_the_other_formats(spoilt: Path, tmp_path: Path) -> None:
    lines = run(spoilt).stdout.splitlines()
    assert lines[0].split("\t")[:2] == [str(spoilt / "bad.mp3"), "error"]
    assert lines[2].split("\t")[1:] == ["no key", "0.0000"]
    assert run(spoilt, "-o", tmp_path / "keys.npz").returncode == 1
    arrays = np.load(tmp_path / "keys.npz")
    assert arrays["errors"][0]
    assert arrays["errors"][1:].tolist() == ["", ""]
    assert arrays["keys"].tolist() == ["", "G minor", ""]
    assert np.isnan(arrays["probabilities"][0]).all()
    table = run(spoilt, "--format", "table").stdout
    assert "G minor" in table
    assert "no key" in table
    assert "error" in table


def test_extensions_and_an_empty_folder(album: Path, tmp_path: Path) -> None:
    music(tmp_path / "x.flac", "C major").rename(tmp_path / "x.wave")
    assert run(tmp_path, "-e", ".WAVE").stdout.count("\n") == 1
    nothing = run(album, "-e", "mp3,flac", "--format", "json")
    assert nothing.returncode == 1
    assert json.loads(nothing.stdout) == []
    assert "no mp3/flac files" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--overlap", "1"], "overlap must be"),
        (["--notation", "french"], "--notation must be one of"),
        (["--format", "xml"], "--format must be one of"),
        (["--output", "keys.doc"], "give --format"),
        (["--output", "."], "unknown suffix"),
        (["--model", "no-such-model"], "no such model"),
        (["--model", "deezer/sky"], "did you mean deezer/skey?"),
        (["--backend", "tensorflow"], "backend must be"),
        (["--device", "cuda", "--backend", "onnx"], "needs torch"),
        (["--top", "0"], "--top"),
    ],
)
def test_bad_usage_is_told_in_a_line(
    album: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(album / "a.wav", *arguments) == 2
    out, error = capsys.readouterr()
    assert message in error
    assert "Traceback" not in error
    assert out == ""


def test_a_file_that_is_no_model(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("model.pt", "model.onnx", "model.safetensors"):
        (tmp_path / name).write_bytes(b"not a model")
        assert call(album / "a.wav", "--model", tmp_path / name) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert name in error


def test_any_bytes_in_a_name(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"od\xffd\t\x1b[31m\n.wav")
    music(tmp_path / "x.wav", "A minor").rename(os.fsdecode(name))
    with open(os.path.join(os.fsencode(tmp_path), b"b\xe4d.mp3"), "wb") as file:
        file.write(b"none")
    lines = run_alone(tmp_path).stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[0].endswith("od\ufffdd\\t\\x1b[31m\\n.wav")
    assert lines[1].split("\t")[1] == "A minor"
    for form in ("json", "csv", "table"):
        done = run(tmp_path, "--format", form)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "A minor" in done.stdout
        assert "b\ufffdd.mp3" in done.stdout
        assert r"b\xe4d.mp3" in done.stderr
    assert "\x1b" not in run(tmp_path, "--format", "table").stdout
    assert run(tmp_path, "-o", tmp_path / "k.npz").returncode == 1
    assert np.load(tmp_path / "k.npz")["keys"].tolist() == ["", "A minor"]
    wrong = run_alone(os.path.join(os.fsencode(tmp_path), b"\xff"), "--model", b"\xff")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_the_table_and_the_bar_on_a_terminal(spoilt: Path) -> None:
    screen, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "stonekey", spoilt, "--top", "2"],
        cwd=ROOT, stdout=terminal, stderr=terminal, env={**os.environ, "COLUMNS": "200"},
    ) as process:  # fmt: skip
        os.close(terminal)
        shown = b"".join(until_closed(screen)).decode()
    os.close(screen)
    assert process.returncode == 1
    assert "Confidence" in shown
    assert "Next" in shown
    assert "G minor" in shown
    assert "3/3" in shown
    assert "files/s" in shown


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let children be interrupted even where this process ignores it (a background job)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _long_album(album: Path, folder: Path) -> Path:
    folder.mkdir()
    for number in range(400):
        os.link(album / "a.wav", folder / f"{number:03}.wav")
    return folder


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_with_the_results_so_far(album: Path, tmp_path: Path) -> None:
    folder = _long_album(album, tmp_path / "long")
    with subprocess.Popen(
        [sys.executable, "-m", "stonekey", folder, "--format", "json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        start = os.read(process.stdout.fileno(), 20)
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=600)
    assert process.returncode == 130
    records = json.loads(start + rest)
    assert 1 <= len(records) < 400
    assert f"interrupted: {len(records)} of 400 files done" in error.decode()
    assert b"Traceback" not in error


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_with_an_output_file_and_a_bar(album: Path, tmp_path: Path) -> None:
    folder, output = _long_album(album, tmp_path / "long"), tmp_path / "keys.jsonl"
    command = [sys.executable, "-m", "stonekey", folder, "-o", output, "--progress"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        seen = b""
        while b"2/400" not in seen:
            block = os.read(process.stderr.fileno(), 4096)
            assert block, seen
            seen += block
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=600)
    assert process.returncode == 130
    lines = output.read_text().splitlines()
    assert 2 <= len(lines) < 400
    assert all(json.loads(line)["key"] == "D major" for line in lines)
    assert b"Traceback" not in seen + error


def test_a_reader_that_stops_is_no_crash(album: Path, tmp_path: Path) -> None:
    folder = _long_album(album, tmp_path / "long")
    with subprocess.Popen(
        [sys.executable, "-m", "stonekey", folder],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"D major" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parity
def test_the_nocturne_is_in_e_flat(shared: Path) -> None:
    done = run(
        shared / "golden/audio/nocturne_n02_in_e-flat_major.mp3",
        *("--model", shared / "golden/checkpoints/skey.pt", "--format", "json"),
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["key"] == "Eb major"
