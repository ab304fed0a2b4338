"""The estimator's contract: inputs of every kind, coverage, abstention, no torch.

What it says of music is in test_estimator_music.py.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_tools import ROOT
from plain_cuts import segment_starts

from stonekey import AudioError, CheckpointError, KeyEstimate, KeyEstimator
from stonekey.audio import load_audio
from stonekey.estimate.source import whole
from stonekey.keys import Key, KeySignature
from stonekey.synthesis import cadence

RATE = 22050
KEY = Key(3, "minor")


def vector(estimate: KeyEstimate) -> np.ndarray:
    return np.array(list(estimate.probabilities.values()))


def assert_same(one: KeyEstimate, other: KeyEstimate, atol: float = 1e-5) -> None:
    assert one.label == other.label
    assert len(one.segments) == len(other.segments)
    np.testing.assert_allclose(vector(one), vector(other), atol=atol)


def test_the_result(estimator: KeyEstimator) -> None:
    audio = cadence(KEY, seconds=40.0)
    result = estimator(audio, RATE)
    assert result.key == result.label == KEY
    assert result.signature == KEY.signature
    assert str(result) == "Eb minor"
    assert result.model == "template"
    assert result.warnings == ()
    assert result.duration == pytest.approx(40.0)
    assert set(result.probabilities) == {Key.from_index(i) for i in range(24)}
    assert sum(result.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert result.confidence == max(result.probabilities.values()) == result.top(1)[0][1]
    assert result.top(1)[0][0] == KEY
    assert [p for _, p in result.top(24)] == sorted(result.probabilities.values(), reverse=True)
    mean = np.mean([s.probabilities for s in result.segments], axis=0, dtype=np.float64)
    np.testing.assert_allclose(mean, vector(result), atol=1e-7)
    assert [(s.start, s.end) for s in result.segments] == [(0, 15), (15, 30), (25, 40)]


def test_results_are_compared_hashed_and_shown(
    estimator: KeyEstimator, music: np.ndarray, tmp_path: Path
) -> None:
    one, same, other = estimator(music, RATE), estimator(music, RATE), estimator(music[:-9], RATE)
    assert one == same != other
    assert one != "Eb minor"
    assert len({one, same, other}) == 2
    assert one.segments[0] == same.segments[0] != other.segments[0]
    assert one.segments[0] != replace(one.segments[0], probabilities=np.zeros(24, np.float32))
    assert len({one.segments[0], same.segments[0]}) == 1
    assert repr(one).startswith("KeyEstimate(key=Key.parse('Eb minor'), ")
    assert len(repr(one)) < 300
    assert len(repr(one.segments[0])) < 80
    soundfile.write(tmp_path / "music.wav", music, RATE)
    assert load_audio(tmp_path / "music.wav") not in [load_audio(tmp_path / "music.wav")]


def test_a_signature_model_names_no_mode() -> None:
    result = KeyEstimator("template12", threads=1)(cadence(Key(0, "major")), RATE)
    assert result.key is None
    assert result.signature is not None
    assert result.signature == result.label == result.top(1)[0][0]
    assert set(result.probabilities) == {KeySignature(i) for i in range(12)}
    described = result.to_dict()
    assert (described["tonic"], described["mode"]) == (None, None)
    assert described["key"] == str(result.signature)


def test_to_dict(estimator: KeyEstimator, music: np.ndarray) -> None:
    described = estimator(music, RATE).to_dict("flats", top=2)
    assert described["key"] == "Eb minor"
    assert (described["tonic"], described["mode"]) == ("Eb", "minor")
    assert (described["camelot"], described["open_key"]) == ("2A", "7m")
    assert next(t["key"] for t in described["top"]) == "Eb minor"
    assert len(described["top"]) == 2
    assert (described["duration"], described["segments"]) == (6.0, 1)
    assert described["error"] is None


# Coverage


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("seconds", [3.0, 14.999, 15.0, 15.01, 29.9, 30.0, 47.3])
def test_the_whole_track_is_covered(seconds: float, overlap: float) -> None:
    samples = round(seconds * RATE)
    audio = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    result = KeyEstimator("template", overlap=overlap, threads=1)(audio, RATE)
    times = [(s.start, s.end) for s in result.segments]
    assert times[0][0] == 0
    assert times[-1][1] == pytest.approx(seconds, abs=1 / RATE)
    assert result.duration == pytest.approx(seconds, abs=1 / RATE)
    assert all(b[0] <= a[1] for a, b in itertools.pairwise(times))
    assert all(end - start == pytest.approx(min(seconds, 15), abs=1e-4) for start, end in times)
    starts = segment_starts(samples, 15 * RATE, overlap)
    assert [t[0] for t in times] == pytest.approx([s / RATE for s in starts])


def test_the_end_counts(estimator: KeyEstimator) -> None:
    """A change in the last 5 s, which cutting by whole segments drops, is heard."""
    audio = np.concatenate([cadence(Key(0, "major"), seconds=15.0)] * 2)
    changed = np.concatenate([audio, cadence(Key(6, "major"), seconds=5.0)])
    same = KeyEstimator("template", published_segments=True, threads=1)
    assert_same(same(audio, RATE), same(changed, RATE), atol=1e-6)
    assert np.abs(vector(estimator(audio, RATE)) - vector(estimator(changed, RATE))).max() > 0.01


def test_overlap_cuts_as_the_array_would(estimator: KeyEstimator) -> None:
    """Each segment's output is that of the segment alone."""
    audio = np.concatenate([cadence(Key(i, "major"), seconds=9.0) for i in (0, 4, 7)])
    audio /= np.abs(audio).max()
    result = KeyEstimator("template", overlap=0.5, threads=1)(audio, RATE)
    assert len(result.segments) == 3
    for segment in result.segments:
        start = round(segment.start * RATE)
        alone = estimator(audio[start : start + 15 * RATE], RATE)
        np.testing.assert_allclose(segment.probabilities, vector(alone), atol=2e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_batch_size_does_not_matter(batch_size: int) -> None:
    audio = np.concatenate([cadence(Key(i, "minor"), seconds=12.0) for i in range(6)])
    want = KeyEstimator("template", threads=1)(audio, RATE)
    got = KeyEstimator("template", threads=1, batch_size=batch_size)(audio, RATE)
    assert len(got.segments) == 5
    assert_same(want, got)


# Inputs


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", ">i2", "i4", "u4", "i8", "u8"])
def test_integers(estimator: KeyEstimator, music: np.ndarray, kind: str) -> None:
    limits = np.iinfo(kind)
    middle = 0 if limits.min else limits.max // 2 + 1
    scaled = music.astype(np.float64) * (limits.max // 2) + middle
    # Eight bits have their noise.
    atol = 1e-2 if limits.bits == 8 else 1e-4
    assert_same(estimator(scaled.astype(kind), RATE), estimator(music, RATE), atol)


def test_integer_silence_is_silence(estimator: KeyEstimator) -> None:
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"):
        limits = np.iinfo(kind)
        middle = 0 if limits.min else limits.max // 2 + 1
        assert estimator(np.full(3 * RATE, middle, kind), RATE).warnings == ("silence",)


@pytest.mark.parametrize("kind", ["f2", "f4", ">f4", "f8", "g"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 32768.0])
def test_floats_of_any_scale(
    estimator: KeyEstimator, music: np.ndarray, kind: str, scale: float
) -> None:
    got = estimator((music * np.float32(scale)).astype(kind), RATE)
    assert_same(got, estimator(music, RATE), 1e-3 if kind == "f2" else 1e-5)


def test_channels(estimator: KeyEstimator, music: np.ndarray) -> None:
    want = estimator(music, RATE)
    for channels in (1, 2, 6):
        audio = np.stack([music] * channels, axis=1)
        assert_same(estimator(audio, RATE), want)
        assert_same(estimator(np.asfortranarray(audio), RATE), want)
    one_sided = np.stack([music, np.zeros_like(music)], axis=1)
    assert_same(estimator(one_sided, RATE), want)
    assert_same(estimator(one_sided[::-1, ::-1][::-1], RATE), want)  # negative strides


def test_the_input_is_left_alone(estimator: KeyEstimator, music: np.ndarray) -> None:
    audio = np.asfortranarray(np.stack([music, music], axis=1)) * 3
    before = audio.copy()
    audio.flags.writeable = False
    estimator(audio, RATE)
    np.testing.assert_array_equal(audio, before)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 32000, 44100, 48000, 96000, 192000])
