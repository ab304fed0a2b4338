"""Synthesise music in a known key: for the demo, for calibration and for tests.

Music is written in semitones above the tonic, and every choice comes from the seed alone. So the
same seed in another key of the same mode gives the same music, transposed. To keep every key in
the same register, C# to F# are transposed up from C, and G to B down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from stonekey.files import write_atomically
from stonekey.keys import Key
from stonekey.options import one_of

# Semitones above the tonic, root first.
_CHORDS: dict[str, tuple[int, ...]] = {
    "I": (0, 4, 7), "ii": (2, 5, 9), "iii": (4, 7, 11), "IV": (5, 9, 0), "V": (7, 11, 2),
    "V7": (7, 11, 2, 5), "vi": (9, 0, 4), "i": (0, 3, 7), "III": (3, 7, 10), "iv": (5, 8, 0),
    "v": (7, 10, 2), "VI": (8, 0, 3), "VII": (10, 2, 5),
    "bII": (1, 5, 8), "II": (2, 6, 9), "bIII": (3, 7, 10), "bVI": (8, 0, 3), "bVII": (10, 2, 5),
}  # fmt: skip
# Four bars each. Cadences leave no doubt about the key; loops are what songs are made of.
_CADENCES: dict[str, tuple[str, ...]] = {
    "major": ("I IV V I", "I ii V7 I", "I vi V I"),
    "minor": ("i iv V i", "i VI VII i", "i iv V7 i"),
}
_LOOPS: dict[str, tuple[str, ...]] = {
    "major": ("I V vi IV", "I vi IV V", "I IV I V", "I iii IV V", "I ii IV I"),
    "minor": ("i VI iv V", "i VII VI V", "i iv VII i", "i v VI i", "i VI III V"),
}
# Chords borrowed from other modes of the same tonic, as in much popular and film music.
_BORROWING: dict[str, tuple[str, ...]] = {
    "major": ("I bVII IV I", "I v IV I", "I bVII I IV", "I IV iv I", "I bVI bVII I", "I bIII IV I",
              "I II IV I"),
    "minor": ("i IV i VII", "i IV VII i", "i v IV i", "i bII i v", "i ii v i", "i IV VI V"),
}  # fmt: skip
# Little more than the tonic chord.
_VAMPS: dict[str, tuple[str, ...]] = {
    "major": ("I I I I", "I IV I IV", "I I IV I", "I ii I IV", "I vi I IV"),
    "minor": ("i i i i", "i iv i iv", "i VI i VI", "i VII i VII", "i v i iv"),
}
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_PENTATONIC = {"major": (0, 2, 4, 7, 9), "minor": (0, 3, 5, 7, 10)}
# A note outside the scale -> the degree of the scale that it replaces.
_DISPLACED = {
    "major": {1: 2, 3: 4, 6: 5, 8: 9, 10: 11},
    "minor": {1: 2, 4: 3, 6: 5, 9: 8, 11: 10},
}
# Over a chord with the leading note, minor melodies use both raised degrees.
_MELODIC_MINOR = (0, 2, 3, 5, 7, 9, 11)

_RELEASE = 0.06  # seconds for which a note fades after its end
_TABLE = 1 << 14  # samples in a wave table


@dataclass(frozen=True)
class _Voice:
    """An instrument: strengths of its harmonics and its envelope, times in seconds."""

    harmonics: tuple[float, ...]
    attack: float
    decay: float
    sustain: float  # level at the end of the decay
    darkening: float  # extra decay time of all harmonics but the fundamental
    chorus: float = 0.0  # cents between two detuned copies


_VOICES = {
    "piano": _Voice((1, 0.5, 0.3, 0.17, 0.1, 0.06, 0.03), 0.004, 0.7, 0.0, 0.6),
    "organ": _Voice((1, 0.7, 0.25, 0.4, 0.08, 0.12, 0.04, 0.1), 0.015, 9.0, 0.9, np.inf),
    "strings": _Voice((1, 0.6, 0.45, 0.3, 0.22, 0.16, 0.1, 0.07), 0.09, 9.0, 0.8, np.inf, 7.0),
    "guitar": _Voice((1, 0.75, 0.45, 0.3, 0.25, 0.12, 0.1, 0.08, 0.05), 0.002, 0.45, 0.0, 0.3),
    "synth": _Voice(tuple(1 / n for n in range(1, 17)), 0.01, 0.8, 0.5, 0.5, 9.0),
    "flute": _Voice((1, 0.25, 0.12, 0.04), 0.05, 9.0, 0.85, np.inf),
}
TIMBRES = tuple(_VOICES)


@lru_cache(maxsize=256)
def _tables(timbre: str, harmonics: int) -> tuple[np.ndarray, np.ndarray]:
    """One period of the fundamental and of the other harmonics, float32 (_TABLE,) each."""
    strengths = np.array(_VOICES[timbre].harmonics[:harmonics])
    numbers = np.arange(1, len(strengths) + 1)[:, None]
    phases = np.arange(_TABLE) * (2 * np.pi / _TABLE)
    # Quadratic phases keep the harmonics from adding up to a spike.
    waves = strengths[:, None] * np.sin(numbers * phases + numbers**2)
    scale = 1 / np.sqrt((strengths**2).sum())
    fundamental, rest = scale * waves[0], scale * waves[1:].sum(axis=0)
    return fundamental.astype(np.float32), rest.astype(np.float32)


def _note(pitch: float, seconds: float, timbre: str, sample_rate: int) -> np.ndarray:
    """One note, float32; ``pitch`` in MIDI numbers (69 is A at 440 Hz)."""
    voice = _VOICES[timbre]
    t = np.arange(round((seconds + _RELEASE) * sample_rate)) / sample_rate
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    fundamental, rest = _tables(timbre, max(1, int(0.45 * sample_rate / frequency)))
    wave = np.zeros(len(t), dtype=np.float32)
    dark = np.exp(-t / voice.darkening).astype(np.float32)
    detunings = (-voice.chorus / 2, voice.chorus / 2) if voice.chorus else (0.0,)
    for detuning in detunings:
        step = frequency * 2 ** (detuning / 1200) * _TABLE
        index = (t * step).astype(np.int64) & (_TABLE - 1)
        wave += fundamental[index] + dark * rest[index]
    envelope = voice.sustain + (1 - voice.sustain) * np.exp(-t / voice.decay)
    envelope *= np.minimum(1, t / voice.attack)
    envelope *= np.clip((seconds + _RELEASE - t) / _RELEASE, 0, 1)
    return (wave * envelope.astype(np.float32)) / np.float32(len(detunings))


class _Score:
    """Audio that notes are added to; equal notes are synthesised once."""

    def __init__(self, seconds: float, sample_rate: int, shift: float) -> None:
        if not seconds > 0 or not sample_rate > 0:
            raise ValueError("seconds and sample_rate must be positive")
        self.audio = np.zeros(round(seconds * sample_rate), dtype=np.float32)
        self.sample_rate = sample_rate
        self.shift = shift
        self._notes: dict[tuple[int, float, str], np.ndarray] = {}

    def add(self, pitch: int, at: float, seconds: float, timbre: str, gain: float) -> None:
        """Add a note; ``pitch`` is a MIDI number as if the tonic were C."""
        note = (pitch, round(seconds, 6), timbre)
        if note not in self._notes:
            self._notes[note] = _note(pitch + self.shift, seconds, timbre, self.sample_rate)
        self.add_wave(self._notes[note], at, gain)

    def add_wave(self, wave: np.ndarray, at: float, gain: float) -> None:
        """Add audio, cut off at the end of the score."""
        start = round(at * self.sample_rate)
        part = self.audio[start : start + len(wave)]
        part += np.float32(gain) * wave[: len(part)]

    def finished(self) -> np.ndarray:
        """The audio, scaled to a peak of 0.8, with its last 50 ms faded out."""
        fade = min(len(self.audio), round(0.05 * self.sample_rate))
        self.audio[len(self.audio) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        peak = np.abs(self.audio).max(initial=0.0)
        return self.audio * np.float32(0.8 / peak) if peak > 0 else self.audio


@dataclass(frozen=True)
class _Phrase:
    """Four bars of chords and how to play them.

    ``timbres`` are those of bass, harmony and melody; ``beats`` and ``notes`` count chords and
    melody notes in a bar. ``scale`` replaces the melody's scale, ``fifths`` leaves the thirds out
    of the chords, ``pedal`` keeps the bass on the tonic.
    """

    progression: str
    timbres: tuple[str, ...]
    beats: int
    arpeggio: bool
    notes: int
    scale: tuple[int, ...] | None = None
    fifths: bool = False
    pedal: bool = False


def _draw_phrase(
    rng: np.random.Generator, progressions: tuple[str, ...], timbres: tuple[str, ...]
) -> _Phrase:
    progression = progressions[int(rng.integers(len(progressions)))]
    beats, notes = int(rng.choice([1, 2, 4, 8])), int(rng.choice([2, 4, 8]))
    arpeggio = beats >= 4 and bool(rng.integers(2))
    return _Phrase(progression, timbres, beats, arpeggio, notes)


def _shift(key: Key, cents: float, transposed: int) -> float:
    """Semitones up from the music in C, -5 to 6 before ``cents`` and ``transposed``."""
    return (key.tonic + 5) % 12 - 5 + transposed + cents / 100


def _melody(
    rng: np.random.Generator, chord: tuple[int, ...], scale: tuple[int, ...], last: int, notes: int
) -> list[int]:
    """Pitches that walk the scale from ``last``, with a chord note at every other step."""
    pitches = []
    for step in range(notes):
        usable = chord if step % 2 == 0 else scale
        near = [p for p in range(67, 85) if p % 12 in usable and 0 < abs(p - last) <= 5]
        last = int(rng.choice(near))
        pitches.append(last)
    return pitches


def _notes(
    rng: np.random.Generator, mode: str, at: float, bar: float, phrase: _Phrase
) -> Iterator[tuple[int, float, float, str, float]]:
    """Bass, chords and melody as arguments of `_Score.add`.

    Over a final tonic chord, the melody ends on the tonic.
    """
    bass, harmony, melody = phrase.timbres
    chords = [_CHORDS[name] for name in phrase.progression.split()]
    last = 72
    for number, chord in enumerate(chords):
        start = at + number * bar
        scale = phrase.scale or _SCALES[mode]
        if mode == "minor" and 11 in chord:
            scale = _MELODIC_MINOR
        root = 0 if phrase.pedal else chord[0]
        yield 36 + root, start, bar, bass, 0.5
        yield 48 + root, start, bar, bass, 0.3
        played = (chord[0], chord[2]) if phrase.fifths else chord
        voicing = sorted((tone - 7) % 12 + 55 for tone in played)  # closed, around middle C
        beat = bar / phrase.beats
        for i in range(phrase.beats):
            for pitch in [voicing[i % len(voicing)]] if phrase.arpeggio else voicing:
                yield pitch, start + i * beat, beat, harmony, 0.3
        notes = _melody(rng, chord, scale, last, phrase.notes)
        if number == len(chords) - 1 and chord[0] == 0:
            notes = [*notes[: phrase.notes // 2], 72]
        length = bar / phrase.notes
        for i, pitch in enumerate(notes):
            held = bar - i * length if i == len(notes) - 1 else length
            yield pitch, start + i * length, held, melody, 0.3
        last = notes[-1]


def _add_drums(score: _Score, rng: np.random.Generator, at: float, bar: float) -> None:
    """Add four bars of kick, snare and hat, which have no key and so are never transposed."""
    t = np.arange(round(0.18 * score.sample_rate)) / score.sample_rate
    noise = rng.standard_normal((2, len(t)))
    kick = np.sin(2 * np.pi * (45 * t + 3 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.05)
    snare = 0.5 * noise[0] * np.exp(-t / 0.04)
    hat = 0.3 * np.diff(noise[1], prepend=0.0) * np.exp(-t / 0.012)
    beat = bar / 4
    for i in range(16):
        start = at + i * beat
        score.add_wave((kick if i % 2 == 0 else snare).astype(np.float32), start, 0.6)
        for half in (0.0, 0.5):
            score.add_wave(hat.astype(np.float32), start + half * beat, 0.6)


def cadence(
    key: Key,
    sample_rate: int = 22050,
    seconds: float = 16.0,
    timbre: str = "piano",
    seed: int = 0,
    cents: float = 0.0,
    transposed: int = 0,
) -> np.ndarray:
    """Plain cadences (I-IV-V-I, i-iv-V-i and the like) that leave no doubt about the key.

    Args:
        key: key of the music.
        sample_rate: in Hz.
        seconds: length; the tempo adapts, so that the music ends on the tonic.
        timbre: one of `TIMBRES`.
        seed: chooses the rhythm, the melody, and the cadences after the first.
        cents: tuning above A = 440 Hz.
        transposed: semitones to move the music up from ``key``, out of its register.

    Returns:
        Mono float32 (round(seconds * sample_rate),) with a peak of 0.8.

    Raises:
        ValueError: an unknown timbre, or a length or rate that is not positive.
    """
    one_of("timbre", timbre, TIMBRES)
    rng = np.random.default_rng(seed)
    score = _Score(seconds, sample_rate, _shift(key, cents, transposed))
    phrases = max(1, round(seconds / 7))
    bar = seconds / (4 * phrases)
    for number in range(phrases):
        progression = _CADENCES[key.mode][int(rng.integers(3)) if number else 0]
        notes, beats = int(rng.choice([4, 8])), int(rng.choice([1, 2, 4]))
        phrase = _Phrase(progression, (timbre,) * 3, beats, False, notes)
        for note in _notes(rng, key.mode, 4 * number * bar, bar, phrase):
            score.add(*note)
    return score.finished()


def piece(
    key: Key,
    seconds: float = 40.0,
    seed: int = 0,
    sample_rate: int = 22050,
    drums: bool | None = None,
    cents: float = 0.0,
    transposed: int = 0,
) -> np.ndarray:
    """A varied piece: cadences and song loops in turn, with random timbres, tempo and patterns.

    Args:
        key: key of the whole piece.
        seconds: length; the music stops there, even in the middle of a phrase.
        seed: chooses everything but the key.
        drums: with or without percussion; None lets the seed decide.
        sample_rate, cents, transposed: see `cadence`, also for what is returned and raised.
    """
    rng = np.random.default_rng(seed)
    score = _Score(seconds, sample_rate, _shift(key, cents, transposed))
    timbres = tuple(str(timbre) for timbre in rng.choice(TIMBRES, 3))
    bar = float(rng.uniform(1.4, 2.4))
    tossed = bool(rng.random() < 0.5)  # always drawn, so that `drums` changes nothing else
    drummer = np.random.default_rng([seed, 1])
    for number in range(int(np.ceil(seconds / (4 * bar)))):
        progressions = (_LOOPS if number % 2 else _CADENCES)[key.mode]
        phrase = _draw_phrase(rng, progressions, timbres)
        at = 4 * number * bar
        for note in _notes(rng, key.mode, at, bar, phrase):
            score.add(*note)
        if tossed if drums is None else drums:
            _add_drums(score, drummer, at, bar)
    return score.finished()


@dataclass(frozen=True)
class Note:
    """A note of `write_phrases`: part, MIDI pitch and velocity, start and length in seconds."""

    part: str
    pitch: int
    at: float
    seconds: float
    velocity: int


def _coloured(mode: str, progression: str) -> tuple[int, ...]:
    """The scale with the notes that a progression borrows, in place of those they replace."""
    notes = {tone for name in progression.split() for tone in _CHORDS[name]}
    scale = set(_SCALES[mode])
    borrowed = notes - scale
    return tuple(sorted(scale - {_DISPLACED[mode][tone] for tone in borrowed} | borrowed))


def write_phrases(
    key: Key, rng: np.random.Generator, at: float, bar: float, borrowing: float = 0.0
) -> list[Note]:
    """Four bars of `piece` as notes for the parts "bass", "harmony" and "melody".

    Args:
        key: key of the phrase.
        rng: chooses the progression and how to play it.
        at: start of the phrase in seconds.
        bar: length of a bar in seconds.
        borrowing: share of phrases with chords from other modes of the tonic (C mixolydian or C
            minor in C major; A dorian or A phrygian in A minor). Half as many again dwell on the
            tonic chord. Above 0, some phrases also get a pentatonic melody, chords without thirds
            or a bass that stays on the tonic.
    """
    progressions = (_LOOPS if rng.random() < 0.5 else _CADENCES)[key.mode]
    if borrowing > 0:
        tossed = rng.random() / borrowing
        if tossed < 1:
            progressions = _BORROWING[key.mode]
        elif tossed < 1.5:
            progressions = _VAMPS[key.mode]
    phrase = _draw_phrase(rng, progressions, ("bass", "harmony", "melody"))
    if borrowing > 0:
        pentatonic, fifths, pedal = rng.random(3) < (0.25, 0.15, 0.25)
        scale = _PENTATONIC[key.mode] if pentatonic else _coloured(key.mode, phrase.progression)
        phrase = replace(phrase, scale=scale, fifths=bool(fifths), pedal=bool(pedal))
    shift = round(_shift(key, 0.0, 0))
    return [
        Note(part, pitch + shift, start, seconds, round(64 + 80 * gain))
        for pitch, start, seconds, part, gain in _notes(rng, key.mode, at, bar, phrase)
    ]


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int = 22050) -> None:
    """Write mono float samples (n,) as 16-bit WAV; an old file stays until this is complete."""
    _write(path, samples, sample_rate, format="WAV", subtype="PCM_16")


def write_vorbis(path: str | Path, samples: np.ndarray, sample_rate: int = 22050) -> None:
    """Write mono float samples (n,) as Ogg Vorbis; an old file stays until this is complete."""
    _write(path, samples, sample_rate, format="OGG", subtype="VORBIS")


def _write(path: str | Path, samples: np.ndarray, rate: int, **kind: str) -> None:
    import soundfile

    def write(temporary: Path) -> None:
        with soundfile.SoundFile(temporary, "w", rate, 1, **kind) as file:
            for start in range(0, len(samples), rate):  # longer blocks overflow Vorbis's stack
                file.write(samples[start : start + rate])

    write_atomically(Path(path), write)
