"""The front end: nnAudio's VQT, the golden arrays, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rounding import SUMS, assert_same_log  # noqa: E402

from stonekey.keys import Key  # noqa: E402
from stonekey.model.kernels import lowpass, octave_kernels  # noqa: E402
from stonekey.model.settings import FrontEnd  # noqa: E402
from stonekey.network.vqt import VQT, log_vqt  # noqa: E402
from stonekey.synthesis import cadence  # noqa: E402

SHORTEST = 16640


def nnaudio(front_end: FrontEnd) -> Any:
    features = pytest.importorskip("nnAudio.features.vqt")
    return features.VQT(
        sr=front_end.sample_rate,
        hop_length=front_end.hop,
        fmin=front_end.fmin,
        n_bins=front_end.n_bins,
        bins_per_octave=front_end.bins_per_octave,
        verbose=False,
    )


def assert_same(waveform: torch.Tensor, front_end: FrontEnd | None = None) -> None:
    """Ours against nnAudio's: in float64 to 1e-7, in float32 but for the roundings of the sums."""
    front_end = front_end or FrontEnd()
    ours, theirs = VQT(front_end), nnaudio(front_end)
    with torch.inference_mode():
        a, b = ours(waveform), theirs(waveform)
        exact, reference = ours.double()(waveform.double()), theirs.double()(waveform.double())
    frames = front_end.frames(waveform.shape[1])
    assert a.shape == b.shape == (len(waveform), front_end.n_bins, frames)
    assert (log_vqt(exact) - log_vqt(reference)).abs().max() < 1e-7
    assert (a - b).abs().max() < SUMS * max(1.0, float(b.max()))
    # On the whole no further from the truth than nnAudio is; a single cell is a matter of luck.
    errors = [float((x - exact).square().mean().sqrt()) for x in (a, b)]
    assert errors[0] < 1.5 * errors[1] + 1e-9


def noise(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [SHORTEST, SHORTEST + 1, 32767, 65537, 100_001, 330_750])
def test_equals_nnaudio_on_noise(samples: int) -> None:
    assert_same(noise(2, samples, seed=samples))


def test_equals_nnaudio_on_a_long_recording() -> None:
    assert_same(noise(1, 25 * 22050 + 7))


def test_equals_nnaudio_on_music() -> None:
    audio = [cadence(Key.parse(k), seconds=6.0, seed=i) for i, k in enumerate(("Eb", "f#m"))]
    assert_same(torch.from_numpy(np.stack(audio)))


def test_equals_nnaudio_on_extremes() -> None:
    click = torch.zeros(1, 70_000)
    click[0, 35_000] = 1.0
    t = torch.arange(70_000, dtype=torch.float64) / 22050
    low = torch.sin(2 * torch.pi * 27.5 * t).float()[None]
    high = torch.sin(2 * torch.pi * 10_900 * t).float()[None]
    assert_same(torch.cat([click, low, high, torch.zeros_like(low), torch.ones_like(low)]))


@pytest.mark.parity
@pytest.mark.parametrize("recording", ["nocturne", "cmajor"])
def test_equals_nnaudio_on_recordings(shared: Path, recording: str) -> None:
    wave = np.load(shared / "golden" / f"{recording}_wave22050.npz")["wave22050"]
    assert_same(torch.from_numpy(wave[None, :220_501]))
    assert_same(torch.from_numpy(wave[: 2 * 330_750].reshape(2, -1)))


@pytest.mark.parametrize(
    "settings",
    [
        {"hop": 256},
        {"sample_rate": 16000, "n_bins": 96},
        {"sample_rate": 44100},
        {"fmin": 32.703195662574764, "n_bins": 96},
        {"bins_per_octave": 24, "n_bins": 198, "crop_bins": 168},
        {"bins_per_octave": 36, "n_bins": 288, "crop_bins": 252},
    ],
)
def test_equals_nnaudio_at_other_settings(settings: dict[str, Any]) -> None:
    front_end = FrontEnd(**settings)
    assert_same(noise(2, int(3.3 * front_end.sample_rate)), front_end)


def test_settings_reach_the_front_end() -> None:
    """The same tone lands on another bin when the rate or the lowest note is another."""
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(66_150) / 22050)[None]

    def loudest(**settings: Any) -> int:
        return int(VQT(FrontEnd(**settings))(tone).mean(dim=2).argmax())

    assert loudest() == 48  # A4, four octaves above A0
    assert loudest(fmin=55.0, n_bins=84) == 36
    assert loudest(sample_rate=44100) == 60  # the same samples, an octave higher
    assert loudest(bins_per_octave=24, n_bins=198, crop_bins=168) == 96


