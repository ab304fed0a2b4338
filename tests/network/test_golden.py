"""The published models' own outputs, from the reference material beside the repository."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rounding import SUMS, assert_same_log  # noqa: E402

from stonekey.estimate.backends import Backend, OnnxBackend, TorchBackend  # noqa: E402
from stonekey.estimate.segments import cut  # noqa: E402
from stonekey.keys import Key  # noqa: E402
from stonekey.model.checkpoint import load_checkpoint  # noqa: E402
from stonekey.network.stone import Stone  # noqa: E402

pytestmark = pytest.mark.parity

SEGMENT = 330_750
RECORDINGS = ("nocturne", "cmajor")
MODELS = ("semitone_ks", "semisupervised_ks_mode")
# What the published tables call the answers of the golden arrays.
LABELS = {
    "Eb major / C minor": "D# Major/C minor",
    "C major / A minor": "C Major/A minor",
    "C minor": "C minor",
    "C major": "C Major",
    "Eb major": "D# Major",
}


class Golden:
    """Arrays, checkpoints and waveforms of the reference folder."""

    def __init__(self, shared: Path) -> None:
        self.folder = shared / "golden"
        self.backend = cache(self._backend)
        self.stone = cache(self._stone)

    def arrays(self, recording: str, model: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{recording}_{model}.npz") as arrays:
            return dict(arrays)

    def wave(self, recording: str) -> np.ndarray:
        return self.arrays(recording, "wave22050")["wave22050"]

    def segments(self, recording: str, overlap: float = 0.0) -> np.ndarray:
        """Cut by the package's own code, as the published inference cuts."""
        pieces = cut([self.wave(recording)], SEGMENT, overlap, whole=False)
        return np.stack([samples for _, samples in pieces])

    def checkpoint(self, model: str) -> Path:
        return self.folder / "checkpoints" / f"{model}.pt"

    def _backend(self, kind: str, model: str) -> Backend:
        path = self.checkpoint(model)
        return TorchBackend(path) if kind == "torch" else OnnxBackend(path)

    def _stone(self, model: str) -> Stone:
        return Stone.from_checkpoint(load_checkpoint(self.checkpoint(model)))


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    return Golden(shared)


@pytest.mark.parametrize("recording", RECORDINGS)
def test_front_end(golden: Golden, recording: str) -> None:
    expected = golden.arrays(recording, "semisupervised_ks_mode")
    for model in MODELS:
        stone = golden.stone(model)
        waveform = torch.from_numpy(golden.segments(recording))
        with torch.inference_mode():
            magnitude, log = stone.vqt(waveform), stone.log_vqt(waveform)
        assert magnitude.shape == expected["vqt_magnitude"].shape
        loudest = expected["vqt_magnitude"].max()
        assert np.abs(magnitude.numpy() - expected["vqt_magnitude"]).max() <= SUMS * loudest
        assert log.shape == expected["log_vqt"].shape
        assert_same_log(log.numpy(), expected["log_vqt"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("recording", RECORDINGS)
def test_stages(golden: Golden, recording: str, model: str) -> None:
    """Each stage from the golden front end, so that a wrong one is named by this test."""
    expected = golden.arrays(recording, model)
    log = golden.arrays(recording, "semisupervised_ks_mode")["log_vqt"]
    network = golden.stone(model).chromanet
    compared = 0

    def compare(name: str, value: torch.Tensor) -> None:
        nonlocal compared
        if name in expected:
            assert value.shape == expected[name].shape, name
            scale = max(1.0, float(np.abs(expected[name]).max()))
            assert np.abs(value.numpy() - expected[name]).max() < 1e-5 * scale, name
            compared += 1

    with torch.inference_mode():
        x = torch.from_numpy(log[:, :, :84])
        stages = zip(network.time_downsampling_blocks, network.convnext_blocks, strict=True)
        for number, (down, block) in enumerate(stages):
            x = down(x)
            compare(f"down{number}_seg0", x[0])
            x = block(x)
            compare(f"block{number}_seg0", x[0])
        pooled = network.pool(x)
        compare("pooled", pooled)
        compare("logits", network.classify(pooled))
    stages_kept = {"semitone_ks": 5, "semisupervised_ks_mode": 14}[model]
    assert compared == 2 + (stages_kept if recording == "nocturne" else 0)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("recording", RECORDINGS)
def test_outputs(golden: Golden, recording: str, model: str, kind: str) -> None:
    expected = golden.arrays(recording, model)
    backend = golden.backend(kind, model)
    for suffix, overlap in (("", 0.0), ("_overlap50", 0.5)):
        outputs = backend.run(golden.segments(recording, overlap))
        assert outputs.shape == expected[f"per_segment{suffix}"].shape
        assert np.abs(outputs - expected[f"per_segment{suffix}"]).max() < 1e-5
        assert np.abs(outputs.mean(axis=0) - expected[f"mean{suffix}"]).max() < 1e-5
    mean = expected["mean"]
    assert backend.info.class_table is not None
    assert mean.argmax() == expected["argmax"]
    assert LABELS[str(backend.info.class_table[int(mean.argmax())])] == str(expected["label"])


@pytest.mark.parametrize("kind", ["torch", "onnx"])
@pytest.mark.parametrize("recording", RECORDINGS)
def test_skey_on_the_whole_recording(golden: Golden, recording: str, kind: str) -> None:
    expected = golden.arrays(recording, "skey")
    backend = golden.backend(kind, "skey")
    outputs = backend.run(golden.wave(recording)[None])
    assert outputs.shape == expected["output"].shape
    assert np.abs(outputs - expected["output"]).max() < 1e-4
    assert backend.info.class_table is not None
    label = backend.info.class_table[int(outputs[0].argmax())]
    assert LABELS[str(label)] == str(expected["label"])


@pytest.mark.parametrize("recording", RECORDINGS)
def test_skey_network_on_its_own_front_end(golden: Golden, recording: str) -> None:
    """From S-KEY's log-VQT, where no difference of resamplers is left: as close as the rest."""
    expected = golden.arrays(recording, "skey")
    stone = golden.stone("skey")
    with torch.inference_mode():
        x = torch.from_numpy(expected["log_vqt"][:, :, :84])
        outputs = stone.chromanet.probabilities(stone.chromanet(x))
    assert np.abs(outputs.numpy() - expected["output"]).max() < 1e-5


def test_class_tables_as_published(golden: Golden) -> None:
    def table(model: str) -> list[str]:
        labels = load_checkpoint(golden.checkpoint(model)).info.class_table
        assert labels is not None
        return [str(label) for label in labels]

    rising = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]

    def row(first: str, mode: str) -> list[str]:
        start = rising.index(first)
        names = rising[start:] + rising[:start]
        return [str(Key.parse(f"{name} {mode}")) for name in names]

    assert table("semitone_ks") == [str(Key.parse(name).signature) for name in row("A#", "major")]
    assert table("semisupervised_ks_mode") == row("B", "minor") + row("D", "major")
    assert table("skey") == row("A", "major") + row("B", "minor")
