"""The tuning of a recording: heard, reported, corrected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call
from tag_files import encode_stereo

from stonekey import KeyEstimate, KeyEstimator
from stonekey.audio import load_audio, resample, stream_audio
from stonekey.audio.tuning import DEAD_BAND, LOOK_SECONDS, Tuner, checked_option, deviation
from stonekey.keys import Key
from stonekey.synthesis import cadence, piece, write_wav

RATE = 22050
KEY = Key.parse("Eb major")


@pytest.fixture(scope="module")
def auto() -> KeyEstimator:
    return KeyEstimator("template", threads=1)


@pytest.fixture(scope="module")
def off() -> KeyEstimator:
    return KeyEstimator("template", threads=1, tune="off")


def vector(estimate: KeyEstimate) -> np.ndarray:
    return np.array(list(estimate.probabilities.values()))


def apart(one: float, other: float) -> float:
    """Distance in cents on the circle of 100."""
    return abs((one - other + 50) % 100 - 50)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
def test_the_deviation_is_heard_at_any_rate(rate: int) -> None:
    for cents in (-30, 0, 45):
        music = piece(KEY, 12.0, seed=2, sample_rate=rate, cents=cents, drums=True)
        heard, agreement = deviation(music, rate)
        assert heard == pytest.approx(cents, abs=2)
        assert agreement > 0.3


def test_every_deviation_is_heard() -> None:
    for cents in range(-50, 51, 10):
        heard, _ = deviation(cadence(KEY, seconds=8.0, timbre="strings", cents=cents), RATE)
        assert apart(heard, cents) < 2
        assert -50 <= heard <= 50


def test_no_tone_no_tuning() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 20 * RATE).astype(np.float32)
    for samples in (noise, np.zeros(5 * RATE, np.float32), np.zeros(1, np.float32), noise[:5],
                    np.full(5 * RATE, 0.3, np.float32)):  # fmt: skip
        tuner = Tuner()
        assert tuner(samples, RATE) == 0
        assert tuner.cents is None


def test_detuned_music_gets_the_answer_of_music_in_tune(
    auto: KeyEstimator, off: KeyEstimator
) -> None:
    """At half a semitone the neighbouring key may win, and then the tuning heard says so."""
    same = {"auto": 0, "off": 0}
    cases = [(Key.parse(name), seed) for seed, name in enumerate(("Bb major", "F# minor"))]
    for key, seed in cases:
        answer = auto(piece(key, 20.0, seed=seed), RATE).label
        for cents in range(-50, 51, 10):
            music = piece(key, 20.0, seed=seed, cents=cents)
            found = auto(music, RATE)
            assert found.tuning is not None
            semitones = round((cents - found.tuning) / 100)
            assert apart(found.tuning, cents) < 2
            assert semitones == 0 or abs(cents) == 50
            assert answer is not None
            same["auto"] += found.label == answer.transpose(semitones)
            same["off"] += off(music, RATE).label == answer
    assert same["auto"] >= 21  # of 22
    assert same["off"] < 16  # so the music does need it


def test_music_in_tune_is_left_as_it_is(auto: KeyEstimator, off: KeyEstimator) -> None:
    for cents in (-7, 0, 7):
        music = piece(KEY, 20.0, seed=3, cents=cents)
        found, plain = auto(music, RATE), off(music, RATE)
        assert found.tuning == plain.tuning == pytest.approx(cents, abs=1)
        assert abs(cents) < DEAD_BAND
        np.testing.assert_array_equal(vector(found), vector(plain))


def test_a_number_is_corrected_whatever_is_heard(auto: KeyEstimator) -> None:
    music = piece(KEY, 20.0, seed=3)
    semitone = KeyEstimator("template", threads=1, tune=100)(music, RATE)
    assert semitone.label == KEY.transpose(-1)
    assert semitone.tuning == auto(music, RATE).tuning
    assert semitone.duration == pytest.approx(20, abs=1e-3)
    sharp = piece(KEY, 20.0, seed=3, cents=35)
    by_hand = KeyEstimator("template", threads=1, tune=35)(sharp, RATE)
    np.testing.assert_allclose(vector(by_hand), vector(auto(music, RATE)), atol=0.03)


def test_files_and_samples_agree(tmp_path: Path, auto: KeyEstimator) -> None:
    """Also longer than what is heard, whose end has the tuning of its start."""
    seconds = LOOK_SECONDS + 12
    music = np.tile(cadence(KEY, 44100, seconds=6.0, seed=1, cents=31), int(seconds // 6))
    write_wav(tmp_path / "sharp.wav", music, 44100)
    from_file, from_samples = auto(tmp_path / "sharp.wav"), auto(music, 44100)
    assert from_file.label == KEY
    assert from_file.tuning == pytest.approx(31, abs=1)
    np.testing.assert_allclose(vector(from_file), vector(from_samples), atol=1e-3)
    assert from_file.duration == pytest.approx(seconds, abs=1e-3)
    assert from_file.segments[-1].end == pytest.approx(seconds, abs=1e-3)
    assert from_file.segments[0].end == pytest.approx(15, rel=0.02)


def test_a_fast_estimate_is_tuned_too() -> None:
    music = np.tile(cadence(KEY, seconds=10.0, seed=1, cents=-38), 15)
    found = KeyEstimator("template", threads=1, fast=True)(music, RATE)
    assert len(found.segments) < 10
    assert found.tuning == pytest.approx(-38, abs=1)
    assert found.label == KEY


def test_the_published_cut_corrects_nothing(off: KeyEstimator) -> None:
    music = cadence(KEY, seconds=30.0, seed=1, cents=-38)
    published = KeyEstimator("template", threads=1, published_segments=True)
    found = published(music, RATE)
    assert found.tuning == pytest.approx(-38, abs=1)
    np.testing.assert_array_equal(vector(found), vector(off(music, RATE)))


def lead_ins(seconds: float) -> dict[str, np.ndarray]:
    """What is no music, as loud as music."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE)) / RATE
    noise = rng.normal(0, 0.1, len(t))
    hum = {hz: 0.2 * sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 15))
           for hz in (49.98, 60.05)}  # fmt: skip
    return {
        "silence": np.zeros(len(t)),
        "noise": noise,
        "drums": 3 * noise * np.exp(-(t % 0.4) / 0.05) + np.sin(500 * t) * np.exp(-(t % 0.8) / 0.1),
        "applause": noise * (rng.random(len(t)) < 0.01) * 10,
        "50 Hz": hum[49.98],
        "60 Hz": hum[60.05] + 0.1 * noise,
    }


