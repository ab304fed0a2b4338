"""Melodies by how often rock melodies sound each degree, sung or played with bends and vibrato."""

from __future__ import annotations

import numpy as np

from stonekey.data.render.charts import Chord
from stonekey.data.render.tune import Note, Tune
from stonekey.keys import Key

Rng = np.random.Generator
# (mode of the song, root of the chord in semitones above the tonic, minor chord): how many notes
# of 163 rock songs' melodies lie so many semitones above the tonic. Blue notes are among them.
_COUNTS = {
    ("major", 0, False): (4289, 2, 1679, 972, 3173, 712, 61, 3124, 5, 1190, 385, 197),
    ("major", 0, True): (34, 0, 5, 53, 2, 22, 1, 72, 4, 2, 11, 0),
    ("major", 2, False): (80, 2, 151, 21, 54, 11, 33, 26, 3, 76, 2, 12),
    ("major", 2, True): (407, 0, 366, 15, 257, 117, 0, 128, 7, 238, 2, 46),
    ("major", 3, False): (7, 0, 0, 28, 0, 18, 0, 21, 1, 2, 10, 0),
    ("major", 4, False): (15, 0, 44, 7, 92, 8, 0, 9, 12, 9, 6, 11),
    ("major", 4, True): (141, 0, 45, 3, 154, 7, 0, 149, 0, 137, 8, 78),
    ("major", 5, False): (2608, 0, 816, 459, 751, 1169, 5, 880, 15, 1392, 174, 164),
    ("major", 5, True): (23, 0, 4, 19, 1, 62, 0, 67, 57, 1, 13, 1),
    ("major", 7, False): (1126, 7, 1711, 171, 1070, 613, 18, 1412, 15, 595, 128, 479),
    ("major", 7, True): (43, 0, 14, 18, 2, 70, 0, 65, 6, 5, 31, 0),
    ("major", 8, False): (97, 16, 21, 35, 0, 9, 0, 17, 18, 5, 54, 0),
    ("major", 9, False): (3, 12, 14, 14, 28, 9, 3, 14, 2, 27, 2, 2),
    ("major", 9, True): (771, 1, 481, 45, 527, 83, 1, 348, 9, 373, 0, 85),
    ("major", 10, False): (207, 0, 100, 41, 67, 191, 0, 126, 3, 73, 156, 1),
    ("minor", 0, False): (48, 0, 4, 4, 13, 0, 0, 2, 0, 0, 0, 12),
    ("minor", 0, True): (1398, 1, 174, 834, 16, 409, 54, 604, 20, 23, 456, 5),
    ("minor", 2, True): (68, 0, 91, 18, 26, 13, 0, 14, 0, 50, 7, 0),
    ("minor", 3, False): (43, 11, 17, 171, 0, 52, 5, 147, 6, 0, 50, 1),
    ("minor", 5, False): (83, 0, 49, 82, 0, 162, 3, 45, 0, 3, 16, 0),
    ("minor", 5, True): (92, 0, 22, 65, 0, 121, 4, 36, 13, 0, 16, 0),
    ("minor", 7, False): (193, 0, 86, 84, 26, 89, 21, 126, 2, 49, 14, 104),
    ("minor", 7, True): (29, 0, 65, 39, 0, 29, 1, 14, 0, 0, 16, 0),
    ("minor", 8, False): (231, 0, 100, 223, 0, 49, 12, 41, 86, 0, 64, 0),
    ("minor", 9, True): (28, 0, 15, 27, 11, 3, 1, 1, 0, 1, 0, 0),
    ("minor", 10, False): (215, 3, 99, 163, 6, 147, 5, 114, 13, 1, 224, 1),
}  # fmt: skip
# Rhythms of a bar of four beats in sixteenths: x begins a note, - holds it, . is silent.
_RHYTHMS = {
    "sung": (
        "....x-x-x---x-x-", "x-x-x-x-x-------", "..x-x-x-x---....", "x---x-x-..x-x---",
        "x--x--x-x-x-----", "..x-..x-x-x-x-x-", "x-----x-x-------", "x-x-x---....x-x-",
        "x---------------", "................",
    ),
    "busy": (
        "x.xxx-x-x.xx..x-", "xxx-..xxx-xxx---", "..xxx-x-xxxxx-..", "x-xxx-xxx-..x-xx",
        "x-x-xxx-x-x-xxx-", "x--x--x--x--x-x-", "................",
    ),
    "slow": (
        "x-------x-------", "x-----------x---", "x---x---x-------", "x---------------",
        "....x---x---x---", "................",
    ),
}  # fmt: skip


