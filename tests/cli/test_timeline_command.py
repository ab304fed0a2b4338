"""``stonekey timeline`` and its formats."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call, run

from stonekey.keys import Key
from stonekey.synthesis import cadence, write_wav

# The pattern of values in JAMS's namespace key_mode.
KEY_MODE = re.compile(r"N|[A-G][b#]?(:(major|minor))?")


@pytest.fixture(scope="module")
def sonata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 s in B flat major, then 20 s in F sharp minor."""
    path = tmp_path_factory.mktemp("music") / "sonata.wav"
    keys = ("Bb major", 24.0, 1), ("F# minor", 20.0, 0)
    music = [cadence(Key.parse(key), seconds=seconds, seed=seed) for key, seconds, seed in keys]
    write_wav(path, np.concatenate(music))
    return path


def written(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert call("timeline", *arguments) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out


def test_the_table(sonata: Path) -> None:
    done = run("timeline", sonata)
    assert done.returncode == 0
    whole, *rows = (line.split() for line in done.stdout.splitlines() if "%" in line)
    predicted = run("predict", sonata).stdout.split("\t")
    assert " ".join(whole[:2]) == f"{predicted[1]},"
    assert float(whole[3].rstrip("%")) == pytest.approx(100 * float(predicted[2]), abs=0.51)
    assert rows[0][0] == "0:00"
    assert rows[0][2:4] == ["Bb", "major"]
    assert rows[1][1] == "0:44"
    assert rows[1][2:4] == ["F#", "minor"]
    assert " ".join(rows[2][1:6]) == "Bb major to F# minor,"


def test_json_and_csv_hold_the_same_grid(
    sonata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(written(capsys, sonata, "-f", "json", "--hop", "1"))
    assert [span["key"] for span in record["spans"]] == ["Bb major", "F# minor"]
    (change,) = record["modulations"]
    assert (change["from"], change["to"]) == ("Bb major", "F# minor")
    assert change["time"] == record["spans"][1]["start"] == pytest.approx(24, abs=5)
    assert (record["hop"], record["window"], record["model"]) == (1, 8, "stone24")
    assert written(capsys, sonata, "--hop", "1", "-o", tmp_path / "grid.csv") == ""
    rows = list(csv.DictReader(io.StringIO((tmp_path / "grid.csv").read_text())))
    grid = record["grid"]
    assert len(rows) == len(grid["times"]) == 37
    assert [row["key"] for row in rows] == grid["keys"]
    assert [float(row["time"]) for row in rows] == grid["times"]
    assert call("predict", sonata, "--format", "json") == 0
    predicted = json.loads(capsys.readouterr().out)
    assert [record[name] for name in ("key", "confidence")] == [
        predicted[name] for name in ("key", "confidence")
    ]
    assert len(grid["probabilities"]) == 24
    for name, column in grid["probabilities"].items():
        assert [float(row[name]) for row in rows] == column


def test_jams(sonata: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(written(capsys, sonata, "--format", "jams", "--notation", "camelot"))
    (annotation,) = record["annotations"]
    assert annotation["namespace"] == "key_mode"
    assert [entry["value"] for entry in annotation["data"]] == ["Bb:major", "F#:minor"]
    ends = [entry["time"] + entry["duration"] for entry in annotation["data"]]
    assert ends == pytest.approx([annotation["data"][1]["time"], 44])
    assert record["file_metadata"]["duration"] == pytest.approx(44)
    assert set(record) == {"annotations", "file_metadata", "sandbox"}
    for index in range(24):
        assert KEY_MODE.fullmatch(str(Key.from_index(index)).replace(" ", ":"))
    low = json.loads(
        written(capsys, sonata, "--format", "jams", "--min-confidence", "1", "--hop", "5")
    )
    assert {entry["value"] for entry in low["annotations"][0]["data"]} == {"N"}
    signatures = json.loads(
        written(capsys, sonata, "--format", "jams", "--model", "template12", "--hop", "5")
    )
    (annotation,) = signatures["annotations"]
    assert annotation["namespace"] == "tag_open"
    assert annotation["data"][0]["value"] == "Bb major / G minor"


def test_labels_for_other_programs(sonata: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audacity = written(capsys, sonata, "--format", "audacity", "--notation", "short")
    lines = [line.split("\t") for line in audacity.splitlines()]
    assert [line[2] for line in lines] == ["Bb", "F#m"]
    assert lines[0][1] == lines[1][0]
    regions = list(csv.reader(io.StringIO(written(capsys, sonata, "--format", "sonic"))))
    assert [row[3] for row in regions] == ["Bb major", "F# minor"]
    for row, line in zip(regions, lines, strict=True):
        assert float(row[0]) == float(line[0])
        assert float(row[0]) + float(row[2]) == pytest.approx(float(line[1]), abs=1e-5)
        assert 0 < float(row[1]) <= 100


def test_failures(sonata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [
        (2, ["--format", "xml"], "--format must be one of"),
        (2, ["--output", "keys.doc"], "give --format"),
        (2, ["--hop", "20"], "hop must be 1 to 15"),
        (2, ["--notation", "french"], "--notation must be one of"),
        (2, ["--tune", "high"], "tune must be auto, off"),
        (2, ["--output", str(sonata), "-f", "csv"], "--force"),
    ]
    for code, arguments, message in wrong:
        assert call("timeline", sonata, *arguments) == code
        out, error = capsys.readouterr()
        assert message in error
        assert len(error.splitlines()) == 1
        assert out == ""
    assert call("timeline", tmp_path / "missing.wav") == 1
    assert "missing.wav" in capsys.readouterr().err


def test_no_key_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "nothing.wav", np.zeros(220500, np.float32))
    assert call("timeline", tmp_path / "nothing.wav") == 0
    out, error = capsys.readouterr()
    assert out.strip() == "no key"
    assert "silence" in error
    assert call("timeline", tmp_path / "nothing.wav", "-f", "json") == 0
    assert json.loads(capsys.readouterr().out)["spans"] == []
