"""The recipe of stone24 from end to end, on little music."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from cli_tools import ROOT, music

pytest.importorskip("lightning_fabric", reason="needs the train extra")
pytest.importorskip("pretty_midi", reason="needs the render extra")

from stonekey.data.manifest import read_manifest
from stonekey.keys import Key
from stonekey.model.checkpoint import load_checkpoint

KEYS = ("C major", "E minor", "G major")


@pytest.fixture(autouse=True)
def recipes_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))


def answers(folder: Path, sure: float = 0.9) -> Path:
    """Teachers of three recordings: two give probabilities, two vote, one of them for others."""
    rows = [("split", "path", "skey", "openkeyscan", "edma", "edma_strength", "bgate",
             "bgate_strength")]  # fmt: skip
    for number, key in enumerate(KEYS):
        rest = (1 - sure) / 23
        given = json.dumps({str(k): sure if k == Key.parse(key) else rest for k in map(
            Key.from_index, range(24))})  # fmt: skip
        rows.append(("songs", f"{number}.wav", given, given, key, "0.8", "F# major", "0.1"))
    path = folder / "teachers.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_answers_become_labels_that_are_not_sure(tmp_path: Path) -> None:
    teachers = import_module("teachers")
    manifest = tmp_path / "songs" / "manifest.csv"
    manifest.parent.mkdir()
    manifest.write_text("path,key\n0.wav,\n1.wav,\nunknown.wav,\n")
    tracks = read_manifest(manifest).tracks
    path = answers(tmp_path, 0.3)
    for only, least, most in ((None, 0.6, 0.999), ("skey", 0.3, 0.31), ("edma", 0.4, 0.8)):
        labelled = list(teachers.with_answers(tracks, manifest, path, only))
        assert [t.id for t in labelled] == ["0.wav", "1.wav"]  # no answers, no label
        for track, key in zip(labelled, KEYS, strict=False):
            assert track.key is None
            assert sum(track.probabilities) == pytest.approx(1)
            assert least < track.probabilities[Key.parse(key).index] < most
    assert not list(teachers.with_answers(tracks, manifest, None))


@pytest.mark.skipif(
    not (shutil.which("fluidsynth") and shutil.which("espeak-ng")),
    reason="needs fluidsynth and espeak-ng",
)
def test_stone24_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, open_music = import_module("stone24"), import_module("open_music")
    for constant in ("KEYLESS_CLIPS", "LIMIT_CLIPS"):
        monkeypatch.setattr(open_music, constant, 6)
    monkeypatch.setattr(open_music, "VALID_PERCENT", 40)
    monkeypatch.setattr(module, "STEPS", 1)
    songs = tmp_path / "songs"
    songs.mkdir()
    for number, key in enumerate(KEYS):
        music(songs / f"{number}.wav", key, 10.0)
    (songs / "manifest.csv").write_text("path\n0.wav\n1.wav\n2.wav\n")
    bands = tmp_path / "bands"
    shutil.copytree(songs, bands)
    rendered = bands / "rendered.csv"
    rendered.write_text(
        "path,key,split\n0.wav,C major,train\n1.wav,E minor,valid\n2.wav,G major,test\n"
    )
    folder = tmp_path / "run"
    shares = {"songs": 1, "charts": 1, "keyless": 1}
    small = module.Run((4, 4, 4, 4, 4), shares=shares, epochs=1, cosine=1)
    runs = {"one": small, "stone24": replace(small, seed=1, init="one", teachers=("one",))}
    monkeypatch.setattr(module, "RUNS", runs)
    module.main([
        "--recordings", str(songs / "manifest.csv"), "--teachers", str(answers(tmp_path)),
        "--charts", str(rendered), "--folder", str(folder), "--device", "cpu",
        "--binding", "packed.loader.batch_size = 2",
    ])  # fmt: skip
    packed = {
        name: import_module("packed").unpack(folder / "packed" / f"{name}.npz") for name in shares
    }
    assert [len(file["target"]) for file in packed.values()] == [3, 2, 6]
    assert np.all(packed["songs"]["target"].max(axis=1) < 1)
    assert np.all(packed["songs"]["skey"] < packed["songs"]["target"].max())
    assert np.all(packed["keyless"]["target"] == np.float32(1 / 24))
    assert sorted(packed["charts"]["valid"]) == [False, True]
    info = load_checkpoint(folder / "stone24.safetensors").info
    assert (info.name, info.licence, info.segment_temperature) == (
        "stone24",
        "MIT",
        module.SEGMENT_TEMPERATURE,
    )
    assert info.training["groups"] == {"charts": 1, "keyless": 6, "songs": 1}
    assert info.front_end.average == 4
    assert info.min_clarity > 0
    assert (folder / "stone24.onnx").is_file()
