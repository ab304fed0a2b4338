"""Augmentations: what they do to a waveform, and that the cached form does the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_music import SHORT, tones

from stonekey.data import augment
from stonekey.data.transform import log_transform
from stonekey.network.vqt import VQT

RATE = 22050


def spectrum(samples: np.ndarray) -> np.ndarray:
    """As in the cache, float32 (frames, bins)."""
    return log_transform(samples, VQT(SHORT)).astype(np.float32)


def seeds(name: str) -> tuple[int, int, int]:
    """Twice one and another; of ``repeat``, which does nothing most of the time, two that do."""
    draws = [s for s in range(99) if np.random.default_rng(s).random() < augment.REPEAT_CHANCE]
    return (draws[0], draws[0], draws[1]) if name == "repeat" else (0, 0, 1)


@pytest.mark.parametrize("name", sorted(augment.WAVEFORM))
def test_seeded_and_of_the_same_type(name: str) -> None:
    samples = tones(4)
    before = samples.copy()
    function = augment.WAVEFORM[name]
    first, again, other = (
        function(samples, RATE, np.random.default_rng(seed)) for seed in seeds(name)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(samples, before)
    if name != "detune":
        assert first.shape == samples.shape


@pytest.mark.parametrize("name", sorted(augment.LOG_VQT))
def test_cached_form_is_seeded_and_of_the_same_type(name: str) -> None:
    x = spectrum(tones(4))
    before = x.copy()
    function = augment.LOG_VQT[name]
    first, again, other = (function(x, np.random.default_rng(s)) for s in seeds(name))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert first.shape == x.shape
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", ["gain", "equaliser"])
def test_both_forms_do_the_same(name: str) -> None:
    samples = tones(4)
    on_audio = spectrum(augment.WAVEFORM[name](samples, RATE, np.random.default_rng(2)))
    on_cache = augment.LOG_VQT[name](spectrum(samples), np.random.default_rng(2))
    loud = on_cache > on_cache.max() - 0.3
    difference = (on_audio - on_cache)[loud]
    # A filter acts within a bin's width too; 12 dB are 0.075.
    assert np.abs(difference).mean() < 0.003
    assert np.abs(on_cache - spectrum(samples)).max() > 0.005


def test_noise_floor_is_that_of_white_noise() -> None:
    generator = np.random.default_rng(0)
    white = spectrum(0.1 * generator.standard_normal(RATE * 8).astype(np.float32))
    mean = 10 * np.log10((10.0 ** (16 * white[40:-40])).mean(axis=0))
    assert np.ptp(mean[24:96]) < 3  # the same power in every bin, in dB
    # From near silence with one loud cell, the floor has the level asked for.
    x = np.full((400, 99), -1.25, np.float32)
    x[:, 50] = 0
    noisy = augment.noise_vqt(x, np.random.default_rng(1))
    level = 10 * np.log10((10.0 ** (16 * noisy[:, :50])).mean())
    signal = 10 * np.log10(1 / 99)
    assert augment.NOISE_SNR_DB[0] - 1 < signal - level < augment.NOISE_SNR_DB[1] + 1
    np.testing.assert_allclose(noisy[:, 50], 0, atol=0.05)


def test_noise_on_audio_has_its_level_and_spares_silence() -> None:
    samples = tones(4)
    added = augment.noise(samples, RATE, np.random.default_rng(0)) - samples
    snr = 10 * np.log10(np.mean(samples**2) / np.mean(added**2))
    assert augment.NOISE_SNR_DB[0] <= snr <= augment.NOISE_SNR_DB[1]
    silence = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(augment.noise(silence, RATE, np.random.default_rng(0)), silence)


@pytest.mark.parametrize("cents", [-50.0, -13.0, 0.0, 50.0])
def test_detuning_moves_the_pitch_by_so_many_cents(cents: float) -> None:
    time = np.arange(RATE * 4) / RATE
    sine = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    (out,) = augment.detune_variants(sine, RATE, [cents])
    assert len(out) == pytest.approx(len(sine) / 2 ** (cents / 1200), abs=2)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)), n=1 << 20))
    frequency = spectrum.argmax() * RATE / (1 << 20)
    assert 1200 * np.log2(frequency / 440) == pytest.approx(cents, abs=0.5)


def test_detuning_stays_within_50_cents() -> None:
    sine = tones(1)
    lengths = [len(augment.detune(sine, RATE, np.random.default_rng(s))) for s in range(30)]
    cents = 1200 * np.log2(len(sine) / np.array(lengths))
    assert np.abs(cents).max() <= 50.1
    assert cents.min() < -25
    assert cents.max() > 25


def test_variants() -> None:
    assert augment.variant_cents(1) == (0.0,)
    assert augment.variant_cents(5) == (0.0, -50.0, -25.0, 25.0, 50.0)
    assert augment.variant_cents(3, 20) == (0.0, -20.0, 20.0)
    with pytest.raises(ValueError, match="must be odd"):
        augment.variant_cents(2)
    with pytest.raises(ValueError, match="max_cents"):
        augment.variant_cents(3, 60)


def test_names() -> None:
    assert augment.check_names(["gain", "detune", "noise"]) == ("detune", "noise", "gain")
    with pytest.raises(ValueError, match=r"unknown augmentation eq \(there are detune, equaliser"):
        augment.check_names(["eq"])


def test_repeats_fill_a_segment_now_and_then() -> None:
    x = np.arange(100, dtype=np.float32)
    rng = np.random.default_rng(0)
    lengths = []
    for _ in range(2000):
        out = augment.repeat(x, RATE, rng)
        length = int((np.diff(out) < 0).argmax()) + 1 if out[-1] < 99 else 100
        assert np.array_equal(out, x[np.arange(100) % length])
        lengths.append(length)
    short = np.array(lengths)[np.array(lengths) < 100]
    assert 0.06 < len(short) / 2000 < 0.1
    assert short.min() >= 15
    assert short.max() <= 65


def test_gain_is_lost_in_the_networks_norm() -> None:
    from stonekey.model.settings import Architecture
    from stonekey.network.chromanet import ChromaNet

    x = spectrum(tones(4))
    louder = augment.gain_vqt(x, np.random.default_rng(0))
    for norm in ("joint", "frame"):
        torch.manual_seed(0)
        network = ChromaNet(Architecture(outputs=12, norm=norm)).eval()
        with torch.no_grad():
            a, b = (network(torch.from_numpy(v.T[None, None, :84].copy())) for v in (x, louder))
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
