"""Draw an arrangement of a score: an excerpt, its key and tempo, instruments, bass and drums."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pretty_midi import Instrument, Note, PrettyMIDI

# Programs of General MIDI, counted from 0.
KEYS = (0, 0, 0, 1, 2, 4, 4, 5, 6, 7, 11, 16, 17, 18, 19, 21)
GUITARS = (24, 24, 25, 25, 26, 27, 28, 29, 30, 46)
STRINGS = (40, 41, 42, 44, 45, 48, 48, 49, 50, 51)
WINDS = (56, 57, 60, 61, 62, 64, 65, 66, 68, 70, 71, 73, 74, 75, 79)
SYNTHS = (80, 81, 82, 84, 87, 88, 89, 90, 91, 94, 95)
VOICES = (52, 53, 54)
BASSES = (32, 33, 33, 34, 35, 36, 38, 39, 43)
CHORDS = (KEYS, GUITARS, STRINGS, SYNTHS)
MELODIES = (KEYS, GUITARS, STRINGS, WINDS, SYNTHS, VOICES)
# Seconds. A note whose on and off fall on one tick would sound for ever.
SHORTEST = 0.03
PADS = (48, 50, 52, 88, 89, 91, 94)

# Drum patterns over a bar of four beats: note (kick 36, snare 38, closed hat 42, open hat 46,
# ride 51, clap 39, shaker 70) -> beats on which it sounds.
_EIGHTHS = tuple(i / 2 for i in range(8))
_SIXTEENTHS = tuple(i / 4 for i in range(16))
_PATTERNS: tuple[dict[int, tuple[float, ...]], ...] = (
    {36: (0, 2), 38: (1, 3), 42: _EIGHTHS},
    {36: (0, 1.5, 2), 38: (1, 3), 42: _EIGHTHS, 46: (3.5,)},
    {36: (0, 1, 2, 3), 39: (1, 3), 46: (0.5, 1.5, 2.5, 3.5)},
    {36: (0, 2.5), 38: (1, 3), 42: _SIXTEENTHS},
    {36: (0, 0.75, 2.5), 39: (2,), 42: _SIXTEENTHS},
    {36: (0, 2), 51: (0, 1, 1.67, 2, 3, 3.67), 38: (1, 3)},
    {70: _EIGHTHS, 36: (0, 2)},
)


@dataclass(frozen=True)
class Arrangement:
    """What was drawn: the music, and by how many semitones its key moved (-6 to 5)."""

    music: PrettyMIDI
    transposed: int
    cents: float


def arrange(
    score: PrettyMIDI, rng: np.random.Generator, seconds: float, transpose: bool = True
) -> Arrangement:
    """Draw an arrangement of ``seconds`` (or less, where the score ends).

    Args:
        score: left as it is.
        rng: every choice comes from it.
        seconds: length of the excerpt.
        transpose: move the music to another key, all twelve equally likely.
    """
    import pretty_midi

    tempo = float(rng.uniform(0.85, 1.2))
    transposed = int(rng.integers(-6, 6)) if transpose else 0
    first, last = _bounds(score)
    # Pieces are clearest in their key at the beginning; half of the excerpts start there.
    latest = max(first, last - seconds * tempo)
    start = first if rng.random() < 0.5 else float(rng.uniform(first, latest))
    end = start + seconds * tempo

    parts = [
        part
        for part in (_excerpt(p, start, end, tempo) for p in score.instruments if not p.is_drum)
        if part.notes
    ]
    beats = score.get_beats()
    beats = (beats[(beats >= start - 1e-6) & (beats < end)] - start) / tempo
    _instrument(parts, rng)
    pitched = [note for part in parts for note in part.notes]
    if rng.random() < 0.5 and len(beats) > 1:
        parts.append(_bass_line(pitched, beats, rng))
    if rng.random() < 0.25:
        parts.append(_pad(pitched, rng))
    for part in parts:
        level = float(rng.uniform(0.55, 1.0))
        for note in part.notes:
            note.pitch = int(np.clip(note.pitch + transposed, 12, 115))
            note.velocity = int(np.clip(note.velocity * level, 20, 127))
    cents = draw_cents(rng)
    for part in parts:
        # The bend's range is two semitones each way, 8192 steps each.
        part.pitch_bends.append(pretty_midi.PitchBend(round(cents / 200 * 8192), 0.0))
    if rng.random() < 0.55 and len(beats) > 4:
        parts.append(_drums(beats, rng))

    music = pretty_midi.PrettyMIDI()
    music.instruments = parts
    return Arrangement(music, transposed, cents)


def draw_cents(rng: np.random.Generator) -> float:
    """A tuning: most recordings are within 10 cents of A = 440 Hz, some are far off."""
    cents = rng.uniform(-50, 50) if rng.random() < 0.15 else rng.normal(0, 7)
    return float(np.clip(cents, -50, 50))


def _bounds(score: PrettyMIDI) -> tuple[float, float]:
    notes = [note for part in score.instruments for note in part.notes]
    return min(note.start for note in notes), max(note.end for note in notes)


def _excerpt(part: Instrument, start: float, end: float, tempo: float) -> Instrument:
    """The notes that sound between two times, from 0 and played faster by ``tempo``."""
    import pretty_midi

    cut = pretty_midi.Instrument(part.program, name=part.name)
    for note in part.notes:
        if note.start < end and note.end > start:
            kept = copy.copy(note)
            kept.start = max(0.0, note.start - start) / tempo
            kept.end = (min(end, note.end) - start) / tempo
            if kept.end - kept.start >= SHORTEST:
                cut.notes.append(kept)
    return cut


def _instrument(parts: list[Instrument], rng: np.random.Generator) -> None:
    """Give every part an instrument: at times one for all, else by its role."""
    one = (
        int(rng.choice(rng.choice(np.array(CHORDS, dtype=object)))) if rng.random() < 0.3 else None
    )
    for part in parts:
        onsets = {round(note.start, 2) for note in part.notes}
        melody = len(onsets) > 0.8 * len(part.notes)
        families = MELODIES if melody else CHORDS
        drawn = int(rng.choice(families[int(rng.integers(len(families)))]))
        part.program = drawn if one is None else one
        octave = int(rng.choice([-12, 0, 0, 0, 0, 12])) if melody else 0
        if all(36 <= note.pitch + octave <= 96 for note in part.notes):
            for note in part.notes:
                note.pitch += octave


def _bass_line(notes: list[Note], beats: np.ndarray, rng: np.random.Generator) -> Instrument:
    """The lowest note of every beat, an octave or two down, as a bass would play it."""
    import pretty_midi

    bass = pretty_midi.Instrument(int(rng.choice(BASSES)), name="bass")
    every = int(rng.choice([1, 1, 2]))
    lengths = np.diff(beats, append=2 * beats[-1] - beats[-2])
    for i in range(0, len(beats), every):
        at, length = float(beats[i]), float(lengths[i : i + every].sum())
        sounding = [n.pitch for n in notes if n.start < at + 0.1 and n.end > at + 0.1]
        if sounding:
            pitch = 28 + (min(sounding) - 28) % 12
            bass.notes.append(pretty_midi.Note(95, pitch, at, at + 0.95 * length))
    return bass


def _pad(notes: list[Note], rng: np.random.Generator) -> Instrument:
    """The notes of the middle register, held a little longer and softer, by a pad."""
    import pretty_midi

    pad = pretty_midi.Instrument(int(rng.choice(PADS)), name="pad")
    pad.notes = [
        pretty_midi.Note(round(0.6 * n.velocity), n.pitch, n.start, n.end + 0.2)
        for n in notes
        if 48 <= n.pitch <= 72
    ]
    return pad


def _drums(beats: np.ndarray, rng: np.random.Generator) -> Instrument:
    """One pattern throughout, its bars starting on any beat."""
    import pretty_midi

    drums = pretty_midi.Instrument(0, is_drum=True, name="drums")
    pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    first, level = int(rng.integers(4)), float(rng.uniform(60, 115))
    for bar in range(first, len(beats) - 4, 4):
        at, beat = float(beats[bar]), float(beats[bar + 4] - beats[bar]) / 4
        for pitch, times in pattern.items():
            for time in times:
                velocity = int(np.clip(level + rng.normal(0, 8), 30, 127))
                start = at + time * beat
                drums.notes.append(pretty_midi.Note(velocity, pitch, start, start + 0.1))
    return drums
