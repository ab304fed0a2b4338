"""Sounds without a key."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stonekey.data.keyless import KINDS, keyless, write_keyless
from stonekey.data.manifest import read_manifest


def needs_speech(kind: str) -> None:
    if kind == "speech" and shutil.which("espeak-ng") is None:
        pytest.skip("speech needs espeak-ng, which is not installed")


@pytest.mark.parametrize("kind", KINDS)
def test_clips_repeat_and_differ(kind: str) -> None:
    needs_speech(kind)
    first, again, other = (keyless(kind, 3.0, seed) for seed in (1, 1, 2))
    assert first.shape == (66150,)
    assert first.dtype == np.float32
    assert np.abs(first).max() == pytest.approx(0.8, rel=1e-5)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match="kind must be"):
        keyless("music", 1.0, 0)


def test_files_of_all_kinds_are_kept(tmp_path: Path) -> None:
    needs_speech("speech")
    paths = write_keyless(tmp_path, 7, 1.0, seed=10)
    assert [p.name.split("_")[0] for p in paths] == [*KINDS, KINDS[0]]
    before = [p.stat().st_mtime_ns for p in paths]
    assert write_keyless(tmp_path, 7, 1.0, seed=10) == paths
    assert [p.stat().st_mtime_ns for p in paths] == before


def test_every_other_clip_is_a_short_one_repeated(tmp_path: Path) -> None:
    needs_speech("speech")
    paths = write_keyless(tmp_path, 7, 2.0, seed=3, shortest=0.5)
    whole, short = (soundfile.read(paths[i], dtype="float32")[0] for i in (0, 6))
    assert len(whole) == len(short) == 44100
    own = len(keyless("noise", 2.0 * 0.25 ** np.random.default_rng([9, 6]).random(), 9))
    assert 11025 <= own < 44100
    assert np.array_equal(short[own:], short[: 44100 - own])
    assert not np.array_equal(whole[own:], whole[: 44100 - own])


def test_bass_is_one_note() -> None:
    samples = keyless("bass", 4.0, 7)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    loudest = spectrum.argmax() / 4.0
    assert 35 < loudest < 180
    harmonic = np.abs(np.fft.rfftfreq(len(samples), 1 / 22050) / loudest % 1 - 0.5) > 0.4
    assert (spectrum[harmonic] ** 2).sum() > 0.9 * (spectrum**2).sum()


def test_manifests_tell_no_key_from_no_label(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    path.write_text("path,key\na.wav,No key\nb.wav,\nc.wav,A minor\n")
    tracks = read_manifest(path).tracks
    assert [t.keyless for t in tracks] == [True, False, False]
    assert [str(t.key) for t in tracks] == ["None", "None", "A minor"]
