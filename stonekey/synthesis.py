"""Synthesise music of known key: for the demo, for calibration and for tests.

Chords and melodies are written as scale degrees, so the same seed in another key gives the
same music transposed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stonekey.keys import Key

TIMBRES = ("piano", "organ", "strings")
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)
# Progressions as (degree of the root, quality) with degrees counted in semitones.
_CADENCES: dict[str, tuple[tuple[tuple[int, str], ...], ...]] = {
    "major": (
        ((0, "maj"), (5, "maj"), (7, "maj"), (0, "maj")),
        ((0, "maj"), (9, "min"), (5, "maj"), (7, "maj")),
        ((0, "maj"), (2, "min"), (7, "maj"), (0, "maj")),
    ),
    "minor": (
        ((0, "min"), (5, "min"), (7, "maj"), (0, "min")),
        ((0, "min"), (8, "maj"), (10, "maj"), (0, "min")),
        ((0, "min"), (5, "min"), (7, "min"), (0, "min")),
    ),
}
_CHORDS = {"maj": (0, 4, 7), "min": (0, 3, 7)}
# Relative strength of the harmonics, attack and decay times in seconds, loudness at the end.
_VOICES: dict[str, tuple[tuple[float, ...], float, float, float]] = {
    "piano": ((1.0, 0.5, 0.3, 0.15, 0.1, 0.05), 0.005, 0.6, 0.0),
    "organ": ((1.0, 0.6, 0.3, 0.4, 0.1, 0.15, 0.05, 0.1), 0.02, 9.0, 0.8),
    "strings": ((1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08), 0.12, 9.0, 0.7),
}


def _note(pitch: float, seconds: float, timbre: str, sample_rate: int) -> np.ndarray:
    """One note; ``pitch`` in MIDI numbers (69 is A at 440 Hz)."""
    harmonics, attack, decay, sustain = _VOICES[timbre]
    t = np.arange(round(seconds * sample_rate), dtype=np.float32) / np.float32(sample_rate)
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    wave = np.zeros_like(t)
    for number, strength in enumerate(harmonics, start=1):
        if number * frequency < 0.45 * sample_rate:
            # Phases differ so that harmonics do not add up to a spike.
            wave += np.float32(strength) * np.sin(
                (2 * np.pi * number * frequency * t.astype(np.float64)) + number**2
            ).astype(np.float32)
    envelope = sustain + (1 - sustain) * np.exp(-t / decay)
    envelope *= np.minimum(1, t / attack) * np.minimum(1, (seconds - t) / 0.03)
    return np.asarray(wave * envelope, dtype=np.float32)


class _Score:
    """A buffer of audio to which notes are added."""

    def __init__(self, seconds: float, sample_rate: int, shift: float) -> None:
        self.audio = np.zeros(round(seconds * sample_rate), dtype=np.float32)
        self.sample_rate = sample_rate
        self.shift = shift  # semitones

    def add(self, degree: float, at: float, seconds: float, timbre: str, gain: float) -> None:
        """Add a note; ``degree`` in MIDI numbers as if the tonic were C."""
        wave = _note(degree + self.shift, seconds, timbre, self.sample_rate)
        self.add_wave(wave, at, gain)

    def add_wave(self, wave: np.ndarray, at: float, gain: float) -> None:
        start = round(at * self.sample_rate)
        part = self.audio[start : start + len(wave)]
        part += np.float32(gain) * wave[: len(part)]

    def finished(self) -> np.ndarray:
        peak = np.abs(self.audio).max(initial=0.0)
        return self.audio * np.float32(0.8 / peak) if peak > 0 else self.audio


def _shift(key: Key, cents: float) -> float:
    """Semitones from C: the nearer way round, so that the register stays."""
    return (key.tonic + 5) % 12 - 5 + cents / 100


def _add_bar(
    score: _Score,
    rng: np.random.Generator,
    chord: tuple[int, str],
    scale: tuple[int, ...],
    at: float,
    bar: float,
    voices: tuple[str, str, str],
) -> None:
    """One bar: bass, chord on its beats, melody of chord and scale notes."""
    root, quality = chord
    tones = [(root + third) % 12 for third in _CHORDS[quality]]
    bass, harmony, melody = voices
    score.add(36 + root, at, bar, bass, 0.5)
    score.add(48 + root, at, bar, bass, 0.3)
    beats = int(rng.choice([1, 2, 4]))
    for beat in range(beats):
        for tone in tones:
            score.add(60 + tone, at + beat * bar / beats, bar / beats, harmony, 0.3)
    steps = int(rng.choice([4, 8]))
    for step in range(steps):
        strong = step % 2 == 0
        # A raised seventh of the chord must not meet the scale's natural one.
        passing = [n for n in scale if (n + 1) % 12 not in tones or n in tones]
        tone = int(rng.choice(tones if strong else passing))
        score.add(72 + tone, at + step * bar / steps, bar / steps, melody, 0.25)


def cadence(
    key: Key,
    sample_rate: int = 22050,
    seconds: float = 15.0,
    timbre: str = "piano",
    seed: int = 0,
    cents: float = 0.0,
) -> np.ndarray:
    """A plain cadence (I-IV-V-I and its like), repeated, that leaves no doubt of the key.

    Args:
        key: key of the music.
        sample_rate: in Hz.
        seconds: length.
        timbre: one of `TIMBRES`.
        seed: chooses rhythm and melody.
        cents: deviation from A = 440 Hz.

    Returns:
        Mono float32 (round(seconds * sample_rate),) with a peak of 0.8.
    """
    if timbre not in TIMBRES:
        raise ValueError(f"timbre must be one of {', '.join(TIMBRES)}, got {timbre!r}")
    rng = np.random.default_rng(seed)
    score = _Score(seconds, sample_rate, _shift(key, cents))
    scale = _MAJOR if key.mode == "major" else _MINOR
    progression = _CADENCES[key.mode][0]
    bar = 1.5
    for number in range(int(np.ceil(seconds / bar))):
        chord = progression[number % len(progression)]
        _add_bar(score, rng, chord, scale, number * bar, bar, (timbre, timbre, timbre))
    return score.finished()


def piece(
    key: Key,
    seconds: float = 40.0,
    seed: int = 0,
    sample_rate: int = 22050,
    drums: bool | None = None,
    cents: float = 0.0,
) -> np.ndarray:
    """A varied piece: several progressions, random timbres and tempo, perhaps drums.

    Args:
        key: key of the music.
        seconds: length.
        seed: chooses everything but the key.
        sample_rate: in Hz.
        drums: with or without noise percussion; None leaves it to the seed.
        cents: deviation from A = 440 Hz.

    Returns:
        Mono float32 (round(seconds * sample_rate),) with a peak of 0.8.
    """
    rng = np.random.default_rng(seed)
    score = _Score(seconds, sample_rate, _shift(key, cents))
    scale = _MAJOR if key.mode == "major" else _MINOR
    voices = tuple(str(v) for v in rng.choice(TIMBRES, 3))
    bar = float(rng.uniform(1.2, 2.6))
    with_drums = bool(rng.random() < 0.5) if drums is None else drums
    at = 0.0
    while at < seconds:
        progression = _CADENCES[key.mode][int(rng.integers(3))]
        for chord in progression:
            _add_bar(score, rng, chord, scale, at, bar, (voices[0], voices[1], voices[2]))
            if with_drums:
                for beat in range(4):
                    hit = rng.standard_normal(sample_rate // 10).astype(np.float32)
                    hit *= np.exp(-np.arange(len(hit)) / (0.02 * sample_rate))
                    score.add_wave(hit, at + beat * bar / 4, 0.3)
            at += bar
    return score.finished()


def write_wav(path: Path, samples: np.ndarray, sample_rate: int = 22050) -> None:
    """Write mono float samples as a 16-bit WAV file, replacing the file when complete."""
    import soundfile

    from stonekey.checkpoint import write_atomically

    write_atomically(
        Path(path),
        lambda temporary: soundfile.write(
            temporary, samples, sample_rate, format="WAV", subtype="PCM_16"
        ),
    )
