"""The mode head: plain formula, graph, and learning it from labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from random_models import SIGNATURES, random_stone  # noqa: E402

from stonekey.data.cache import build_cache  # noqa: E402
from stonekey.data.manifest import Track  # noqa: E402
from stonekey.estimate.estimator import KeyEstimator  # noqa: E402
from stonekey.graph.export import export_onnx  # noqa: E402
from stonekey.keys import Key  # noqa: E402
from stonekey.model.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from stonekey.model.settings import Architecture, FrontEnd  # noqa: E402
from stonekey.network.stone import Stone  # noqa: E402
from stonekey.synthesis import piece, write_wav  # noqa: E402
from stonekey.training.mode_fit import logistic, with_mode_head  # noqa: E402


def headed(seed: int = 0) -> Stone:
    stone = random_stone("joint", seed, mode_head=True)
    generator = torch.Generator().manual_seed(seed)
    head = stone.chromanet.mode_head
    assert head is not None
    with torch.no_grad():
        head.weight.copy_(torch.randn(12, generator=generator))
        head.bias.fill_(0.3)
    return stone


def test_head_is_the_plain_formula() -> None:
    head = headed().chromanet.mode_head
    x = torch.rand(2, 1, 84, 50, generator=torch.Generator().manual_seed(1))
    magnitude = 10.0 ** (8 * (x[:, 0].double().numpy() - 1))
    magnitude /= magnitude.max(axis=1, keepdims=True)
    chroma = magnitude.mean(axis=2).reshape(2, 7, 12).mean(axis=1)
    chroma /= chroma.mean(axis=1, keepdims=True)
    w = head.weight.detach().double().numpy()
    expected = [
        [0.3 + sum(w[i] * row[(j + i) % 12] for i in range(12)) for j in range(12)]
        for row in chroma
    ]
    assert np.allclose(head(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_modes_sum_to_the_signature_and_rotate() -> None:
    stone = headed()
    net = stone.chromanet
    x = torch.rand(1, 1, 84, 300, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        twelve = torch.softmax(net.classify(net.pool(net.features(x))), dim=1)
        p = net.probabilities(net(x))
        assert torch.allclose(p[:, :12] + p[:, 12:], twelve, atol=1e-6)
        # Turned by whole octaves' pitch classes, the head's answers turn along.
        octave = torch.rand(1, 1, 12, 300, generator=torch.Generator().manual_seed(3))
        a, b = octave.repeat(1, 1, 7, 1), octave.roll(5, dims=2).repeat(1, 1, 7, 1)
        assert torch.allclose(net.mode_head(a).roll(5, dims=1), net.mode_head(b), atol=1e-5)
    with pytest.raises(ValueError, match="mode head"):
        Architecture(outputs=12, mode_head=True)


def test_file_and_graph_agree_with_torch(tmp_path: Path) -> None:
    """On music over a noise floor, as recordings have it.

    Between its notes noiseless music holds bins of 1e-7 of the loudest, which is rounding noise in
    float32, another on each processor; a random network amplifies it to 1e-4.
    """
    noise = np.random.default_rng(0)
    path = tmp_path / "model.safetensors"
    save_checkpoint(headed().to_checkpoint("headed"), path)
    assert load_checkpoint(path).info.architecture == headed().chromanet.architecture
    onnx = export_onnx(path, tmp_path / "model.onnx")
    for seconds in (15.0, 7.0):
        audio = piece(Key(3, "minor"), seconds, seed=1)
        audio += 0.01 * noise.standard_normal(len(audio)).astype(np.float32)
        a = KeyEstimator(onnx)(audio, 22050).probabilities
        b = KeyEstimator(path, backend="torch")(audio, 22050).probabilities
        assert max(abs(a[k] - b[k]) for k in a) < 1e-5


def test_logistic_regression_finds_what_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 3))
    true = np.array([1.0, -2.0, 0.5])
    y = rng.random(len(x)) < 1 / (1 + np.exp(-(x @ true + 0.4)))
    found, intercept = logistic(x, y, np.ones(len(x)))
    assert np.allclose(found, true, atol=0.12)
    # Both classes weigh the same, which moves the intercept alone.
    assert intercept == pytest.approx(0.4 - np.log(y.mean() / (1 - y.mean())), abs=0.1)


def test_modes_are_learnt_from_a_few_pieces(tmp_path: Path) -> None:
    """Twelve pieces in each mode; with any key signatures, the head tells other pieces' modes."""
    tracks = []
    for i in range(24):
        path = tmp_path / f"{i}.wav"
        key = Key.from_index(i)
        write_wav(path, piece(key, 8.0, seed=i))
        tracks.append(Track(path.name, path, key))
    front_end = FrontEnd(segment_seconds=4.0)
    cached = build_cache(tracks, tmp_path / "cache", front_end, workers=1, progress=False).tracks
    twelve = random_stone("joint", outputs=12)
    table = tuple(SIGNATURES[(5 + i) % 12] for i in range(12))
    model = with_mode_head(
        Stone(front_end, twelve.chromanet.architecture, table).to_checkpoint("twelve"),
        cached,
    )
    head = Stone.from_checkpoint(model).chromanet.mode_head
    keys = model.info.class_table
    assert keys is not None
    assert [str(k) for k in (keys[0], keys[12])] == ["F major", "D minor"]
    from stonekey.network.vqt import VQT, log_vqt

    vqt, right = VQT(front_end), 0
    for i in range(24):
        key = Key.from_index(i)
        audio = torch.from_numpy(piece(key, 8.0, seed=100 + i))[None]
        with torch.inference_mode():
            odds = head(log_vqt(vqt(audio))[:, :, :84])[0]
        output = keys.index(key) % 12
        right += bool(odds[output] > 0) == (key.mode == "minor")
    assert right >= 21
    with pytest.raises(ValueError, match="major and in minor"):
        with_mode_head(
            Stone(front_end, twelve.chromanet.architecture, table).to_checkpoint("x"),
            cached[:5],
        )
