"""A graph that answers whole recordings; the recipes of docs/apps.md, without this package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from cli_tools import ROOT, call
from js_tools import JS, missing_tools

from stonekey import KeyEstimator
from stonekey.estimate.recording_graph import recording_graph, vectors
from stonekey.keys import Key
from stonekey.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from stonekey.model.registry import find_model
from stonekey.synthesis import cadence

MODELS = ("stone24", "stone12", "template")
# Runs a recipe where nothing but ONNX Runtime and numpy can be imported.
RUN = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("stonekey", "soundfile", "onnx", "torch"):
            raise ImportError(name)

sys.meta_path.insert(0, Refused())
sys.path[:] = [p for p in sys.path if not p.endswith("src")]
exec(open("recipe.py").read())
import json
import numpy as np
cases = json.load(open("waveforms.json"))
answers = [answer(np.array(case, np.float32) / 32768) for case in cases]
print(json.dumps([[key, sure, np.asarray(p).tolist()] for key, sure, p in answers]))
"""
# The same for a program in JavaScript.
RUN_NODE = """
import { readFileSync } from "node:fs";
import { answer } from "./recipe.mjs";
const found = [];
for (const wave of JSON.parse(readFileSync("waveforms.json"))) {
  found.push(await answer(Float32Array.from(wave, (x) => x / 32768)));
}
console.log(JSON.stringify(found));
"""


