"""Compose charts: the loops of a chord or four that much of rock, hip-hop and club music is."""

from __future__ import annotations

import numpy as np

from stonekey.data.render.charts import Chart, parse_chord
from stonekey.keys import Key, Mode

# On C. Each dwells on its tonic or comes back to it; that of rock in mixolydian (I bVII IV) does
# not hold the scale that its key's name promises.
_SHORT: dict[Mode, tuple[str, ...]] = {
    "major": (
        "C", "C7", "C F", "C Bb", "C7 F7", "C F", "C Dm", "Cmaj7 Fmaj7", "C C Bb F", "C Gm",
        "C7 Bb", "C C C Bb", "C7#9", "C9 F9", "C C Bb C", "C F Bb F",
    ),
    "minor": (
        "Cm", "Cm Ab", "Cm Bb", "Cm Fm", "Cm Gm", "Cm Db", "Cm F", "Cm7 F7", "Cm Cm Cm Bb", "Cm7",
        "Cm Cm Ab G7", "Cm Cm Fm Cm", "Cm9", "Cm Cm Eb Bb",
    ),
}  # fmt: skip
_LONG: dict[Mode, tuple[str, ...]] = {
    "major": (
        "C Bb F C", "C Bb F F", "C F Bb F", "C Bb F C", "C C Bb F", "C Bb C F", "C F C Bb",
        "C G Bb F", "C Eb F C", "C Eb Bb F", "C Gm F C", "C Ab Bb C", "C Bb Ab G", "C Eb F Ab",
        "C G F C", "C F G F", "C F C G", "C Am F G", "C G Am F", "C Em F G", "C F Fm C", "C D F C",
        "C E F G", "C C7 F Fm", "C Dm F G", "C G F G", "C7 F7 C7 G7", "C7 C7 F7 C7",
    ),
    "minor": (
        "Cm Ab Eb Bb", "Cm Bb Ab Bb", "Cm Bb Ab G", "Cm Fm Cm Gm", "Cm Eb Bb F", "Cm Ab Fm G",
        "Cm Gm Ab Bb", "Cm Fm Ab Bb", "Cm Cm Fm G7", "Cm Ab Bb Cm", "Cm Db Cm Bb", "Cm Fm Bb Eb",
        "Cm F Cm Bb", "Cm Eb F Ab", "Cm Gm Fm Cm", "Cm Bb Fm Cm", "Cm Ab Bb Gm", "Cm Eb Ab Bb",
    ),
}  # fmt: skip


def compose_loops(seed: int, mode: Mode) -> Chart:
    """A chart on C of one or two loops, drawn by the seed."""
    rng = np.random.default_rng([seed, 23])
    parts = []
    short = bool(rng.random() < 0.55)
    beats = int(rng.choice([2, 4, 4, 8] if not short else [4, 4, 8]))
    for _ in range(2):
        choices = (_SHORT if short else _LONG)[mode]
        names = choices[int(rng.integers(len(choices)))].split()
        parts.append([(beats, parse_chord(name)) for name in names])
    verse, chorus = parts if rng.random() < 0.5 else (parts[0], parts[0])
    times = max(1, 32 // (beats * len(verse)))
    return Chart(Key(0, mode), tuple(verse * times + chorus * times))
