"""Synthesised music is in its key, repeatable, and transposes exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stonekey.keys import Key
from stonekey.synthesis import TIMBRES, cadence, piece, write_phrases, write_wav

KEYS = [Key.from_index(i) for i in range(24)]
RATE = 22050
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}


def pitches(audio: np.ndarray, sample_rate: int = RATE) -> np.ndarray:
    """Energy near each of the MIDI pitches 24 to 95 over the whole piece."""
    spectrum = np.abs(np.fft.rfft(audio)) ** 2
    frequencies = np.fft.rfftfreq(len(audio), 1 / sample_rate)
    midi = np.round(69 + 12 * np.log2(np.maximum(frequencies, 1e-3) / 440)).astype(int)
    kept = (midi >= 24) & (midi < 96)
    return np.bincount(midi[kept] - 24, spectrum[kept], 72)


def chroma(audio: np.ndarray) -> np.ndarray:
    """Share of the energy in each pitch class, C first."""
    folded = pitches(audio).reshape(6, 12).sum(axis=0)
    return folded / folded.sum()


@pytest.mark.parametrize("timbre", TIMBRES)
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_cadence_is_in_its_key(mode: str, timbre: str) -> None:
    key = Key(0, mode)  # type: ignore[arg-type]
    for seed in range(3):
        energy = chroma(cadence(key, timbre=timbre, seed=seed))
        assert energy[list(SCALES[mode])].sum() > (0.95 if mode == "major" else 0.85)
        assert 0 in np.argsort(energy)[-2:]  # the tonic is among the two strongest
        third, other = (4, 3) if mode == "major" else (3, 4)
        assert energy[third] > 3 * energy[other]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_all_keys_differ_by_rotation(key: Key) -> None:
    home = chroma(cadence(Key(0, key.mode), seconds=8, seed=1))
    there = chroma(cadence(key, seconds=8, seed=1))
    np.testing.assert_allclose(there, np.roll(home, key.tonic), atol=0.03)


@pytest.mark.parametrize("music", [cadence, piece])
def test_a_semitone_up_is_the_same_music(music) -> None:  # type: ignore[no-untyped-def]
    """A semitone up, the energy of each pitch moves to the next one."""
    low = pitches(music(Key(2, "minor"), seconds=12, seed=3))
    high = pitches(music(Key(3, "minor"), seconds=12, seed=3))
    moved = pitches(music(Key(2, "minor"), seconds=12, seed=3, transposed=1))
    np.testing.assert_array_equal(moved, high)
    low, high = low / low.sum(), high / high.sum()
    np.testing.assert_allclose(high[1:], low[:-1], atol=0.01)
    assert np.abs(high - low).max() > 0.05


def test_transposed_goes_past_the_turn_of_register() -> None:
    """As keys, F# to G falls by nearly an octave; transposed, it rises by a semitone."""
    key = Key(6, "major")
    low, up = (pitches(cadence(key, seconds=8, transposed=n)) for n in (0, 1))
    down = pitches(cadence(key.transpose(1), seconds=8))
    low, up, down = low / low.sum(), up / up.sum(), down / down.sum()
    np.testing.assert_allclose(up[1:], low[:-1], atol=0.02)
    np.testing.assert_allclose(down[:-12], up[12:], atol=0.02)


@pytest.mark.parametrize("cents", [-30.0, 20.0])
def test_cents_detune(cents: float) -> None:
    """The mean frequency near A moves by as many cents."""

    def tuning(**settings: float) -> float:
        audio = cadence(Key(9, "major"), seconds=16, timbre="organ", **settings)  # type: ignore[arg-type]
        power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
        distance = 1200 * np.log2(np.maximum(np.fft.rfftfreq(len(audio), 1 / RATE), 1) / 440)
        near = np.abs(distance) < 70
        return float(np.average(distance[near], weights=power[near]))

    assert tuning() == pytest.approx(0, abs=3)
    assert tuning(cents=cents) == pytest.approx(cents, abs=4)


