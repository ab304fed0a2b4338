"""Sounds that soundfonts lack: an 808's bass, saw-tooth synthesisers, voices that sing or rap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from stonekey.data.render.tune import Note, Part

_TABLE = 4096
_RELEASE = 0.05  # seconds
_DETUNED = (-0.08, 0.0, 0.07)  # semitones between the oscillators of a thick saw
# Hz of the first three formants of a, e, i, o, u (Peterson and Barney 1952, men), and their gains.
_VOWELS = (
    (730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240),
)  # fmt: skip
_FORMANT_GAINS = (1.0, 0.5, 0.25)


def render_part(
    part: Part, cents: float, seconds: float, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """The part's notes, ``cents`` sharp, as (samples,) float32; its loudness means nothing yet."""
    audio = np.zeros(round((seconds + 2) * sample_rate), np.float32)
    play = SYNTHS[str(part.sound)]
    character = rng.random(4)
    for note in part.notes:
        start = round(note.at * sample_rate)
        tuned = replace(note, pitch=note.pitch + cents / 100)
        wave = play(tuned, sample_rate, character, rng) * np.float32(note.velocity / 100)
        room = audio[start : start + len(wave)]
        room += wave[: len(room)]
    return audio[: round(seconds * sample_rate)]


def _phase(pitch: np.ndarray, sample_rate: int) -> np.ndarray:
    """Cycles since the beginning."""
    return np.cumsum(440.0 / sample_rate * 2 ** ((pitch - 69) / 12))


def _times(note: Note, sample_rate: int) -> np.ndarray:
    return np.arange(round((note.seconds + _RELEASE) * sample_rate)) / sample_rate


def _shape(note: Note, t: np.ndarray, attack: float) -> np.ndarray:
    return np.minimum(1, t / attack) * np.clip((note.seconds + _RELEASE - t) / _RELEASE, 0, 1)


def _read(table: np.ndarray, phase: np.ndarray) -> np.ndarray:
    found: np.ndarray = table[(phase * _TABLE).astype(np.int64) % _TABLE]
    return found


@lru_cache(maxsize=512)
def _table(kind: str, harmonics: int, fundamental: int) -> np.ndarray:
    """One period; of a voice's vowel the formants depend on the fundamental (in Hz)."""
    numbers = np.arange(1, harmonics + 1)
    if kind == "saw":
        strengths = 1 / numbers
    elif kind == "square":
        strengths = (numbers % 2) / numbers
    else:
        formants = _VOWELS[int(kind)]
        hertz = numbers * fundamental
        strengths = np.full(harmonics, 0.02)
        for gain, formant in zip(_FORMANT_GAINS, formants, strict=True):
            strengths += gain / (1 + ((hertz - formant) / (60 + 0.06 * formant)) ** 2)
        strengths = strengths / numbers**0.5
    angles = np.arange(_TABLE) * (2 * np.pi / _TABLE)
    wave = (
        strengths[:, None] * np.sin(numbers[:, None] * angles + 0.7 * numbers[:, None] ** 2)
    ).sum(0)
    return np.asarray(wave / np.sqrt((strengths**2).sum()), np.float32)


def _harmonics(pitch: float, sample_rate: int, most: int) -> int:
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    return max(1, min(most, int(0.45 * sample_rate / hertz)))


def _bass808(
    note: Note, sample_rate: int, character: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A sine that falls to its pitch, driven until it growls, and rings."""
    t = _times(note, sample_rate)
    pitch = note.pitch + note.bend(t) + 10 * np.exp(-t / 0.012)
    sine = np.sin(2 * np.pi * _phase(pitch, sample_rate))
    ring = np.exp(-t / (0.35 + 1.4 * character[0]))
    drive = 0.5 + 6 * character[1] ** 2
    wave = np.tanh(drive * ring * sine) / np.tanh(drive)
    return np.asarray(wave * _shape(note, t, 0.004), np.float32)


def _oscillators(kind: str, bright: float, attack: float, thick: bool) -> Callable[..., np.ndarray]:
    def play(
        note: Note, sample_rate: int, character: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        t = _times(note, sample_rate)
        table = _table(
            kind, _harmonics(note.pitch, sample_rate, int(bright * (6 + 30 * character[0]))), 0
        )
        wave = np.zeros(len(t), np.float32)
        pitch = note.pitch + note.bend(t)
        for detuning in _DETUNED if thick else _DETUNED[1:2]:
            phase = _phase(pitch + detuning * (0.5 + character[1]), sample_rate) + rng.random()
            wave += _read(table, phase)
        decay = 0.4 + 0.6 * np.exp(-t / (0.15 + 2 * character[2]))
        return np.asarray(wave * decay * _shape(note, t, attack), np.float32)

    return play


def _voice(
    note: Note, sample_rate: int, character: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A vowel for each note, at times with breath or a consonant before it."""
    t = _times(note, sample_rate)
    pitch = (
        note.pitch
        + note.bend(t)
        + 0.15 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * t + rng.random()))
    )
    hertz = round(440 * 2 ** ((note.pitch - 69) / 12))
    vowel = str(int(rng.integers(len(_VOWELS))))
    table = _table(vowel, _harmonics(note.pitch, sample_rate, 40), hertz)
    wave = _read(table, _phase(pitch, sample_rate)) * _shape(note, t, 0.03 + 0.04 * character[0])
    breath = rng.standard_normal(len(t)) * (0.03 + 0.05 * character[1])
    if rng.random() < 0.5:
        breath *= 1 + 8 * np.exp(-t / 0.03)
    breath *= np.clip((note.seconds + _RELEASE - t) / _RELEASE, 0, 1)
    return np.asarray(wave + np.diff(breath, prepend=0.0), np.float32)


SYNTHS: dict[str, Callable[..., np.ndarray]] = {
    "808": _bass808,
    "saw lead": _oscillators("saw", 1.0, 0.01, False),
    "saw pad": _oscillators("saw", 0.5, 0.25, True),
    "supersaw": _oscillators("saw", 1.0, 0.01, True),
    "saw bass": _oscillators("saw", 0.6, 0.005, False),
    "square lead": _oscillators("square", 0.7, 0.01, False),
    "voice": _voice,
}
