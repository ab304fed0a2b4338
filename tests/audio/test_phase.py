"""Channels out of phase, whose mean cancels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stonekey import KeyEstimator
from stonekey.audio import load_audio
from stonekey.audio.mixing import mix, to_mono
from stonekey.data.transform import Job, transform_file
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd
from stonekey.synthesis import cadence

RATE = 22050
KEY = Key.parse("Eb major")
WARNING = "channels out of phase"


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    return 0.3 * cadence(KEY, seconds=12.0, seed=1)


@pytest.fixture(scope="module")
def drums() -> np.ndarray:
    """Bursts of noise that die away, louder than the music."""
    rng = np.random.default_rng(0)
    envelope = np.exp(-(np.arange(12 * RATE) % 8000) / 2000)
    return (0.5 * envelope * rng.standard_normal(12 * RATE)).astype(np.float32)


def test_music_that_would_cancel_is_heard(
    tmp_path: Path, music: np.ndarray, drums: np.ndarray
) -> None:
    estimator = KeyEstimator("template", threads=1)
    fast = estimator.with_settings(fast=True, segment_seconds=0.5)
    nothing = np.zeros_like(music)
    cases = {
        "inverted": (music, -music),
        "nearly": (0.9 * music, -music),
        "under drums": (music + drums, drums - music),
        "of six": (nothing, music, nothing, -music, nothing, nothing),
        "of three": (music, -0.5 * music, -0.5 * music),
    }
    for name, channels in cases.items():
        samples = np.stack(channels, axis=1).astype(np.float32)
        soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
        soundfile.write(tmp_path / "x.aiff", 0.3 * samples, RATE)
        for heard in (
            estimator(tmp_path / "x.wav"),
            estimator(tmp_path / "x.aiff"),
            estimator(samples, RATE),
            fast(tmp_path / "x.wav"),
            fast(samples, RATE),
        ):
            assert heard.label == KEY, name
            assert any(WARNING in text for text in heard.warnings), name


def test_training_hears_what_predicting_hears(tmp_path: Path, music: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    from stonekey.network.vqt import VQT

    soundfile.write(tmp_path / "x.wav", np.stack([music, -music], 1), RATE, subtype="FLOAT")
    heard = load_audio(tmp_path / "x.wav").samples
    np.testing.assert_allclose(np.abs(heard), np.abs(music), atol=1e-6)
    with torch.inference_mode():
        done = transform_file(Job(str(tmp_path / "x.wav"), str(tmp_path), (("a", 0.0),)),
                              VQT(FrontEnd()))  # fmt: skip
    assert not done.reason
    assert any(WARNING in text for text in done.warnings)


def test_ordinary_channels_are_their_mean_bit_for_bit(music: np.ndarray, drums: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    late = np.roll(music, 300)
    nothing = np.zeros_like(music)
    for channels in (
        (music, music),
        (music, nothing),
        (music, late),
        (music + late - drums, music - late + drums),  # in the middle and at the sides
        (music, rng.permutation(music)),
        (music, nothing, late, nothing, nothing, drums),
    ):
        samples = np.stack(channels, axis=1).astype(np.float32)
        whole = (samples / np.abs(samples).max() * 32767).astype(np.int16)
        for given in (samples, whole):
            mono, warnings = mix(given, RATE)
            assert warnings == []
            assert np.array_equal(mono, to_mono(given))


def test_only_what_cancels_is_mixed_otherwise_and_without_a_click() -> None:
    tone = np.sin(2 * np.pi * 330 * np.arange(12 * RATE) / RATE).astype(np.float32)
    sign = np.where(np.arange(len(tone)) // (4 * RATE) % 2, -1, 1)  # for 4 s of 12
    samples = np.stack([tone, sign * tone], 1).astype(np.float32)
    mono, (warning,) = mix(samples, RATE)
    seconds = float(warning.split(" for ")[1].split(" s")[0])
    assert seconds == pytest.approx(4, abs=2 * 32768 / RATE)
    assert np.array_equal(mono[: 2 * RATE], tone[: 2 * RATE])
    assert np.array_equal(mono[-2 * RATE :], tone[-2 * RATE :])
    # Half a period of either sign at most is lost where one mix fades into the other.
    assert np.abs(np.diff(mono)).max() < 1.2 * np.abs(np.diff(tone)).max()
    middle = mono[6 * RATE : 7 * RATE]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(0.5), rel=0.01)


def test_noise_that_cancels_is_no_silence(music: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    mono, (warning,) = mix(np.stack([noise, -noise], 1), RATE)
    assert np.std(mono) == pytest.approx(0.1, rel=0.02)
    assert warning.startswith("channels out of phase for 5.0 s")
