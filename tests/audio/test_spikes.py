"""Single samples that are far louder than the music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stonekey import KeyEstimator
from stonekey.audio import load_audio
from stonekey.audio.mixing import mix, to_mono
from stonekey.keys import Key
from stonekey.synthesis import cadence

RATE = 22050
KEY = Key.parse("Eb major")
MUSIC = 0.5 * cadence(KEY, seconds=12.0, seed=1)


@pytest.mark.parametrize(
    ("places", "height"),
    [([100_000], 1e4), ([0], -1e6), ([len(MUSIC) - 1], 1e20), (list(range(7, 250_000, 5000)), 3e4),
     ([100_000, 100_001, 100_002], 1e25)],
)  # fmt: skip
def test_a_spike_rules_nothing(tmp_path: Path, places: list[int], height: float) -> None:
    estimator = KeyEstimator("template", threads=1)
    plain = estimator(MUSIC, RATE)
    samples = np.stack([MUSIC, 0.9 * MUSIC], axis=1)
    samples[places, 1] = height
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
    for found in (estimator(tmp_path / "x.wav"), estimator(samples, RATE)):
        assert found.label == plain.label == KEY
        assert found.confidence == pytest.approx(plain.confidence, abs=0.01)
        assert [segment.counted for segment in found.segments] == [True]
        assert found.warnings == (
            f"{len(places)} samples were 1000 times louder than all around them and were set to 0",
        )
    loaded = load_audio(tmp_path / "x.wav")  # what training scales to a peak of 1
    assert np.abs(loaded.samples).max() == pytest.approx(0.95 * np.abs(MUSIC).max(), rel=0.02)


def test_a_full_scale_sample_in_quiet_music(tmp_path: Path) -> None:
    samples = (MUSIC * 0.001 * 2**23).astype(np.int32) << 8
    samples[100_000] = 2**31 - 1
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="PCM_24")
    found = KeyEstimator("template", threads=1)(tmp_path / "x.wav")
    assert found.label == KEY
    assert "1 samples were 1000 times louder" in found.warnings[0]


def test_the_samples_given_stay_as_they_are() -> None:
    for shape in ((-1,), (-1, 1)):
        samples = MUSIC.reshape(shape).copy()
        samples[5000] = 1e5
        before = samples.copy()
        mono, warnings = mix(samples, RATE)
        assert warnings
        assert mono[5000] == 0
        assert np.array_equal(samples, before)


def test_sound_is_no_spike() -> None:
    rng = np.random.default_rng(0)
    nothing = np.zeros(RATE * 4, np.float32)
    dither = rng.uniform(-2e-5, 2e-5, RATE * 4).astype(np.float32)
    click = nothing.copy()
    click[30_000] = 1.0
    onset = dither.copy()
    onset[32_766:] = 0.9  # a block's last two samples are the first of the music
    ticks = dither.copy()
    for start in range(0, RATE * 4 - 99, RATE // 2):
        ticks[start : start + 99] += 0.8 * np.sin(np.arange(99))
    for samples in (nothing, dither, click, onset, ticks, MUSIC, MUSIC[:1], MUSIC[:3], MUSIC[:0]):
        for given in (samples, np.stack([samples, samples], axis=1)):
            mono, warnings = mix(given, RATE)
            assert warnings == []
            assert np.array_equal(mono, to_mono(given))
