"""``python -m inference``: the command that the published README documents."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_tools import music, run_module

from stonekey.keys import Key
from stonekey.model.registry import find_model


def infer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_module("inference", arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pieces, a bad file and a file with another extension."""
    folder = tmp_path / "music"
    (folder / "b").mkdir(parents=True)
    music(folder / "b" / "two.wav", "A minor", seconds=31)
    music(folder / "one.wav", "Eb major", seconds=20)
    (folder / "bad.wav").write_text("no audio")
    (folder / "other.mp3").write_text("not asked for")
    return folder


def test_average(folder: Path) -> None:
    done = infer("template", folder, "-e", "wav", "-tt", "ks_mode")
    assert done.returncode == 1
    assert "bad.wav: " in done.stderr
    arrays = np.load(folder / "results" / "template" / "results.npz")
    assert arrays["files"].tolist() == ["b/two.wav", "bad.wav", "one.wav"]
    assert arrays["classes"].tolist() == [Key.parse("Am").index, -1, Key.parse("Eb").index]
    assert arrays["keys"].tolist() == ["A minor", "", "Eb major"]
    assert arrays["class_table"][arrays["classes"][0]] == "A minor"
    assert [bool(error) for error in arrays["errors"]] == [False, True, False]


def test_segments_and_overlap(folder: Path) -> None:
    (folder / "bad.wav").unlink()
    options = ["-e", ".wav", "-tt", "ks_mode", "--no-average"]
    done = infer("template", folder, *options)
    assert (done.returncode, done.stderr) == (0, "")
    target = folder / "results" / "template" / "results.npz"
    arrays = np.load(target)
    # The published cutting drops what follows the last whole segment.
    assert arrays["segment_files"].tolist() == [0, 0, 1]
    assert arrays["segment_starts"].tolist() == [0, 15, 0]
    assert arrays["outputs"].shape == (3, 24)
    assert arrays["keys"].tolist() == ["A minor", "A minor", "Eb major"]
    assert infer("template", folder, *options, "-o", "0.5").returncode == 0
    assert np.load(target)["segment_starts"].tolist() == [0, 7.5, 15, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["template", ".", "-e", "wav", "-tt", "ks"], "has 24 outputs, but -tt ks means 12"),
        (["template12", ".", "-e", "wav", "-tt", "ks_mode"], "use -tt ks"),
        (["no-model", ".", "-e", "wav", "-tt", "ks"], "no such model"),
        (["template", "no-folder", "-e", "wav", "-tt", "ks_mode"], "no such folder"),
        (["template", ".", "-e", "wav", "-tt", "ks_mode", "-o", "1"], "overlap"),
        (["template", ".", "-e", "wav", "-tt", "keys"], "invalid choice"),
    ],
)
def test_bad_usage(arguments: list[str], message: str) -> None:
    done = infer(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_results_of_runs_do_not_meet(folder: Path, tmp_path: Path) -> None:
    """The best models of all runs have one file name."""
    (folder / "bad.wav").unlink()
    (folder / "b" / "two.wav").unlink()
    graph = onnx.load(find_model("template"))
    for run in ("first", "../second"):
        for entry in graph.metadata_props:
            entry.value = {"name": run, "omega": "7"}.get(entry.key, entry.value)
        onnx.save(graph, tmp_path / "best.onnx")
        done = infer(tmp_path / "best.onnx", folder, "-e", "wav", "-tt", "ks_mode")
        assert done.returncode == 0, done.stderr
    found = sorted(p.relative_to(tmp_path).parts for p in tmp_path.glob("**/results.npz"))
    place = ("music", "results", "ks_mode", "7")
    assert found == [(*place, name, "best", "results.npz") for name in ("__second", "first")]


def test_nothing_to_read(folder: Path) -> None:
    done = infer("template", folder, "-e", "ogg", "-tt", "ks_mode")
    assert done.returncode == 1
    assert "no .ogg files" in done.stderr


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "kind"), [("semitone_ks", "ks"), ("semisupervised_ks_mode", "ks_mode")]
)
def test_golden(name: str, kind: str, shared: Path, tmp_path: Path) -> None:
    recordings = {"Cmajor": "cmajor", "nocturne_n02_in_e-flat_major": "nocturne"}
    for file in recordings:
        shutil.copy(shared / "golden/audio" / f"{file}.mp3", tmp_path)
    golden = [np.load(shared / "golden" / f"{r}_{name}.npz") for r in recordings.values()]
    model = shared / "golden/checkpoints" / f"{name}.pt"
    target = tmp_path / "results" / name / "results.npz"

    assert infer(model, tmp_path, "-e", "mp3", "-a", "-tt", kind).returncode == 0
    arrays = np.load(target)
    assert arrays["classes"].tolist() == [int(g["argmax"]) for g in golden]
    # The decoder is another one, which moves the outputs by some 1e-4.
    np.testing.assert_allclose(arrays["probabilities"], [g["mean"] for g in golden], atol=1e-3)

    for overlap, field in (("0", "per_segment"), ("0.5", "per_segment_overlap50")):
        options = ["-e", "mp3", "--no-average", "-tt", kind, "-o", overlap]
        assert infer(model, tmp_path, *options).returncode == 0
        expected = np.concatenate([g[field] for g in golden])
        np.testing.assert_allclose(np.load(target)["outputs"], expected, atol=1e-3)
