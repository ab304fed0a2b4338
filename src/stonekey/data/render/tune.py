"""What a band plays from: an excerpt of a chart in a key and a tempo, and the notes it plays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stonekey.data.render.charts import Chart, Chord
from stonekey.keys import Key

_VIBRATO_HZ = 5.6


@dataclass(frozen=True)
class Note:
    """A note; times in seconds, ``pitch`` in MIDI numbers (fractions for synthesisers only).

    ``scoop`` is how far below (above 0: above) its pitch it begins, ``drift`` how far it moves
    to its end, ``vibrato`` the depth, all in semitones.
    """

    pitch: float
    at: float
    seconds: float
    velocity: int
    scoop: float = 0.0
    drift: float = 0.0
    vibrato: float = 0.0

    @property
    def bent(self) -> bool:
        """Whether its pitch moves."""
        return bool(self.scoop or self.drift or self.vibrato)

    def bend(self, t: np.ndarray) -> np.ndarray:
        """Semitones from its pitch, so many seconds after it began."""
        moved = self.scoop * np.exp(-t / 0.06)
        moved += self.drift * np.clip(t / self.seconds - 0.3, 0, 1) / 0.7
        swelling = self.vibrato * np.clip((t - 0.2) / 0.3, 0, 1)
        return np.asarray(moved + swelling * np.sin(2 * np.pi * _VIBRATO_HZ * t))


@dataclass
class Part:
    """Notes for one instrument.

    Attributes:
        sound: a program of General MIDI, or the name of a synthesiser
            (`stonekey.data.render.synths`).
        bus: how it is mixed: ``plain``, ``amp`` (through a guitar amplifier), ``pump`` (pushed
            down by the kick drum).
        level: loudness against the others, 1 as they are.
    """

    name: str
    sound: int | str
    notes: list[Note]
    bus: str = "plain"
    level: float = 1.0
    drums: bool = False


@dataclass(frozen=True)
class Hit:
    """One stroke of a pattern: when, for how long (in beats), its sign and the chord there."""

    beat: float
    beats: float
    sign: str
    chord: Chord


@dataclass(frozen=True)
class Tune:
    """An excerpt of a chart as it will sound.

    Attributes:
        key: the chart's, transposed.
        spans: (first beat, beats, chord), without gaps.
        bar: beats in a bar.
        beat_seconds: of one beat.
        swing: where the second half of a beat begins: 0.5 straight, 0.67 a shuffle.
    """

    key: Key
    spans: tuple[tuple[int, int, Chord | None], ...]
    bar: int
    beat_seconds: float
    swing: float
    _starts: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", np.array([start for start, _, _ in self.spans]))

    @property
    def beats(self) -> int:
        """Length."""
        start, beats, _ = self.spans[-1]
        return start + beats

    def time(self, beat: float) -> float:
        """Seconds at a beat, swung."""
        whole, part = divmod(beat, 1.0)
        if part < 0.5:
            part = part * 2 * self.swing
        else:
            part = self.swing + (part - 0.5) * 2 * (1 - self.swing)
        return (whole + part) * self.beat_seconds

    def span(self, beat: float) -> tuple[int, int, Chord | None]:
        """The span around a beat."""
        return self.spans[max(0, int(np.searchsorted(self._starts, beat + 1e-6)) - 1)]

    def hits(self, pattern: str, follow: bool = True) -> Iterator[Hit]:
        """The strokes of a pattern, repeated bar by bar.

        A pattern is of four beats: each sign a stroke, ``-`` holds the one before, ``.`` is silent.
        Bars of other lengths use its beginning, or begin it again. A chord that comes in where the
        pattern holds or is silent is struck too if ``follow``.
        """
        step = 4 / len(pattern)
        signs = []
        for start in range(0, self.beats, self.bar):
            for i in range(round(min(self.bar, self.beats - start) / step)):
                signs.append((start + i * step, pattern[i % len(pattern)]))
        struck: list[tuple[float, str]] = []
        changes = set(self._starts.tolist()) if follow else set()
        sounding = "."
        for beat, sign in signs:
            if sign == "-" and sounding != "." and beat in changes:
                sign = sounding
            if sign != "-":
                struck.append((beat, sign))
                sounding = sign
        for (beat, sign), (end, _) in zip(struck, [*struck[1:], (self.beats, "")], strict=True):
            start, beats, chord = self.span(beat)
            if sign != "." and chord is not None:
                yield Hit(beat, min(end, start + beats) - beat, sign, chord)

    def note(self, hit: Hit, pitch: int, velocity: float, gate: float = 0.95) -> Note:
        """A note on a stroke, as long as the share ``gate`` of it."""
        at = self.time(hit.beat)
        seconds = max(0.05, gate * (self.time(hit.beat + hit.beats) - at))
        return Note(pitch, at, seconds, int(np.clip(velocity, 15, 125)))


def excerpt(
    chart: Chart, rng: np.random.Generator, key: Key, beat_seconds: float, swing: float, beats: int
) -> Tune:
    """Draw an excerpt of a chart, from its beginning or from a bar where its tonic is near.

    Where the chart ends first, it begins again.
    """
    moved = key.tonic - chart.key.tonic
    chords = [(n, chord and chord.moved(moved)) for n, chord in chart.chords]
    starts = np.cumsum([0] + [n for n, _ in chords[:-1]])
    bars = np.flatnonzero(starts % chart.bar == 0)
    homes = [
        i for i in bars
        if _share_of_tonic([*chords[i:], *chords], key.tonic, beats) >= 0.2
    ]  # fmt: skip
    opening = bool(rng.random() < 0.4) and 0 in homes
    first = 0 if opening or not homes else int(homes[int(rng.integers(len(homes)))])
    spans: list[tuple[int, int, Chord | None]] = []
    at, i = 0, first
    while at < beats:
        n, chord = chords[i % len(chords)]
        spans.append((at, n, chord))
        at, i = at + n, i + 1
    return Tune(key, tuple(spans), chart.bar, beat_seconds, swing)


def _share_of_tonic(chords: list[tuple[int, Chord | None]], tonic: int, beats: int) -> float:
    """How much of the next beats has a chord on the tonic; 0 where much of it has none."""
    total = home = silent = 0
    for n, chord in chords:
        if total >= beats:
            break
        total += n
        silent += n * (chord is None)
        home += n * (chord is not None and chord.root == tonic)
    return home / total if silent < 0.15 * total else 0.0
