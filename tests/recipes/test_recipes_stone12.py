"""The recipes of stone12 from end to end, on little music, from the shipped weights."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from cli_tools import ROOT, music

pytest.importorskip("lightning_fabric", reason="needs the train extra")
pytest.importorskip("pretty_midi", reason="needs the render extra")

from stonekey.data.manifest import Track
from stonekey.estimate.estimator import KeyEstimator
from stonekey.keys import NO_KEY, Key
from stonekey.model.checkpoint import load_checkpoint
from stonekey.synthesis import cadence

pytestmark = pytest.mark.skipif(
    not (shutil.which("fluidsynth") and shutil.which("espeak-ng")),
    reason="needs fluidsynth and espeak-ng",
)
KEYS = ("C major", "E minor", "G major", "D minor")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    rows = ["path,key"]
    for number, key in enumerate(KEYS):
        music(folder / f"{number}.wav", key, 14.0)
        rows.append(f"{number}.wav,{key}")  # keys that the recipe must not read
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


def recipe(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A recipe, cut to a step of little music."""
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    open_music, module = import_module("open_music"), import_module(name)
    for constant in ("KNOWN", "KEYLESS_CLIPS", "LIMIT_CLIPS"):
        monkeypatch.setattr(open_music, constant, 5)
    monkeypatch.setattr(open_music, "SECONDS", 13.0)
    monkeypatch.setattr(open_music, "VALID_PERCENT", 40)
    monkeypatch.setattr(module, "STEPS", 1)
    # Nothing else calibrates after one step.
    monkeypatch.setattr(module, "Options", partial(module.Options, init="stone12"))
    return module


@pytest.mark.slow
def test_stone12_ships(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipe("stone12", monkeypatch)
    monkeypatch.setattr(module, "SECOND_EPOCHS", 1)
    folder = tmp_path / "run"
    module.main([
        "--recordings", str(recordings), "--songs", "0.004", "--folder", str(folder),
        "--epochs", "1", "--binding", "data.batch_size = 2", "--device", "cpu",
    ])  # fmt: skip
    for name in ("stone12.csv", "stone12_second.csv"):
        with (folder / name).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert {row["key"] for row in rows} <= {"", NO_KEY}
        assert {row["split"] for row in rows} == {"train", "valid"}
    assert sum(row["key"] == NO_KEY for row in rows) == 5
    assert len(rows) == len(KEYS) + 3 + 2 + 5
    info = load_checkpoint(folder / "stone12.safetensors").info
    assert (info.name, info.licence) == ("stone12", "MIT")
    assert info.training["recipe"] == "recipes/stone12.py"
    assert info.confidence_temperature != 1
    assert info.min_clarity > 0
    estimate = KeyEstimator(folder / "stone12.onnx")(cadence(Key(9, "minor")), 22050)
    assert estimate.signature == Key(0, "major").signature


@pytest.mark.slow
def test_runs_are_scored_and_not_made_twice(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    module = recipe("stone12_runs", monkeypatch)
    small = module.Run(music=("recordings", "plain"), epochs=1)
    monkeypatch.setattr(module, "RUNS", {"base": small})
    monkeypatch.setattr(module, "VALIDATE_ON", ("recordings",))
    arguments = [
        "--recordings", str(recordings), "--scores", "none", "--dev", str(recordings),
        "--songs", "0.003", "--folder", str(tmp_path / "runs"),
    ]  # fmt: skip
    module.main(arguments)
    result = json.loads((tmp_path / "runs" / "base.json").read_text())
    assert (result["n"], result["cadences"], result["refused"]) == (4, 24, False)
    assert result["ksea"].startswith("100.0")
    assert "| base | 7 | recordings, plain |" in capsys.readouterr().out
    monkeypatch.setattr(module, "train", None)
    module.main(arguments)
    assert "| base | 7 | recordings, plain |" in capsys.readouterr().out


def test_no_key_is_read_and_tests_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    open_music = import_module("open_music")
    tracks = [Track(f"{i}", Path(f"/some/where/{i}.mp3"), Key(0, "major")) for i in range(400)]
    tracks.append(Track("t", Path("t.mp3"), split="test"))
    kept = open_music.unlabelled(tracks)
    assert len(kept) == 400
    assert all(track.key is None for track in kept)
    held_out = {t.id for t in kept if t.split == "valid"}
    assert 8 <= len(held_out) <= 32
    moved = [Track(t.id, Path("/else") / t.path.name) for t in kept if t.path is not None]
    assert {t.id for t in open_music.unlabelled(moved) if t.split == "valid"} == held_out