def test_other_rates(estimator: KeyEstimator, rate: int) -> None:
    result = estimator(cadence(KEY, rate, 6.0), rate)
    assert result.key == KEY
    assert result.duration == pytest.approx(6.0, abs=1e-3)


def test_a_fractional_rate(estimator: KeyEstimator, music: np.ndarray) -> None:
    assert estimator(music, 22050.5).key == KEY
    assert estimator(music, np.int64(RATE)).key == KEY


def test_tensors(estimator: KeyEstimator, music: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    want = estimator(music, RATE)
    tensor = torch.from_numpy(music.copy())
    assert_same(estimator(tensor.requires_grad_(), RATE), want, 1e-7)
    tensor = tensor.detach()
    assert_same(estimator(tensor.double(), RATE), want)
    assert_same(estimator(tensor[:, None].expand(-1, 2), RATE), want)
    assert_same(estimator(tensor.bfloat16(), RATE), want, 1e-2)
    assert_same(estimator((tensor * 32767).short(), RATE), want, 1e-4)


def test_a_list_is_a_batch(estimator: KeyEstimator, music: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "music.wav"
    soundfile.write(path, music, RATE, subtype="FLOAT")
    other = cadence(Key(0, "major"), seconds=20.0)
    results = estimator([music, str(path), path, other, np.zeros(RATE)], RATE)
    assert [r.key for r in results] == [KEY, KEY, KEY, Key(0, "major"), None]
    assert_same(results[0], results[1])
    assert_same(results[3], estimator(other, RATE), 0)
    assert estimator([]) == []
    assert [str(r) for r in estimator([path])] == ["Eb minor"]


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(RATE), None, "need their sample_rate"),
        (np.zeros(0), RATE, "expected"),
        (np.zeros((0, 2)), RATE, "expected"),
        (np.zeros((5, 0)), RATE, "expected"),
        (np.float32(1), RATE, "expected"),
        (np.zeros((3, 4, 5)), RATE, "expected"),
        (np.zeros((2, RATE)), None, "need their sample_rate"),
        (np.zeros((33, 34)), RATE, "channels_first"),
        (np.zeros(RATE, complex), RATE, "real numbers"),
        (np.zeros(RATE, bool), RATE, "real numbers"),
        (np.array(["loud"] * 100), RATE, "real numbers"),
        (np.array([None] * 100), RATE, "real numbers"),
        (np.full(RATE, np.nan), RATE, "NaN"),
        (np.array([0.0, np.inf] * RATE), RATE, "beyond"),
        (np.array([0.0, 1e300] * RATE), RATE, "beyond"),
        (np.r_[np.ones(RATE), np.nan, np.ones(RATE)].astype(np.float32), RATE, "NaN"),
        (np.zeros(RATE), 0, "in Hz"),
        (np.zeros(RATE), -RATE, "in Hz"),
        (np.zeros(RATE), 44.1, "in Hz"),
        (np.zeros(RATE), float("nan"), "in Hz"),
        (np.zeros(RATE), float("inf"), "in Hz"),
        (np.array([None] * 100), None, "real numbers"),
    ],
)
def test_bad_samples(estimator: KeyEstimator, samples: object, rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimator(samples, rate)  # type: ignore[call-overload]


def test_bad_files(estimator: KeyEstimator, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("not sound")
    for path in (tmp_path / "missing.wav", tmp_path, text):
        with pytest.raises(AudioError, match=path.name):
            estimator(path)


def test_bad_values_in_a_file_are_no_key_of_their_own(
    estimator: KeyEstimator, music: np.ndarray, tmp_path: Path
) -> None:
    broken = music.copy()
    broken[1000:1010] = np.nan
    broken[2000] = np.inf
    path = tmp_path / "broken.wav"
    soundfile.write(path, broken, RATE, subtype="FLOAT")
    result = estimator(path)
    assert result.key == KEY
    assert np.isfinite(vector(result)).all()
    assert any("11 samples" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    "settings",
    [
        {"overlap": 1.0},
        {"overlap": -0.1},
        {"overlap": float("nan")},
        {"batch_size": 0},
        {"threads": 0},
        {"threads": -1},
        {"backend": "tensorflow"},
    ],
)
def test_bad_settings(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        KeyEstimator(**settings)


def test_what_cannot_run_says_so() -> None:
    with pytest.raises(CheckpointError, match="did you mean template"):
        KeyEstimator("tempalte")
    with pytest.raises(CheckpointError, match="torch"):
        KeyEstimator("template", device="cuda", backend="onnx")


# Too little to tell


def click(seconds: float, rate: int = RATE) -> np.ndarray:
    audio = np.zeros(round(seconds * rate), np.float32)
    audio[len(audio) // 2] = 1
    return audio


NOT_ENOUGH: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "silence": (lambda: np.zeros(20 * RATE, np.float32), "silence"),
    "short silence": (lambda: np.zeros(100, np.float32), "silence"),
    "dither": (lambda: np.random.default_rng(0).integers(-1, 2, 9 * RATE).astype("i2"), "silence"),
    "denormals": (lambda: cadence(KEY, seconds=3.0) * np.float32(1e-41), "silence"),
    "offset": (lambda: np.full(16 * RATE, 0.25, np.float32), "silence"),
    "one sample": (lambda: np.ones(1, np.float32), "silence"),
    "click": (lambda: click(20.0), "too little"),
    "click at once": (lambda: np.r_[np.float32(1), np.zeros(RATE, np.float32)], "too little"),
    "0.2 s": (lambda: cadence(KEY, seconds=0.2), "too little"),
    "beep": (lambda: np.r_[np.zeros(9 * RATE), cadence(KEY, seconds=0.3)], "too little"),
}


@pytest.mark.parametrize("name", NOT_ENOUGH)
@pytest.mark.parametrize("published", [False, True])
def test_no_key(name: str, published: bool) -> None:
    make, why = NOT_ENOUGH[name]
    result = KeyEstimator("template", threads=1, published_segments=published)(make(), RATE)
    assert (result.key, result.signature, result.label) == (None, None, None)
    assert result.confidence == 0
    assert result.probabilities == {}
    assert str(result) == "no key"
    assert len(result.warnings) == 1
    assert why in result.warnings[0]
    described = result.to_dict()
    assert described["key"] is described["camelot"] is described["tonic"] is None
    assert described["top"] == []


def test_a_resampled_click_is_still_a_click(estimator: KeyEstimator) -> None:
    for rate in (8000, 44100, 96000):
        assert "too little" in estimator(click(5.0, rate), rate).warnings[0]


def from_blocks(estimator: KeyEstimator, blocks: Iterable[np.ndarray]) -> KeyEstimate:
    return estimator.answer(whole(blocks, estimator.settings, RATE, estimator.segment_seconds))


def test_activity_does_not_depend_on_blocks(estimator: KeyEstimator) -> None:
    """0.3 s of sound in blocks of 100 samples is no more than 0.3 s."""
    audio = np.concatenate([cadence(KEY, seconds=0.3), np.zeros(2 * RATE, np.float32)])
    for size in (1, 100, 1103, 5000, len(audio)):
        blocks = [audio[i : i + size] for i in range(0, len(audio), size)]
        assert "too little" in from_blocks(estimator, blocks).warnings[0]
    longer = np.concatenate([cadence(KEY, seconds=0.8), np.zeros(2 * RATE, np.float32)])
    for size in (100, 5000):
        blocks = [longer[i : i + size] for i in range(0, len(longer), size)]
        assert from_blocks(estimator, blocks).key == KEY


def test_pauses_have_no_say(estimator: KeyEstimator, music: np.ndarray) -> None:
    audio = np.concatenate([cadence(KEY, seconds=15.0), np.zeros(30 * RATE, np.float32)])
    offset = audio.copy()
    offset[15 * RATE :] = 0.1
    for samples in (audio, offset):
        result = estimator(samples, RATE)
        assert [s.counted for s in result.segments] == [True, False, False]
        np.testing.assert_allclose(vector(result), result.segments[0].probabilities, atol=1e-7)
    published = KeyEstimator("template", published_segments=True, threads=1)(audio, RATE)
    assert all(s.counted for s in published.segments)


@pytest.mark.parametrize("seconds", [0.6, 1.0, 2.0, 2.96, 2.98, 5.0, 14.99])
def test_short_clips_are_used_whole(estimator: KeyEstimator, seconds: float) -> None:
    result = estimator(cadence(KEY, seconds=seconds, timbre="organ"), RATE)
    assert result.label is not None
    assert [(s.start, s.end) for s in result.segments] == [(0, pytest.approx(seconds, abs=1e-4))]


# Long streams, threads, imports


def test_a_long_stream(estimator: KeyEstimator) -> None:
    """As from a file: many blocks, one pass, the same as the array."""
    audio = np.concatenate([cadence(Key(i, "major"), seconds=16.0) for i in (0, 7, 2, 9)])
    rng = np.random.default_rng(1)
    ends = np.sort(rng.integers(0, len(audio), 400))
    blocks = np.split(audio, ends)
    assert_same(from_blocks(estimator, iter(blocks)), estimator(audio, RATE))


def test_a_file_is_its_samples(estimator: KeyEstimator, music: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "music.wav"
    soundfile.write(path, np.stack([music, music], axis=1), RATE, subtype="FLOAT")
    assert_same(estimator(path), estimator(music, RATE))


def test_threads_do_not_matter() -> None:
    audio = np.concatenate([cadence(Key(i, "minor"), seconds=16.0) for i in range(3)])
    one, two = (KeyEstimator("template", threads=n)(audio, RATE) for n in (1, 2))
    assert_same(one, two)


WITHOUT_TORCH = """
import sys
import stonekey
heavy = {"torch", "numpy", "onnx", "onnxruntime", "soundfile", "av", "soxr"} & set(sys.modules)
assert not heavy, heavy
result = stonekey.KeyEstimator("template", threads=1)(sys.argv[1])
import numpy as np
again = stonekey.KeyEstimator("template12", threads=1)(np.zeros((100_000, 2), "int16"), 44100)
assert again.label is None
heavy = {"torch", "onnx", "matplotlib", "scipy"} & set(sys.modules)
assert not heavy, heavy
print(result)
"""


def test_no_torch_is_loaded(music: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "music.flac"
    soundfile.write(path, music, RATE)
    root = str(ROOT / "src")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, str(path)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Eb minor"