@pytest.mark.parametrize("music", [cadence, piece])
def test_seeded(music) -> None:  # type: ignore[no-untyped-def]
    key = Key(4, "minor")
    first = music(key, seconds=6, seed=1)
    np.testing.assert_array_equal(first, music(key, seconds=6, seed=1))
    assert np.abs(first - music(key, seconds=6, seed=2)).max() > 0.1


@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100])
@pytest.mark.parametrize("seconds", [0.3, 3.0, 16.0])
def test_shape_and_level(sample_rate: int, seconds: float) -> None:
    for audio in (
        cadence(Key(11, "minor"), sample_rate, seconds),
        piece(Key(11, "minor"), seconds, sample_rate=sample_rate, drums=True),
    ):
        assert audio.shape == (round(seconds * sample_rate),)
        assert audio.dtype == np.float32
        assert np.abs(audio).max() == pytest.approx(0.8, abs=1e-3)
        assert abs(audio[-1]) < 1e-6
        assert abs(audio.mean()) < 0.01


def test_music_sounds_throughout() -> None:
    for timbre in TIMBRES:
        audio = cadence(Key(7, "major"), timbre=timbre)
        level = np.sqrt((audio[: len(audio) // 32 * 32].reshape(32, -1) ** 2).mean(axis=1))
        assert level.min() > 0.01


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_pieces_stay_in_key(mode: str) -> None:
    seen = set()
    for seed in range(6):
        audio = piece(Key(5, mode), 30, seed, drums=False)  # type: ignore[arg-type]
        energy = np.roll(chroma(audio), -5)
        assert energy[list(SCALES[mode])].sum() > 0.85
        assert 0 in np.argsort(energy)[-3:]
        seen.add(tuple(np.round(energy, 2)))
    assert len(seen) == 6


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_phrases_borrow_from_other_modes(mode: str) -> None:
    key = Key(0, mode)  # type: ignore[arg-type]
    foreign = []
    for seed in range(60):
        notes = write_phrases(key, np.random.default_rng(seed), 0.0, 2.0, borrowing=1.0)
        heard = {n.pitch % 12 for n in notes}
        foreign.append(heard - set(SCALES[mode]))
        assert min(notes, key=lambda n: (n.at, n.pitch)).pitch % 12 == 0
    assert sum(map(bool, foreign)) > 50  # not if the thirds that show it are left out
    assert len(set.union(*foreign)) >= 3
    plain = [write_phrases(key, np.random.default_rng(s), 0.0, 2.0) for s in range(60)]
    leading = {9, 11} if mode == "minor" else set()
    assert all({n.pitch % 12 for n in p} <= set(SCALES[mode]) | leading for p in plain)


def test_drums_leave_the_music_as_it_is() -> None:
    bare, drummed = (piece(Key(0, "major"), 10, 4, drums=drums) for drums in (False, True))
    assert np.abs(bare - drummed).max() > 0.05
    tonal = [pitches(audio)[24:48] for audio in (bare, drummed)]
    assert np.corrcoef(tonal[0], tonal[1])[0, 1] > 0.98


def test_bad_arguments() -> None:
    key = Key(0, "major")
    with pytest.raises(ValueError, match="timbre must be one of piano, organ, strings"):
        cadence(key, timbre="kazoo")
    for bad in ({"seconds": 0}, {"seconds": -1}, {"sample_rate": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            cadence(key, **bad)


def test_write_wav(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    audio = cadence(Key(3, "major"), seconds=2)
    path = tmp_path / "cadence.wav"
    path.write_bytes(b"old")
    write_wav(path, audio, RATE)
    read, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(read, audio, atol=1 / 32000)
    assert [p.name for p in tmp_path.iterdir()] == ["cadence.wav"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "cadence.wav"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="dtype"):
        write_wav(path, np.array([object()]), RATE)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["cadence.wav"]