def weights(key: Key, chord: Chord, blue: float) -> np.ndarray:
    """How likely each pitch class is over a chord: (12,), summing to 1.

    Args:
        key: of the song.
        chord: that sounds.
        blue: added to the blue third, the flat seventh and, a little, the flat fifth.
    """
    above = (chord.root - key.tonic) % 12
    rows = [np.array(row, float) for (mode, _, _), row in _COUNTS.items() if mode == key.mode]
    row = _COUNTS.get((key.mode, above, chord.minor))
    degrees = np.sum(rows, axis=0)
    degrees /= degrees.sum()
    if row is not None and sum(row) > 150:
        degrees = np.array(row) / sum(row)
    else:  # too seldom seen: what the mode sings, drawn towards the chord
        degrees[[(above + tone) % 12 for tone in chord.tones]] += 0.15
    degrees[3] += 0.12 * blue
    degrees[10] += 0.08 * blue
    degrees[6] += 0.02 * blue
    return np.roll(degrees / degrees.sum(), key.tonic)


def melody(
    tune: Tune, rng: Rng, manner: str, low: int, blue: float, scale: tuple[int, ...] | None = None
) -> list[Note]:
    """A melody in phrases of four bars, the first and third with one rhythm.

    Args:
        tune: the chords.
        rng: of every choice.
        manner: of the rhythm: sung, busy or slow.
        low: lowest MIDI note; it stays within 17 semitones.
        blue: see `weights`.
        scale: semitones above the tonic to keep to; None for all.
    """
    rhythms = _RHYTHMS[manner]
    cells: list[str] = []
    notes: list[Note] = []
    last = float(low + 7)
    bend = float(rng.uniform(0.2, 1.0))
    for bar in range(-(-tune.beats // tune.bar)):
        if bar % 4 == 0 and (not cells or rng.random() < 0.5):
            first = str(rng.choice(rhythms[:-1]))
            cells = [first, str(rng.choice(rhythms)), first, str(rng.choice(rhythms[:-1]))]
        ending = bar % 4 == 3
        for beat, beats in _strokes(cells[bar % 4], tune.bar):
            start = bar * tune.bar + beat
            if start >= tune.beats or (chord := tune.span(start)[2]) is None:
                continue
            likely = weights(tune.key, chord, blue)
            if scale is not None:
                outside = [d for d in range(12) if d not in scale]
                likely[[(tune.key.tonic + d) % 12 for d in outside]] *= 0.05
            long = beats >= 1 or beat % 2 == 0
            if long:  # what stays, or falls on a strong beat, is of the chord
                likely[[(chord.root + t) % 12 for t in chord.tones]] *= 2.0
            if ending and beats >= 1 and chord.root == tune.key.tonic:
                likely[tune.key.tonic] *= 3
            pitches = np.arange(low, low + 18)
            reach = np.exp(-0.5 * ((pitches - last) / 3.5) ** 2)
            reach[pitches == round(last)] *= 0.6
            odds = likely[pitches % 12] * reach
            pitch = int(rng.choice(pitches, p=odds / odds.sum()))
            # The next is near, and the line comes back to the middle.
            last = 0.85 * pitch + 0.15 * (low + 8)
            notes.append(_shaped(tune, rng, chord, pitch, start, beats, bend, blue))
    return notes


def _strokes(cell: str, bar: int) -> list[tuple[float, float]]:
    """(beat, beats) of the notes of a rhythm in a bar."""
    cell = (cell * 2)[: 4 * bar]
    places = [i for i, sign in enumerate(cell) if sign == "x"]
    strokes = []
    for i in places:
        end = i + 1
        while end < len(cell) and cell[end] == "-":
            end += 1
        strokes.append((i / 4, (end - i) / 4))
    return strokes


def _shaped(
    tune: Tune,
    rng: Rng,
    chord: Chord,
    pitch: int,
    beat: float,
    beats: float,
    bend: float,
    blue: float,
) -> Note:
    """The note with its bends: singers slide up to notes, and a blue third moves towards major."""
    at = tune.time(beat)
    seconds = max(0.08, 0.93 * (tune.time(beat + beats) - at))
    scoop = -float(rng.uniform(0.3, 2.0)) if rng.random() < 0.4 * bend else 0.0
    drift = 0.0
    third = (pitch - tune.key.tonic) % 12 == 3
    if third and blue and tune.key.mode == "major":
        drift = float(rng.uniform(0.0, 0.9))
    elif rng.random() < 0.08 * bend:
        drift = -float(rng.uniform(0.5, 2.0))
    vibrato = float(rng.uniform(0.1, 0.5)) if seconds > 0.3 else 0.0
    velocity = int(np.clip(92 + rng.normal(0, 9), 50, 125))
    return Note(pitch, at, seconds, velocity, scoop, drift, vibrato)