@pytest.mark.parametrize("samples", [2, 3, 127, 128, 129, 255, 1000, 40_961])
def test_decimation_is_the_strided_convolution(samples: int) -> None:
    x = noise(3, samples, seed=samples).double()
    taps = torch.from_numpy(lowpass()).double()
    plain = torch.nn.functional.conv1d(x[:, None], taps[None, None], stride=2, padding=127)[:, 0]
    module = VQT().double()
    assert (module._decimate(x) - plain).abs().max() < 1e-14


def test_lowpass_halves_the_band() -> None:
    response = np.abs(np.fft.rfft(lowpass(), 8192))
    frequency = np.linspace(0, 1, len(response))
    assert np.abs(response[frequency < 0.48] - 1).max() < 0.01
    assert response[frequency > 0.52].max() < 0.01


def test_kernels_have_unit_norm_and_their_frequency() -> None:
    octave = octave_kernels(FrontEnd())
    complex_kernels = octave.kernels[:, :12] + 1j * octave.kernels[:, 12:]
    assert np.allclose(np.abs(complex_kernels).sum(axis=0), 1, atol=1e-6)
    spectrum = np.abs(np.fft.fft(complex_kernels, 1 << 16, axis=0))
    peaks = spectrum.argmax(axis=0) * 22050 / (1 << 16)
    expected = 27.5 * 2 ** (np.arange(87, 99) / 12)
    assert np.allclose(peaks, expected, rtol=2e-3)


def test_batch_items_do_not_touch() -> None:
    batch = noise(3, 66_150)
    batch[1] *= 100
    module = VQT()
    alone = torch.cat([log_vqt(module(batch[i : i + 1])) for i in range(3)])
    assert_same_log(log_vqt(module(batch)).numpy(), alone.numpy())


def test_log_scaling() -> None:
    magnitude = torch.tensor([1.0, 10.0, 1e-3, 1e-20, 0.0]).reshape(1, 1, 5)
    levels = [1.0, 1.125, 1 - 30 / 80, 0.125, 0.125]  # 80 dB below the loudest, 10 dB
    expected = torch.tensor(levels).reshape(1, 1, 1, 5)
    assert torch.allclose(log_vqt(magnitude), expected, atol=1e-6)
    # Each item has its own floor, so a loud one does not hide a quiet one.
    pair = torch.cat([magnitude, 1e-3 * magnitude])
    assert torch.allclose(log_vqt(pair)[:1], expected, atol=1e-6)
    assert log_vqt(pair)[1].min() == pytest.approx(expected.min().item() - 30 / 80, abs=1e-6)


def test_silence_is_finite() -> None:
    assert log_vqt(VQT()(torch.zeros(1, 33_075))).unique().tolist() == [-0.25]


def test_gradients_reach_the_waveform() -> None:
    waveform = noise(1, SHORTEST).requires_grad_()
    VQT()(waveform).square().sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert (waveform.grad != 0).float().mean() > 0.99


def test_nothing_is_saved() -> None:
    assert VQT().state_dict() == {}


@pytest.mark.parametrize("shape", [(33_075,), (1, 1, 33_075), (2, SHORTEST - 1), (1, 0)])
def test_bad_waveforms_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="samples"):
        VQT()(torch.zeros(shape))


def test_shortest_is_stated() -> None:
    assert VQT().min_samples == SHORTEST
    assert VQT()(noise(1, SHORTEST)).shape == (1, 99, 33)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"sample_rate": 11025}, "sample rate"),
        ({"hop": 500}, "hop"),
        ({"crop_bins": 80}, "whole octaves"),
        ({"crop_bins": 108}, "crop_bins"),
        ({"crop_bins": 0}, "crop_bins"),
        ({"fmin": 55.0}, "sample rate"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        FrontEnd(**settings)


def test_settings_as_a_dict() -> None:
    front_end = FrontEnd(sample_rate=16000, n_bins=96)
    assert FrontEnd.from_dict(front_end.as_dict()) == front_end
    with pytest.raises(ValueError, match="tuning"):
        FrontEnd.from_dict({"tuning": 1})
    assert FrontEnd().segment_samples == 330_750
    assert FrontEnd().frames(330_750) == 646
    assert FrontEnd().transpositions == 16


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_threads_do_not_change_the_answer() -> None:
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            answers.append(log_vqt(VQT()(noise(2, 330_750))))
    finally:
        torch.set_num_threads(before)
    assert_same_log(answers[0].numpy(), answers[1].numpy())
