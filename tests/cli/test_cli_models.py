"""``stonekey models``, ``export``, ``calibrate`` and ``demo``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call, music, on_terminal, run

from stonekey.files import cache_folder
from stonekey.keys import Key
from stonekey.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stonekey.model.info import ModelInfo
from stonekey.model.registry import DEFAULT_MODEL, model_names
from stonekey.model.settings import Architecture, FrontEnd


def test_models_lists_all_without_fetching(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == model_names()
    assert [row["name"] for row in rows if row["default"]] == [DEFAULT_MODEL]
    assert {row["name"]: row["classes"] for row in rows}["deezer/stone12"] == 12
    for row in rows:
        published = row["name"].startswith("deezer/")
        assert row["available"] is not published
        assert row["source"].startswith("https://") is published
        assert row["licence"]
        assert row["description"]
    assert not cache_folder().exists()
    assert call("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0].removesuffix(" (default)") for line in lines] == model_names()
    assert call("models", "--format", "table") == 0
    assert "deezer/skey" in capsys.readouterr().out
    assert call("models", "--format", "xml") == 2


def test_models_fit_a_terminal() -> None:
    lines = on_terminal("models", columns=80).splitlines()
    assert len(lines) <= 3 * len(model_names()) + 2
    for name in model_names():
        assert any(name in line and "KSEA" in line for line in lines)


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "baseline.onnx"
    assert call("export", "template", "--output", output) == 0
    import onnxruntime

    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    samples = np.zeros((2, 33075), dtype=np.float32)
    assert session.run(None, {"waveform": samples})[0].shape == (2, 24)
    assert call("export", "template", "--output", output) == 2
    assert "--force" in capsys.readouterr().err
    assert call("export", "template", "--output", output, "--force") == 0
    assert call("export", "template", "--output", tmp_path / "model.bin") == 2
    assert call("export", "no-such-model", "--output", tmp_path / "b.onnx") == 2
    song = music(tmp_path / "song.wav", "E minor")
    assert call(song, "--model", output) == 0
    assert "E minor" in capsys.readouterr().out


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("demo") == 0
    out = capsys.readouterr().out
    assert "synthesised: F# minor\nestimated:   F# minor" in out
    assert "from Vorbis: F# minor" in out
    output = tmp_path / "demo.wav"
    assert call("demo", "--key", "E♭", "--output", output) == 0
    assert "estimated:   Eb major" in capsys.readouterr().out
    before = output.read_bytes()
    assert call("demo", "--output", output) == 2
    assert output.read_bytes() == before
    assert call("demo", "--output", tmp_path / "piece.flac") == 2
    assert "give it the ending .wav, not '.flac'" in capsys.readouterr().err
    assert call("demo", "--key", "H sharp") == 2
    assert "not a key: 'H sharp'" in capsys.readouterr().err


def test_calibrate_the_baseline(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("calibrate", "template") == 0
    out = capsys.readouterr().out
    assert "  0-11: C major, Db major" in out
    assert " 12-23: C minor, C# minor" in out
    assert "the same as the table" in out
    output = tmp_path / "new.safetensors"
    assert call("calibrate", "template", "--output", output) == 2
    assert "ONNX" in capsys.readouterr().err
    assert not output.exists()


def test_calibrate_wants_a_key_for_each_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = music(tmp_path / "song.wav", "C major")
    assert call("calibrate", "template", song) == 2
    assert "1 recording but 0 --key" in capsys.readouterr().err
    assert call("calibrate", "template12", song, "--key", "C major") == 0
    assert call("calibrate", "template12", tmp_path / "none.wav", "--key", "C major") == 1
    assert "none.wav" in capsys.readouterr().err
    short = music(tmp_path / "short.wav", "C major", seconds=5)
    assert call("calibrate", "template12", short, "--key", "C major") == 1
    assert "needs 15 s" in capsys.readouterr().err


def _random_model(path: Path) -> Path:
    """A network of random weights, which knows nothing of keys."""
    arch = Architecture(outputs=12, norm="joint", channels=(2, 1), kernels=(3, 3))
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "classifier.weight": (1, 1, 1, 1),
        "classifier.bias": (1,),
    }
    inputs = 1
    for i, size in enumerate(arch.channels):
        block = f"convnext_blocks.{i}"
        shapes |= {
            f"time_downsampling_blocks.{i}.conv.weight": (size, inputs, 1, 2),
            f"time_downsampling_blocks.{i}.conv.bias": (size,),
            f"{block}.dwconv.weight": (size, 1, 3, 3),
            f"{block}.dwconv.bias": (size,),
            f"{block}.pwconv1.weight": (4 * size, size),
            f"{block}.pwconv1.bias": (4 * size,),
            f"{block}.pwconv2.weight": (size, 4 * size),
            f"{block}.pwconv2.bias": (size,),
            f"{block}.gamma": (size,),
        }
        inputs = size
    tensors = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    tensors["classifier.weight"] *= 0  # the same answer to everything
    tensors["classifier.bias"] *= 0
    save_checkpoint(Checkpoint(ModelInfo("random", FrontEnd(), arch, None), tensors), path)
    return path


def test_a_model_without_keys_is_refused_with_what_was_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = _random_model(tmp_path / "random.safetensors")
    output = tmp_path / "labelled.safetensors"
    assert call("calibrate", model, "--output", output) == 1
    error = capsys.readouterr().err
    assert "cannot be calibrated" in error
    assert "C major ->  0 (0.08)" in error
    assert "Bb minor" in error
    assert len(error.splitlines()) < 16
    assert not output.exists()
    song = music(tmp_path / "song.wav", "C major")
    assert call(song, "--model", model) == 2
    assert "stonekey calibrate" in capsys.readouterr().err


@pytest.mark.parity
def test_calibrate_a_published_model(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = shared / "golden/checkpoints/skey.pt", tmp_path / "new.safetensors"
    assert call("calibrate", model, "--output", output) == 0
    assert "\nthe same as the table" in capsys.readouterr().out
    table = load_checkpoint(output).info.class_table
    assert table == load_checkpoint(model).info.class_table
    assert call("calibrate", model, "--output", output) == 2


@pytest.mark.parity
def test_calibrate_from_recordings(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    c_major = shared / "golden/audio/Cmajor.mp3"
    model = shared / "golden/checkpoints/semitone_ks.pt"
    assert call("calibrate", model, c_major, "--key", "C major") == 0
    assert "\nthe same as the table" in capsys.readouterr().out
    # A wrong key gives another table, and says that it is another one.
    assert call("calibrate", model, c_major, "--key", str(Key.parse("D major"))) == 0
    assert "NOT the same" in capsys.readouterr().out


def test_commands_run_in_their_own_process() -> None:
    done = run("demo", "--key", "12A", "--seconds", "20")
    assert done.returncode == 0
    assert "synthesised: C# minor" in done.stdout
