"""What makes it fast must not change answers: threads, batches, excerpts, files side by side."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_tools import ROOT, call, music

from stonekey import KeyEstimator
from stonekey.audio import UnreadableError, load_audio
from stonekey.audio.excerpts import read_excerpts, spread
from stonekey.estimate.backends import OnnxBackend
from stonekey.estimate.source import FAST_SECONDS
from stonekey.keys import Key
from stonekey.model.registry import find_model
from stonekey.synthesis import cadence, piece

RATE = 22050
FORMATS = {
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "wav": ("WAV", "PCM_16"),
}


def changing(seconds: float = 200.0) -> np.ndarray:
    """Music whose sound is different at every time."""
    return piece(Key.parse("F# minor"), seconds, seed=3, sample_rate=RATE)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("songs")
    audio = changing()
    for suffix, (container, subtype) in FORMATS.items():
        song = folder / f"song.{suffix}"
        with soundfile.SoundFile(song, "w", RATE, 1, subtype, format=container) as file:
            for start in range(0, len(audio), RATE):  # libsndfile's Vorbis cannot take it whole
                file.write(audio[start : start + RATE])
    return {suffix: folder / f"song.{suffix}" for suffix in FORMATS}


def test_threads_and_batches_change_nothing() -> None:
    audio = np.stack([changing(75.0)[i * 15 * RATE :][: 15 * RATE] for i in range(5)])
    audio = audio.astype(np.float32)
    one = OnnxBackend(find_model("template"), threads=1)
    two = OnnxBackend(find_model("template"), threads=2)
    expected = one.run(audio)
    assert np.array_equal(two.run(audio), expected)
    assert np.array_equal(np.concatenate([one.run(audio[:2]), two.run(audio[2:])]), expected)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch_size_changes_nothing(batch_size: int) -> None:
    audio = changing(50.0)
    expected = KeyEstimator("template", threads=1)(audio, RATE)
    found = KeyEstimator("template", threads=2, batch_size=batch_size)(audio, RATE)
    assert found.probabilities == expected.probabilities


def test_spread() -> None:
    assert spread(100.0, 4, 10.0) == (7.5, 32.5, 57.5, 82.5)
    assert spread(40.0, 4, 10.0) == ()
    assert spread(0.0, 4, 10.0) == ()


@pytest.mark.parametrize("suffix", FORMATS)
def test_excerpts_are_what_is_there(songs: dict[str, Path], suffix: str) -> None:
    found = read_excerpts(songs[suffix], 4, 5.0)
    assert found is not None
    assert found.seconds == pytest.approx(200.0, abs=0.1)
    assert found.starts == spread(found.seconds, 4, 5.0)
    whole = load_audio(songs[suffix], RATE).samples
    for start, part in zip(found.starts, found.parts, strict=True):
        assert len(part) == 5 * RATE
        early = RATE // 10
        first = round(start * RATE)
        near = whole[first - early : first + early + RATE]
        head = part[:RATE]
        likeness = np.correlate(near, head, "valid") / np.linalg.norm(head) ** 2
        assert likeness.max() == pytest.approx(1, abs=0.02)
        if suffix in ("wav", "flac", "mp3"):
            assert likeness.argmax() == early


@pytest.mark.parametrize("suffix", FORMATS)
def test_fast_hears_a_few_segments_of_the_whole(songs: dict[str, Path], suffix: str) -> None:
    estimate = KeyEstimator("template", threads=1, fast=True)(songs[suffix])
    assert estimate.key == Key.parse("F# minor")
    assert estimate.duration == pytest.approx(200.0, abs=0.1)
    assert len(estimate.segments) == round(FAST_SECONDS / 15)
    assert all(s.end - s.start == pytest.approx(15, abs=0.01) for s in estimate.segments)
    assert estimate.segments[0].start < 40
    assert estimate.segments[-1].end > 160
    assert estimate.warnings == ()


def test_fast_from_a_file_and_from_samples(songs: dict[str, Path]) -> None:
    samples, _ = soundfile.read(songs["wav"], dtype="float32")
    fast = KeyEstimator("template", threads=1, fast=True)
    from_file, from_samples = fast(songs["wav"]), fast(samples, RATE)
    assert from_file.key == from_samples.key
    assert len(from_samples.segments) == round(FAST_SECONDS / 15)
    for a, b in zip(from_file.segments, from_samples.segments, strict=True):
        assert a.start == pytest.approx(b.start, abs=1e-3)
        assert np.abs(a.probabilities - b.probabilities).max() < 1e-5


def test_fast_says_how_sure_it_is_of_the_whole() -> None:
    parts = [cadence(Key.parse(k), seconds=40.0, seed=1) for k in ("D major", "Ab major")]
    fast = KeyEstimator("template", threads=1, fast=True)
    (told,) = fast(np.concatenate(parts * 4), RATE).warnings
    sure = re.search(r"s of 320 s: the whole gives the same answer .* (\d+)%$", told)
    assert sure is not None
    assert 40 <= int(sure[1]) < 90
    assert not fast(np.concatenate(parts[:1] * 8), RATE).warnings


def test_fast_corrects_the_pitch() -> None:
    """Played 40 cents too high: the same segments, the same key, the deviation told."""
    higher = 2 ** (40 / 1200)
    plain = KeyEstimator("template", threads=1, fast=True)
    level, high = plain(changing(), RATE), plain(changing(), round(RATE * higher))
    assert high.key == level.key == Key.parse("F# minor")
    assert high.tuning is not None
    assert level.tuning is not None
    assert high.tuning - level.tuning == pytest.approx(40, abs=3)
    assert [s.end - s.start for s in high.segments] == pytest.approx([15 / higher] * 5, abs=0.01)


def test_fast_hears_all_of_a_short_file(tmp_path: Path) -> None:
    short = music(tmp_path / "short.wav", "D major", seconds=40.0)
    usual, fast = (
        KeyEstimator("template", threads=1)(short),
        KeyEstimator("template", threads=1, fast=True)(short),
    )
    assert fast.probabilities == usual.probabilities
    assert len(fast.segments) == len(usual.segments) == 3


def test_fast_hears_all_of_a_cut_file(songs: dict[str, Path], tmp_path: Path) -> None:
    """Its header promises more than there is: as without fast, warning included."""
    cut = tmp_path / "cut.flac"
    cut.write_bytes(songs["flac"].read_bytes()[: songs["flac"].stat().st_size // 2])
    usual, fast = (
        KeyEstimator("template", threads=1)(cut),
        KeyEstimator("template", threads=1, fast=True)(cut),
    )
    assert fast.probabilities == usual.probabilities
    assert fast.warnings == usual.warnings
    assert "truncated" in fast.warnings[0]


def test_fast_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fast"):
        KeyEstimator("template", fast=True, overlap=0.5)
    with pytest.raises(ValueError, match="fast"):
        KeyEstimator("template", fast=True, published_segments=True)
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"no music here" * 100)
    with pytest.raises(UnreadableError):
        KeyEstimator("template", fast=True)(bad)


def test_silence_has_no_key_in_fast_mode() -> None:
    estimate = KeyEstimator("template", threads=1, fast=True)(
        np.zeros(200 * RATE, np.float32), RATE
    )
    assert estimate.key is None
    assert estimate.duration == pytest.approx(200.0)
    assert "silence" in estimate.warnings


def test_files_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the files, with the bad ones, as one after the other."""
    for number, key in enumerate(("C major", "E minor", "Ab major", "B minor", "D minor")):
        music(tmp_path / f"{number}.wav", key, seconds=4.0 + number)
    (tmp_path / "2b.wav").write_bytes(b"no music")
    assert call("predict", tmp_path, "--format", "jsonl") == 1
    expected = capsys.readouterr()
    assert call("predict", tmp_path, "--format", "jsonl", "--jobs", "3") == 1
    found = capsys.readouterr()
    assert found == expected
    assert found.out.count("\n") == 6


def test_the_fast_option(songs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("predict", songs["wav"], "--fast", "--format", "json") == 0
    heard = round(FAST_SECONDS / KeyEstimator().segment_seconds)
    assert f'"segments": {heard}' in capsys.readouterr().out
    assert call("predict", songs["wav"], "--fast", "--overlap", "0.5") == 2
    assert "fast chooses its own segments" in capsys.readouterr().err


LONG = """
import numpy as np
from pathlib import Path
from stonekey import KeyEstimator
from stonekey.estimate.source import whole

estimator = KeyEstimator("template", threads=2)
rng = np.random.default_rng(0)
block = (0.1 * rng.standard_normal(1 << 18)).astype(np.float32)
blocks = (block for _ in range(3600 * 22050 // len(block)))
estimate = estimator.answer(whole(blocks, estimator.settings, 22050, estimator.segment_seconds))
assert 239 <= len(estimate.segments) <= 240, len(estimate.segments)
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.slow
def test_an_hour_needs_bounded_memory() -> None:
    """An hour is 318 MB of samples."""
    done = subprocess.run(
        [sys.executable, "-c", LONG], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300