@pytest.mark.parametrize("seconds", [35.0, 61.0])
def test_the_music_is_heard_wherever_it_lies(seconds: float) -> None:
    music = piece(KEY, 30.0, seed=2, cents=42)
    alone = Tuner()(music, RATE)
    assert alone == pytest.approx(42, abs=2)
    for name, lead in lead_ins(seconds).items():
        for parts in ((lead, music), (music[: 5 * RATE], lead, music)):
            found = Tuner()(np.concatenate(parts).astype(np.float32), RATE)
            assert found == pytest.approx(alone, abs=2), name


def test_the_hum_of_the_mains_is_no_music() -> None:
    music = piece(KEY, 20.0, seed=2, cents=-40)
    for name in ("50 Hz", "60 Hz"):
        hum = lead_ins(80.0)[name].astype(np.float32)
        tuner = Tuner()
        assert tuner(hum, RATE) == 0
        assert tuner.cents is None
        hum[-len(music) :] += music  # it does not stop when the music starts
        assert tuner(hum, RATE) == pytest.approx(-40, abs=2)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("wav", "pcm_s16le", {}),
        ("m4a", "aac", {}),
        ("mp3", "libmp3lame", {"write_xing": "0"}),  # does not tell its length
        ("mka", "libopus", {"live": "1"}),  # nor can FFmpeg guess it
    ],
)
def test_the_rest_of_a_file_is_heard_too(
    tmp_path: Path, suffix: str, codec: str, options: dict[str, str], auto: KeyEstimator
) -> None:
    lead = lead_ins(61.0)["drums"].astype(np.float32)
    music = np.concatenate([lead, cadence(KEY, seconds=21.0, seed=1, cents=-42)])
    path = tmp_path / f"late.{suffix}"
    loud = resample(0.5 * music, RATE, 48000)
    encode_stereo(path, codec, np.stack([loud, loud]), options)
    whole = load_audio(path)
    tuner = Tuner()
    with path.open("rb") as file, stream_audio(file, RATE, tuner) as stream:
        samples = np.concatenate(list(stream))
        assert not file.closed
    assert tuner.correction == pytest.approx(-42, abs=2)
    assert len(samples) / stream.rate == pytest.approx(whole.duration, abs=1e-3)
    assert list(stream.warnings) == list(whole.warnings)
    estimate = auto(path)
    assert estimate.tuning == pytest.approx(tuner.cents, abs=0.5)
    assert estimate.label == KEY


def test_the_stream_plays_lower_by_what_it_is_told(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 440 * 2 ** (40 / 1200) * np.arange(3 * 44100) / 44100)
    write_wav(tmp_path / "tone.wav", tone.astype(np.float32), 44100)
    with stream_audio(tmp_path / "tone.wav", RATE, lambda samples, rate: 40.0) as stream:
        lowered = np.concatenate(list(stream))
        assert stream.seconds == pytest.approx(3, abs=1e-3)
    assert len(lowered) / RATE == pytest.approx(3 * 2 ** (40 / 1200), abs=1e-3)
    assert deviation(lowered, RATE)[0] == pytest.approx(0, abs=0.5)


def test_the_option() -> None:
    assert [checked_option(o) for o in ("auto", "off", "-12.5", 7)] == ["auto", "off", -12.5, 7]
    for wrong in ("high", "nan", "101", -100.5, ""):
        with pytest.raises(ValueError, match="tune must be"):
            checked_option(wrong)
        with pytest.raises(ValueError, match="tune must be"):
            KeyEstimator("template", tune=wrong)  # type: ignore[arg-type]


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "flat.wav", cadence(KEY, seconds=10.0, seed=1, cents=-42))
    write_wav(tmp_path / "nothing.wav", np.zeros(220500, np.float32))
    keys = {}
    for tune in ("auto", "off", "-42"):
        given = ["--format", "json", "--tune", tune, "--model", "template"]
        assert call("predict", tmp_path / "flat.wav", *given) == 0
        record = json.loads(capsys.readouterr().out)
        keys[tune] = record["key"]
        assert record["tuning"] == pytest.approx(-42, abs=1)
        assert record["duration"] == pytest.approx(10, abs=1e-3)
    assert keys["auto"] == keys["-42"] == "Eb major"
    assert keys["off"] != "Eb major"
    assert call("predict", tmp_path / "nothing.wav", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["tuning"] is None
    assert call("predict", tmp_path / "flat.wav", "--tune", "sharp") == 2
    assert "tune must be auto, off" in capsys.readouterr().err