def waveforms(rate: int, segment: float) -> dict[str, np.ndarray]:
    """Recordings of every kind that the rules tell apart."""
    rng = np.random.default_rng(1)
    long = np.concatenate(
        [cadence(Key.parse(k), rate, 1.2 * segment, seed=2) for k in ("E minor", "G major")]
    )
    count = round(segment * rate)
    return {
        "long": long,
        "another key": cadence(Key.parse("Bb major"), rate, 1.3 * segment),
        "one segment": long[:count],
        "a sample more": long[: count + 1],
        "two segments": long[: 2 * count],
        "less than one": long[: round(0.7 * segment * rate)],
        "just long enough": long[: 3 * rate],
        "too short": long[: rate * 4 // 5],
        "a pause": np.concatenate([long, 1e-4 * rng.uniform(-1, 1, 3 * count)]),
        "loud": 30 * long,
        "quiet": 1e-3 * long,
        "faint": 1e-4 * long,
        "off centre": long + 3,
        "noise": rng.normal(0, 0.1, 2 * count),
        "click": np.concatenate([np.zeros(count), long[: rate // 3], np.zeros(count)]),
        "sound enough": np.concatenate([np.zeros(count), long[: rate * 2 // 3], np.zeros(count)]),
        "constant": np.full(count, 0.5),
        "silence": np.zeros(rate),
        "nothing": np.zeros(0),
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_graph_answers_as_the_estimator(model: str) -> None:
    data = recording_graph(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    estimator = KeyEstimator(model, tune="off", threads=1)
    rate = estimator.info.front_end.sample_rate
    answers = set()
    for name, samples in waveforms(rate, estimator.segment_seconds).items():
        samples = samples.astype(np.float32)
        key, confidence, probabilities = session.run(None, {"waveform": samples})
        label = None if key < 0 else estimator.class_table[key]
        answers.add(label)
        if name == "nothing":
            assert (label, confidence) == (None, 0)
            continue
        want = estimator(samples, rate)
        assert label == want.label, name
        assert confidence == pytest.approx(want.confidence, abs=1e-4), name
        for one, p in zip(estimator.class_table, probabilities, strict=True):
            assert p == pytest.approx(want.probabilities.get(one, 0.0), abs=1e-4), name
    assert None in answers
    assert len(answers) > 1


def test_the_models_temperatures_and_limit_are_in_it(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(find_model("stone24").with_suffix(".safetensors"))
    path = tmp_path / "other.safetensors"
    for changes in ({"segment_temperature": 1.0}, {"confidence_temperature": 1.0},
                    {"min_clarity": 1.0}):  # fmt: skip
        vars(checkpoint.info).update(changes)
        save_checkpoint(checkpoint, path)
        session = onnxruntime.InferenceSession(recording_graph(path).SerializeToString())
        estimator = KeyEstimator(path, tune="off", threads=1)
        rate = estimator.info.front_end.sample_rate
        samples = cadence(Key.parse("A minor"), rate, 2.5 * estimator.segment_seconds)
        key, confidence, _ = session.run(None, {"waveform": samples})
        want = estimator(samples, rate)
        assert (key < 0) == (want.label is None) == ("min_clarity" in changes)
        assert confidence == pytest.approx(want.confidence, abs=1e-4)


def test_the_graph_is_no_model_of_this_package(tmp_path: Path) -> None:
    assert call("export", "template", "--recording", "-o", tmp_path / "whole.onnx") == 0
    with pytest.raises(CheckpointError, match="it answers whole recordings, for apps"):
        KeyEstimator(tmp_path / "whole.onnx")
    checkpoint = load_checkpoint(find_model("stone24").with_suffix(".safetensors"))
    vars(checkpoint.info).update(class_table=None)
    save_checkpoint(checkpoint, tmp_path / "unnamed.safetensors")
    with pytest.raises(CheckpointError, match="stonekey calibrate"):
        recording_graph(tmp_path / "unnamed.safetensors")


def recipes(language: str) -> list[str]:
    text = (ROOT / "docs" / "apps.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def answers(language: str, number: int, cases: list[Any], folder: Path) -> list[Any]:
    """What a recipe gives for waveforms in 16 bits."""
    recipe = recipes(language)[number]
    (folder / "waveforms.json").write_text(json.dumps(cases))
    if language == "js":
        (folder / "recipe.mjs").write_text(recipe)
        (folder / "run.mjs").write_text(RUN_NODE)
        (folder / "node_modules").symlink_to(JS / "node_modules")
        command = ["node", "run.mjs"]
    else:
        (folder / "recipe.py").write_text(recipe)
        command = [sys.executable, "-W", "error", "-c", RUN]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("language", "number", "name", "model"),
    [
        ("python", 0, "stone24-recording.onnx", "stone24"),
        ("js", 0, "stone24-recording.onnx", "stone24"),
        ("python", 1, "stone24.onnx", "stone24"),
        ("python", 1, "stone24.onnx", "template12"),  # of signatures, and without a network
    ],
)
def test_the_recipes_give_the_commands_answer(
    language: str, number: int, name: str, model: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if language == "js" and (missing := missing_tools()):
        pytest.skip(missing)
    options = ["--recording"] if number == 0 else []
    if language == "js":
        options += ["--vectors", str(tmp_path / "stone24.json")]
    assert call("export", model, *options, "-o", tmp_path / name) == 0
    info = KeyEstimator(model).info
    rate = info.front_end.sample_rate
    sounds = waveforms(rate, info.front_end.segment_seconds)
    whole = [np.round(32767 * np.clip(s, -1, 1)).astype(np.int16) for s in sounds.values()]
    got = answers(language, number, [samples.tolist() for samples in whole], tmp_path)
    assert got[-1][:2] == [None, 0]
    folder = tmp_path / "sounds"
    folder.mkdir()
    for index, samples in enumerate(whole[:-1]):  # a file of nothing is an error
        with wave.open(str(folder / f"{index:02}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
    capsys.readouterr()
    options = ["--model", model, "--tune", "off", "--format", "json", "--top", "24"]
    assert call("predict", folder, *options) == 0
    records = json.loads(capsys.readouterr().out)
    for (key, confidence, probabilities), record, name in zip(got, records, sounds, strict=False):
        assert key == record["key"], name
        assert confidence == pytest.approx(record["confidence"], abs=1e-3), name
        likeliest = sorted(probabilities, reverse=True)
        top = [one["probability"] for one in record["top"]]
        assert likeliest[: len(top)] == pytest.approx(top, abs=1e-3), name
    assert len({key for key, *_ in got}) > 2
    assert len(got) == len(records) + 1


def test_vectors(tmp_path: Path) -> None:
    paths = tmp_path / "it.onnx", tmp_path / "it.json"
    assert call("export", "template", "-o", paths[0], "--vectors", paths[1]) == 0
    written = json.loads(paths[1].read_text())
    assert written == vectors("template")
    session = onnxruntime.InferenceSession(paths[0], providers=["CPUExecutionProvider"])
    labels = KeyEstimator("template").class_table
    assert written["class_table"] == [str(label) for label in labels]
    counted = []
    for case in written["cases"]:
        samples = np.array(case["waveform"], np.float32) / 32768
        samples /= np.abs(samples).max() or 1
        assert len(case["probabilities"]) == len(labels)
        for segment in case["segments"]:
            counted.append(segment["counted"])
            part = samples[segment["start"] : segment["end"]]
            (outputs,) = session.run(None, {"waveform": part[None]})[0]
            assert outputs == pytest.approx(segment["probabilities"], abs=1e-4)
    assert set(counted) == {True, False}
    assert {case["key"] for case in written["cases"]} > {-1}
    assert call("export", "template", "-o", paths[0], "--vectors", paths[1], "--force") == 0
    assert call("export", "template", "-o", tmp_path / "b.onnx", "--vectors", paths[1]) == 2
    assert call("export", "template", "--vectors", tmp_path / "b.txt") == 2
    assert not (tmp_path / "b.onnx").exists()
