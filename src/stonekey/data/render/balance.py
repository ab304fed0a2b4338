"""Draw renderings of charts so that styles and modes are even, whatever the charts are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from stonekey.data.render.loops import compose_loops
from stonekey.data.render.scores import ScoreEntry
from stonekey.data.render.styles import STYLES, TRAINED
from stonekey.keys import Mode

# Of the charts in a mode, how many are played as they are, where others carried over exist.
_NATIVE = {"major": 0.95, "minor": 0.6}
# A chart that is less on its tonic says little of its key.
_AT_HOME = 0.1


def draw(
    entries: Sequence[ScoreEntry], number: int, styles: Sequence[str] = TRAINED, seed: int = 0
) -> list[ScoreEntry]:
    """So many entries, with each style in turn, and each mode as often as the style has it.

    Music of a style is a composed loop (`stonekey.data.render.loops`), a chart, or a chart carried
    over to the parallel key (`stonekey.data.render.charts.Chart.other_mode`). Charts come again
    only when all have been drawn; a longer draw begins as a shorter one. Loops fall into the splits
    in which there are charts.

    Args:
        entries: charts; those that are hardly ever on their tonic are left out, as are scores.
        number: how many to draw.
        styles: to draw for.
        seed: of every choice.

    Raises:
        ValueError: when there is no chart.
    """
    charts = [e for e in entries if e.chart is not None and e.chart.at_home >= _AT_HOME]
    if not charts:
        raise ValueError("no chord chart to draw from")
    rng = np.random.default_rng([seed, 31])
    carried = []
    for entry in charts:
        assert entry.chart is not None
        if other := entry.chart.other_mode():
            name = f"{entry.name}@{other.key.mode}"
            carried.append(replace(entry, name=name, key=other.key, chart=other))
    splits = {entry.split for entry in charts}
    pools = {
        (mode, own): _shuffled([e for e in pool if e.key and e.key.mode == mode], rng)
        for own, pool in ((True, charts), (False, carried))
        for mode in ("major", "minor")
    }
    loops: dict[Mode, Iterator[ScoreEntry]] = {
        "major": _loops("major", splits, seed), "minor": _loops("minor", splits, seed)
    }  # fmt: skip
    drawn = []
    for i in range(number):
        style = styles[i % len(styles)]
        mode: Mode = "minor" if rng.random() < STYLES[style].minor else "major"
        looped, own = rng.random() < STYLES[style].loops, rng.random() < _NATIVE[mode]
        ways = [pools[mode, own], pools[mode, not own], loops[mode]]
        entry = next(loops[mode]) if looped else next(e for w in ways if (e := next(w, None)))
        drawn.append(replace(entry, name=f"{entry.name}@{style}@{i:05d}", style=style))
    return drawn


def _shuffled(entries: list[ScoreEntry], rng: np.random.Generator) -> Iterator[ScoreEntry]:
    order = rng.permutation(len(entries))
    while len(order):
        for i in order:
            yield entries[i]


def _loops(mode: Mode, splits: set[str], seed: int) -> Iterator[ScoreEntry]:
    """Composed loops of these splits, without end."""
    for i in count():
        chart = compose_loops(1_000_000 * seed + 2 * i + (mode == "minor"), mode)
        entry = ScoreEntry(f"loops/{mode}-{seed}-{i}", Path(), chart.key, chart=chart)
        if entry.split in splits:
            yield entry
