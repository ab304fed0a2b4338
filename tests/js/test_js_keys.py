"""Notations and harmonic mixing of stonekey-web are this package's; its types are right."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from js_tools import JS, run_node

from stonekey import __version__
from stonekey.keys import NOTATIONS, ClassLabel, Key, KeySignature
from stonekey.library.harmony import harmonic_distance, key_order, mix_order, move_between

LABELS: list[ClassLabel] = [*map(Key.from_index, range(24)), *map(KeySignature, range(12))]


def test_notations(package: Path) -> None:
    names = [str(label) for label in LABELS]
    program = """
    answer = {
      notations: web.NOTATIONS,
      written: labels.map((label) => web.NOTATIONS.map((n) => web.format(label, n))),
      signatures: labels.map(web.signature),
      fifths: labels.map(web.fifths),
      none: web.format(null, "camelot"),
    };
    """
    got = run_node(program, package, labels=names)
    assert tuple(got["notations"]) == NOTATIONS
    assert got["written"] == [[label.format(n) for n in NOTATIONS] for label in LABELS]
    assert got["signatures"] == [str(label.signature) for label in LABELS]
    assert got["fifths"] == [label.signature.fifths for label in LABELS]
    assert got["none"] == "no key"


def test_harmonic_mixing(package: Path) -> None:
    rng = random.Random(1)
    lists = [[rng.choice([*LABELS, None]) for _ in range(40)] for _ in range(20)]
    program = """
    const pairs = (what) => labels.map((one) => labels.map((other) => what(one, other)));
    answer = {
      moves: pairs(web.mixesWith),
      distances: pairs(web.harmonicDistance),
      keys: lists.map(web.keyOrder),
      mixes: lists.map(web.mixOrder),
      targets: labels.map((label) => web.MOVES.map((move) => web.moveTargets(label, move))),
    };
    """
    texts = [[label and str(label) for label in labels] for labels in lists]
    got = run_node(program, package, labels=[str(label) for label in LABELS], lists=texts)
    assert got["moves"] == [[move_between(a, b) for b in LABELS] for a in LABELS]
    assert got["distances"] == [[harmonic_distance(a, b) for b in LABELS] for a in LABELS]
    assert got["keys"] == [key_order(labels) for labels in lists]
    assert got["mixes"] == [mix_order(labels) for labels in lists]
    for label, moves in zip(LABELS, got["targets"], strict=True):
        if isinstance(label, Key):
            for number, goals in enumerate(moves):
                found = {move_between(label, Key.parse(goal)) for goal in goals}
                assert found == {["same", "relative", "fifth-up", "fifth-down", "diagonal",
                                  "tone-up", "parallel", "semitone-up"][number]}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "subtypes"),
    [
        ("WAV", "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE"),
        ("WAVEX", "PCM_16 PCM_24 FLOAT"),
        ("RF64", "PCM_24"),
        ("AIFF", "PCM_S8 PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE"),
    ],
)
def test_uncompressed_files(package: Path, tmp_path: Path, kind: str, subtypes: str) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (500, 3))
    paths = []
    for subtype in subtypes.split():
        paths.append(tmp_path / f"{subtype}.{kind.lower()}")
        soundfile.write(paths[-1], samples, 37800, subtype, format=kind)
    program = """
    answer = [];
    for (const path of paths) {
      const { channels, sampleRate } = await web.decodeChannels(readFileSync(path));
      answer.push({ channels: channels.map((channel) => [...channel]), sampleRate });
    }
    """
    got = run_node(program, package, paths=[str(path) for path in paths])
    for path, found in zip(paths, got, strict=True):
        assert found["sampleRate"] == 37800
        want = soundfile.read(path, dtype="float32")[0]
        assert np.abs(np.array(found["channels"]).T - want).max() <= 2e-7, path


def test_a_file_that_its_recorder_did_not_finish(package: Path, tmp_path: Path) -> None:
    path = tmp_path / "it.wav"
    soundfile.write(path, np.linspace(-0.5, 0.5, 1000), 8000)
    data = path.read_bytes()
    at = data.index(b"data") + 4
    variants = {"open": b"\0\0\0\0", "more": (10**6).to_bytes(4, "little")}
    for name, size in variants.items():
        (tmp_path / name).write_bytes(data[:at] + size + data[at + 4 :])
    (tmp_path / "cut").write_bytes(data[:-1001])
    program = """
    answer = [];
    for (const path of paths) answer.push((await web.decode(readFileSync(path))).samples.length);
    """
    paths = [str(tmp_path / name) for name in (*variants, "cut")]
    assert run_node(program, package, paths=paths) == [1000, 1000, 499]


USER = """
import { createEstimator, estimate, format, loadModel, timeline, type Result } from "stonekey-web";
const estimator = createEstimator({ workerUrl: "worker.js", modelUrl: new URL("file:it.onnx") });
const result: Result = await estimator.estimate(new Blob([]), { timeline: true });
const key: string | null = result.timeline!.spans[0].key ?? result.key;
format(key, "camelot");
// @ts-expect-error: no such notation
format(key, "numbers");
const model = await loadModel("it.onnx");
const times: number[] = timeline(model, await estimate(model, new Float32Array(9))).times;
console.log(times);
"""
USER_OPTIONS = {
    "noEmit": True, "strict": True, "target": "es2022", "module": "nodenext",
    "lib": ["es2022", "dom"], "types": [], "preserveSymlinks": True,
}  # fmt: skip


def test_types_and_version(package: Path, tmp_path: Path) -> None:
    installed = tmp_path / "node_modules" / "stonekey-web"
    compiler = JS / "node_modules" / ".bin" / "tsc"
    subprocess.run([compiler, "-p", JS, "--outDir", installed / "dist"], check=True)
    about = json.loads((JS / "package.json").read_text())
    assert about["version"] == __version__
    (installed / "package.json").write_text(json.dumps(about))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "user.ts").write_text(USER)
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": USER_OPTIONS, "files": ["user.ts"]})
    )
    subprocess.run([compiler, "-p", tmp_path], check=True)
