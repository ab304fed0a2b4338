"""Compose songs that go back and forth between relative keys, to be arranged and rendered.

Training without labels compares segments of one track. Where all of a track is in one mode,
nothing ties the answer for a major key to that for its relative minor, and a model may settle on
two conventions. Songs that visit the relative key, as many do, tie them. So do phrases in another
mode of the same tonic: they tell music that dwells on C with a B flat from music in F. Songs in one
key, whose label is beyond doubt, serve training with labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stonekey.keys import Key
from stonekey.synthesis import write_phrases

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI


def compose(
    seed: int, seconds: float, key: Key | None = None, borrowing: float = 0.0
) -> PrettyMIDI:
    """A song of cadences and loops, random in all but its key.

    Args:
        seed: of every choice.
        seconds: length; the song ends with the phrase that reaches it.
        key: of the whole song; None for phrases in C major and A minor by turns.
        borrowing: see `write_phrases`.
    """
    import pretty_midi

    rng = np.random.default_rng([seed, 12])
    parts = {name: pretty_midi.Instrument(0, name=name) for name in ("bass", "harmony", "melody")}
    bar = float(rng.uniform(1.4, 2.4))
    phrases = int(np.ceil(seconds / (4 * bar)))
    first = int(rng.integers(2))
    for number in range(phrases):
        turn = (Key(0, "major"), Key(9, "minor"))[(number + first) % 2]
        for note in write_phrases(key or turn, rng, 4 * number * bar, bar, borrowing):
            at, end = note.at, note.at + 0.98 * note.seconds
            parts[note.part].notes.append(pretty_midi.Note(note.velocity, note.pitch, at, end))
    song = pretty_midi.PrettyMIDI(initial_tempo=4 * 60 / bar)
    song.instruments = list(parts.values())
    return song
