"""``stonekey confidence``: fitted confidence for users' own models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_tools import call, music
from random_models import random_checkpoint

from stonekey import KeyEstimator
from stonekey.keys import Key
from stonekey.model.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that has learnt nothing: its answers are far too sure or too modest."""
    path = tmp_path / "model.safetensors"
    table = tuple(Key.from_index(i) for i in range(24))
    save_checkpoint(random_checkpoint().with_class_table(table), path)
    return path


def test_temperature_and_limit_are_fitted(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = ["path,key"]
    for i, name in enumerate(("C major", "A minor", "Eb major")):
        song = music(tmp_path / f"{i}.wav", name, seconds=4)
        rows.append(f"{song.name},{KeyEstimator(model, min_clarity=0)(song).key}")
    rows[-1] = "2.wav,C major"  # one of three is wrong
    noise = np.random.default_rng(0).standard_normal(4 * 22050) * 0.1
    soundfile.write(tmp_path / "noise.wav", noise, 22050)
    rows.append("noise.wav,no key")
    manifest = tmp_path / "labels.csv"
    manifest.write_text("\n".join(rows) + "\n")
    output = tmp_path / "fitted.safetensors"
    options = ("confidence", model, "--manifest", manifest, "--output", output)
    assert call(*options, "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert "only 3 recordings of known key" in told.err
    assert "only 1 recording without a key" in told.err
    monkeypatch.setattr("stonekey.evaluation.fitting.ENOUGH", 1)
    assert call(*options, "--force") == 0
    assert capsys.readouterr().err == ""
    before, after = load_checkpoint(model).info, load_checkpoint(output).info
    assert after.confidence_temperature == found["temperature"] != before.confidence_temperature
    assert after.min_clarity == found["limit"] > 0
    assert found["labelled"] == 3
    mean = np.mean([KeyEstimator(output, min_clarity=0)(tmp_path / f"{i}.wav").confidence
                    for i in range(3)])  # fmt: skip
    assert mean == pytest.approx(2 / 3, abs=0.05)  # as often right as sure
    assert call(*options) == 2  # the output is there


@pytest.mark.parametrize(
    ("name", "why"),
    [("alone.onnx", "an ONNX file cannot be rewritten"), ("odd.safetensors", "odd.safetensors: ")],
)
def test_what_cannot_be_rewritten_is_refused_before_the_analysis(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("alone.onnx", "odd.safetensors"):
        (tmp_path / file).write_text("this is no model")
    song = music(tmp_path / "song.wav", "C major", seconds=1)
    (tmp_path / "labels.csv").write_text(f"path,key\n{song.name},C major\n")
    monkeypatch.setattr("stonekey.evaluation.fitting.fit_confidence", None)
    assert call("confidence", name, "--manifest", "labels.csv", "--output", "f.safetensors") == 2
    assert why in capsys.readouterr().err
