"""Rhythm sections: chords, riffs, bass lines and drums over a tune, as styles describe them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stonekey.data.render.charts import Chord
from stonekey.data.render.tune import Hit, Note, Tune

if TYPE_CHECKING:
    from stonekey.data.render.styles import Layer

Rng = np.random.Generator
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
_ACCENTED = "XR"


def _velocity(hit: Hit, rng: Rng) -> float:
    strong = hit.sign in _ACCENTED or hit.beat % 2 == 0
    return float((92 if strong else 78) + rng.normal(0, 6))


def closed(chord: Chord, low: int, most: int = 5) -> list[int]:
    """The chord within the octave above ``low``, at most so many notes."""
    tones = list(chord.tones)
    if len(tones) > most:  # the fifth and the root say least
        tones = [t for t in tones if t not in (7, 0)][:most] or tones[:most]
    return sorted((chord.root + tone - low) % 12 + low for tone in tones)


def blocks(tune: Tune, rng: Rng, layer: Layer, pattern: str) -> list[Note]:
    """Chords struck together: pianos, organs, pads, stabs."""
    gate = 0.5 if "." in pattern and layer.short else 0.97
    notes = []
    for hit in tune.hits(pattern):
        velocity = _velocity(hit, rng)
        for pitch in closed(hit.chord, layer.low):
            notes.append(tune.note(hit, pitch, velocity, gate))
    return notes


def strum(tune: Tune, rng: Rng, layer: Layer, pattern: str) -> list[Note]:
    """Guitar chords over five or six strings, down strokes X and d, up strokes u, muted m."""
    notes = []
    spread = float(rng.uniform(0.006, 0.02))
    for hit in tune.hits(pattern):
        root = layer.low + (hit.chord.root - layer.low) % 12
        strings = [root, root + 7 if 7 in hit.chord.tones else root + max(hit.chord.tones)]
        strings += closed(hit.chord, root + 12 - (root - layer.low) % 5, 4)
        if hit.sign == "u":
            strings = strings[:1:-1]
        velocity = _velocity(hit, rng) - (12 if hit.sign == "u" else 0)
        for i, pitch in enumerate(strings):
            note = tune.note(hit, pitch, velocity - 2 * i, 0.25 if hit.sign == "m" else 0.97)
            notes.append(Note(pitch, note.at + i * spread, note.seconds, note.velocity))
    return notes


def dyads(tune: Tune, rng: Rng, layer: Layer, pattern: str) -> list[Note]:
    """Power chords: root and fifth; 6 and 7 for the sixth and the flat seventh of a boogie."""
    notes = []
    for hit in tune.hits(pattern):
        root = layer.low + (hit.chord.root - layer.low) % 12
        upper = {"6": 9, "7": 10}.get(hit.sign, 6 if 6 in hit.chord.tones else 7)
        pitches = [root, root + upper] + ([root + 12] if hit.sign in _ACCENTED else [])
        gate = 0.45 if hit.sign == "m" else 0.97
        velocity = _velocity(hit, rng)
        notes += [tune.note(hit, pitch, velocity, gate) for pitch in pitches]
    return notes


def arpeggio(tune: Tune, rng: Rng, layer: Layer, pattern: str) -> list[Note]:
    """One note of the chord after the other, up, down or both."""
    order = int(rng.integers(3))
    notes = []
    for count, hit in enumerate(tune.hits(pattern)):
        pitches = closed(hit.chord, layer.low)
        pitches = [*pitches, pitches[0] + 12]
        if order == 1:
            pitches = pitches[::-1]
        elif order == 2:
            pitches += pitches[-2:0:-1]
        notes.append(tune.note(hit, pitches[count % len(pitches)], _velocity(hit, rng), 1.2))
    return notes


def riff(tune: Tune, rng: Rng, layer: Layer, pattern: str) -> list[Note]:
    """Two bars over and over: muted roots m, and power chords X on degrees of a scale.

    The scale stands on the tonic, so the riff moves over a chord that stays; it is one of the
    layer's in minor, mixolydian in major.
    """
    dark = SCALES[str(rng.choice(layer.scales))]
    scale = dark if tune.key.mode == "minor" else SCALES["mixolydian"]
    strokes = 2 * pattern.count("X")
    near = [d for d in (*scale, -2 if 10 in scale else -1) if d <= 8]
    degrees = [0 if i % strokes == 0 or rng.random() < 0.3 else int(rng.choice(near))
               for i in range(max(1, strokes))]  # fmt: skip
    notes = []
    count = 0
    for hit in tune.hits(pattern, follow=False):
        home = layer.low + (hit.chord.root - layer.low) % 12
        velocity = _velocity(hit, rng)
        if hit.sign == "m":
            notes.append(tune.note(hit, home, velocity, 0.4))
            continue
        moved = degrees[count % len(degrees)]
        count += 1
        root = home + moved
        if hit.chord.root != tune.key.tonic:  # stay within the scale of the tonic
            while (root - tune.key.tonic) % 12 not in scale:
                root -= 1
        notes += [tune.note(hit, root + up, velocity, 0.95) for up in (0, 7)]
    return notes


def bass(tune: Tune, rng: Rng, pattern: str, low: int) -> list[Note]:
    """A bass line: R root, 3, 5, 7, 8 for chord notes, a for an approach to the next root.

    The approach is a semitone or a step of the key from above or below, or the fifth; where the
    chord stays it is the root.
    """
    scale = [(tune.key.tonic + d) % 12 for d in SCALES[tune.key.mode]]
    notes = []
    for hit in tune.hits(pattern):
        chord = hit.chord
        root = low + (chord.bass - low) % 12
        third = next((t for t in chord.tones if t in (3, 4)), 7)
        sixth = next((t for t in chord.tones if t in (9, 10, 11)), 12)
        up = {"3": third, "5": 6 if 6 in chord.tones else 7, "7": sixth, "8": 12}.get(hit.sign, 0)
        pitch = root + up
        if hit.sign == "a":
            start, beats, _ = tune.span(hit.beat)
            following = tune.span(start + beats)[2]
            if following and following.bass != chord.bass:
                goal = low + (following.bass - low) % 12
                steps = [goal - d for d in (2, 1, -1, -2) if (goal - d) % 12 in scale]
                pitch = int(rng.choice([*steps, goal - 1, goal + 7]))
            elif rng.random() < 0.3:
                pitch = root + 7
        notes.append(tune.note(hit, pitch, _velocity(hit, rng) + 5, 0.9))
    return notes


# Notes of the drum channel by the letters that styles use.
DRUMS = {
    "k": 36, "s": 38, "c": 39, "r": 37, "h": 42, "o": 46, "d": 51, "t": 54, "a": 70, "g": 63,
    "w": 56, "b": 35, "e": 40,
}  # fmt: skip
_CRASH, _TOMS = 49, (50, 48, 45, 43, 41)


def drums(tune: Tune, rng: Rng, pattern: dict[str, str], fills: float) -> list[Note]:
    """A pattern for each drum, with fills every four or eight bars."""
    notes = []
    level = float(rng.uniform(-8, 10))
    every = int(rng.choice([4, 8]))
    cut = {bar for bar in range(every - 1, 400, every) if rng.random() < fills}
    for letter, strokes in pattern.items():
        step = 4 / len(strokes)
        for start in range(0, tune.beats, tune.bar):
            filled = start // tune.bar in cut and letter not in "kb"
            for i in range(round(tune.bar / step)):
                sign = strokes[i % len(strokes)]
                if sign == "." or (filled and i * step >= tune.bar - 1):
                    continue
                base = {"X": 104, "x": 86, "g": 45}[sign]
                velocity = int(np.clip(base + level + rng.normal(0, 5), 20, 127))
                notes.append(Note(DRUMS[letter], tune.time(start + i * step), 0.1, velocity))
    for bar in sorted(cut):
        if (bar + 1) * tune.bar <= tune.beats:
            for i in range(4):
                at = tune.time((bar + 1) * tune.bar - 1 + i / 4)
                tom = _TOMS[min(i + int(rng.integers(2)), 4)] if rng.random() < 0.6 else 38
                notes.append(Note(tom, at, 0.1, int(80 + 6 * i)))
            notes.append(Note(_CRASH, tune.time((bar + 1) * tune.bar), 0.5, 90))
    return notes


PLAYERS = {"blocks": blocks, "strum": strum, "dyads": dyads, "arpeggio": arpeggio, "riff": riff}
