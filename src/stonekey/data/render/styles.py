"""Styles of bands: tempo, who plays, how, and how it is mixed. Data only; `band` plays them.

`stonekey.data.render.patterns` has the rhythms that several share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stonekey.data.render import patterns
from stonekey.data.render.parts import SCALES
from stonekey.data.render.patterns import (
    BACKBEATS,
    EIGHTHS,
    HELD,
    OFFBEATS,
    QUARTERS,
    SIXTEENTHS,
    Drums,
)

Sounds = tuple[int | str, ...]

# Programs of General MIDI, counted from 0.
PIANOS: Sounds = (0, 0, 1, 2, 3)
RHODES: Sounds = (4, 4, 5)
ORGANS: Sounds = (16, 17, 18)
ACOUSTIC: Sounds = (24, 25, 25)
CLEAN: Sounds = (26, 27, 27)
DRIVEN: Sounds = (26, 27, 27, 28, 29)  # into an amplifier of our own
STRINGS: Sounds = (48, 49, 50, 44)
BRASS: Sounds = (61, 61, 62, 56)
SAXES: Sounds = (64, 65, 66)
PADS: Sounds = (88, 89, 90, 91, 94, 95, "saw pad")
FINGERED: Sounds = (33, 33, 34)
UPRIGHT: Sounds = (32,)
SYNTH_BASS: Sounds = (38, 39, "saw bass")
CHOIR: Sounds = (52, 53, "voice", "voice")
ELECTRIC = (24, 25)  # drums


@dataclass(frozen=True)
class Layer:
    """One part of the rhythm section.

    Attributes:
        player: of `stonekey.data.render.parts.PLAYERS`.
        sounds: one is drawn.
        patterns: one is drawn.
        low: MIDI note above which it plays.
        chance: that it takes part.
        bus: see `stonekey.data.render.tune.Part`.
        level: loudness.
        short: notes do not fill their strokes.
        scales: of riffs.
    """

    player: str
    sounds: Sounds
    patterns: tuple[str, ...]
    low: int = 52
    chance: float = 1.0
    bus: str = "plain"
    level: float = 1.0
    short: bool = False
    scales: tuple[str, ...] = ()


@dataclass(frozen=True)
class Style:
    """How a band plays.

    Attributes:
        tempo: beats a minute, from and to.
        drums: patterns by drum, one set is drawn.
        kits: programs of the drum channel.
        basses: sounds.
        lines: patterns of the bass.
        layers: of the rhythm section, in the order of importance.
        leads: sounds of the melody.
        manner: of its rhythm.
        swing: places of the second half of a beat, from and to.
        blue: how blue the melody is, from and to.
        sevenths: chance that minor chords and the dominant get sevenths, at times all chords.
        dominant: chance that all major chords are dominant sevenths, as in blues.
        singing: chance of a melody.
        loops: share of music that repeats one or two chords (`stonekey.data.render.loops`).
        minor: share of music in minor.
        fills: chance of a drum fill where one may be.
        scale: of the melody; None for all twelve notes by their weights.
        amplifier: drive of the bus ``amp``, from and to.
        drive: of the mix, from and to, 0 for none.
        dusty: chance of vinyl or tape.
        rap: chance of a voice that speaks in rhythm.
    """

    tempo: tuple[float, float]
    drums: Drums
    basses: Sounds
    lines: tuple[str, ...]
    layers: tuple[Layer, ...]
    leads: Sounds
    manner: str = "sung"
    kits: tuple[int, ...] = (0, 8, 16)
    swing: tuple[float, float] = (0.5, 0.52)
    blue: tuple[float, float] = (0.0, 0.4)
    sevenths: float = 0.1
    dominant: float = 0.0
    singing: float = 0.85
    loops: float = 0.2
    minor: float = 0.5
    fills: float = 0.5
    scale: str | None = None
    amplifier: tuple[float, float] = (0.3, 10.0)
    drive: tuple[float, float] = (0.0, 1.1)
    dusty: float = 0.15
    rap: float = 0.0

    def melody_scale(self) -> tuple[int, ...] | None:
        """Semitones above the tonic."""
        return SCALES[self.scale] if self.scale else None


_ROOTS = "R-R-R-R-R-R-R-a-"

STYLES: dict[str, Style] = {
    "rock": Style(
        tempo=(92, 152), drums=patterns.ROCK, basses=FINGERED,
        lines=(_ROOTS, "R---R-R-..R-R-a-", "R-----R-R-----a-", "R-R-5-R-R-R-8-a-"),
        layers=(
            Layer("dyads", DRIVEN, (EIGHTHS, HELD, "X-----X-----x-x-", "m-m-X-m-m-m-X-m-",
                                    "X---x.x.X-----x-", "x-x-6-6-x-x-6-6-"), 38, 0.85, "amp"),
            Layer("strum", DRIVEN, ("X---d-du-udu----", "X-------d---d-du", "d-d-X-d-d-d-X-d-"),
                  40, 0.5, "amp"),
            Layer("blocks", (*ORGANS, *PIANOS), (HELD, "X---x---x---x---"), 55, 0.35),
            Layer("blocks", CHOIR, (HELD, "X-----..........",), 57, 0.2),
        ),
        leads=("voice", "voice", "voice", "voice", 29, 30, 27), blue=(0.0, 0.9), loops=0.25,
        drive=(0.2, 1.6),
    ),
    "beat": Style(
        tempo=(112, 164), drums=patterns.BEAT, basses=FINGERED,
        lines=("R---5---R---a---", "R-R-5-5-R-R-a-a-", "R-----R-5-----a-", "R---3---5---a---"),
        layers=(
            Layer("strum", (26, 27, 25), ("X-d-X-duX-d-X-du", "X---d-du-udu-udu"), 43, 0.9, "amp"),
            Layer("blocks", CHOIR, (HELD, "X-----x---------", "x-x-............"), 57, 0.5),
            Layer("blocks", (16, 17, 0, 7), (EIGHTHS, HELD), 57, 0.35),
            Layer("arpeggio", (26, 27), (EIGHTHS,), 52, 0.35),
        ),
        leads=("voice", "voice", "voice", "voice", 26, 16, 22), blue=(0.1, 0.9), loops=0.2,
        dusty=0.5, drive=(0.2, 1.4),
    ),
    "blues": Style(
        tempo=(68, 138), drums=patterns.SHUFFLE, basses=(*FINGERED, *UPRIGHT),
        lines=("R---3---5---a---", "R---R---5---7---", "R-R-3-3-5-5-a-a-", "R-----R-5-----a-"),
        layers=(
            Layer("dyads", (26, 27, 27, 29), ("x-x-6-6-x-x-6-6-", "x-x-6-6-7-7-6-6-"), 40, 0.55,
                  "amp"),
            Layer("blocks", (*PIANOS, *ORGANS), ("..X-..X-..X-..X-", "X-----x---------", QUARTERS),
                  53, 0.6, short=True),
            Layer("blocks", (*SAXES, *BRASS), ("......X-......x-", HELD), 55, 0.25),
            Layer("strum", (26, 27), ("....X-......X-..", "X-......X-......"), 40, 0.35),
        ),
        leads=("voice", "voice", "voice", 27, 29, 22, 65, 66), swing=(0.6, 0.68),
        blue=(0.6, 1.6), dominant=0.85, sevenths=0.5, minor=0.4, loops=0.35,
    ),
    "soul": Style(
        tempo=(76, 126), drums=patterns.SOUL, basses=FINGERED,
        lines=("R--R..5-..3-5-a-", "R-----5-R---3-a-", "R-.R.R5-R-.R8-a-", "R---..R-5-7-..a-"),
        layers=(
            Layer("blocks", (*PIANOS, *ORGANS, *RHODES), (QUARTERS, "X-----X-----X---", HELD), 53,
                  0.9),
            Layer("strum", CLEAN, (BACKBEATS, OFFBEATS, "X-......X-..X-.."), 45, 0.7),
            Layer("blocks", BRASS, ("X-..........x-x-", "......X---------", "x..x..x........."), 58,
                  0.5),
            Layer("blocks", (*STRINGS, *CHOIR), (HELD,), 60, 0.45, level=0.8),
        ),
        leads=("voice", "voice", "voice", "voice", 65, 66, 56), blue=(0.2, 1.0), sevenths=0.5,
        dominant=0.15, loops=0.25,
    ),
    "funk": Style(
        tempo=(88, 120), drums=patterns.FUNK, basses=(33, 36, 37, 34),
        lines=("R--R..8.7-R..8a-", "R-..R..R..7-8-a-", "R.R...7.R..5..a-", "R-----R..R8.7-5-"),
        layers=(
            Layer("strum", CLEAN, ("m.XmmmX.mmXmm.X.", "..X.m.X...Xm..X.", "X.m.mmX.m.m.mmX."),
                  52, 0.9),
            Layer("blocks", (7, 7, 4, 16, 17), ("X..x..x...x.x...", "..x..x....X-....",
                                                "X-..x-..X-..x-.."), 53, 0.7, short=True),
            Layer("blocks", BRASS, ("X..X............", "..........X.X-..", "x-..x-....x.x-.."),
                  58, 0.5, short=True),
        ),
        leads=("voice", "voice", "voice", 65, 56, 62, 27), manner="busy", blue=(0.5, 1.5),
        sevenths=0.8, dominant=0.5, loops=0.6, fills=0.3,
    ),
    "country": Style(
        tempo=(84, 168), drums=patterns.COUNTRY, basses=(*FINGERED, *UPRIGHT),
        lines=("R-------5-------", "R---R---5---a---", "R-------5---a-a-"),
        layers=(
            Layer("strum", ACOUSTIC, ("....X-du....X-du", "X---d-duX---d-du", "d---X---d---X---"),
                  43, 0.95),
            Layer("arpeggio", (25, 27, 105), (EIGHTHS, SIXTEENTHS), 55, 0.45),
            Layer("blocks", (0, 3, 49, 21), (HELD, "....X-......X-.."), 57, 0.4),
            Layer("blocks", CHOIR, (HELD,), 57, 0.2),
        ),
        leads=("voice", "voice", "voice", 110, 40, 27, 22), blue=(0.0, 0.5), sevenths=0.05,
        minor=0.35, loops=0.1,
    ),
    "ballad": Style(
        tempo=(62, 92), drums=patterns.BALLAD, basses=FINGERED,
        lines=("R-------R-----a-", "R-----R-5-----a-", "R---------------"),
        layers=(
            Layer("arpeggio", (0, 1, 4, 24, 25), (EIGHTHS, SIXTEENTHS), 52, 0.6),
            Layer("blocks", (*PIANOS, *RHODES), (QUARTERS, "X-------X-------"), 53, 0.7),
            Layer("blocks", (*STRINGS, *PADS, *CHOIR), (HELD,), 58, 0.6, level=0.8),
            Layer("strum", ACOUSTIC, ("X---d-d-u-d-d-du",), 43, 0.3),
        ),
        leads=("voice", "voice", "voice", "voice", 65, 73, 40, 0), manner="slow", blue=(0.0, 0.3),
        sevenths=0.2, loops=0.15, fills=0.3,
    ),
    "reggae": Style(
        tempo=(66, 96), drums=patterns.REGGAE, basses=FINGERED,
        lines=("..R-R---5-3-....", "R-..R-5-..3-R-..", "R---3-5-....R-a-", "..R-..R-8-5-3-R-"),
        layers=(
            Layer("strum", CLEAN, (BACKBEATS, "....Xu......Xu.."), 52, 0.95),
            Layer("blocks", (16, 17, 18, 0), ("..x.x.x...x.x.x.", BACKBEATS), 55, 0.8, short=True),
            Layer("blocks", BRASS, ("X-----..........", "......x-x-......"), 58, 0.25),
        ),
        leads=("voice", "voice", "voice", 27, 16, 57, 22), swing=(0.5, 0.6), blue=(0.1, 0.8),
        sevenths=0.25, loops=0.35,
    ),
    "disco": Style(
        tempo=(104, 128), drums=patterns.FOUR[:1], basses=(33, 36, 38),
        lines=("R-8-R-8-R-8-R-8-", "R-8-R.RR8-R-5-a-", "R.R.8.R.R.R.8.a."),
        layers=(
            Layer("strum", CLEAN, ("X.mmX.mmX.mmX.mm", "m.X.m.X.mmX.m.X."), 52, 0.85),
            Layer("blocks", STRINGS, (HELD, "X-----X---------"), 60, 0.7),
            Layer("blocks", (4, 0, 7, 90), (OFFBEATS, "X--x--x---x-x---"), 55, 0.6, short=True),
            Layer("blocks", BRASS, ("x..x..x.........",), 58, 0.3, short=True),
        ),
        leads=("voice", "voice", "voice", 48, 62), blue=(0.1, 0.8), sevenths=0.6, loops=0.35,
    ),
    "house": Style(
        tempo=(116, 132), drums=patterns.FOUR[1:], kits=ELECTRIC, basses=SYNTH_BASS,
        lines=("..R-..R-..R-..R-", "R..R..R..R..R-..", "R-..R..R..7-..8-", "..RR..RR..RR..RR"),
        layers=(
            Layer("blocks", (0, 0, 16, 90, "supersaw"), ("X..X..X...X.X...", OFFBEATS,
                                                         "X..x..x..x..x..."), 55, 0.85, short=True),
            Layer("blocks", PADS, (HELD,), 55, 0.7, "pump"),
            Layer("arpeggio", (81, 80, 90, "square lead"), (SIXTEENTHS, "x.xx.xx.x.xx.xx."), 60,
                  0.35, "pump"),
        ),
        leads=("voice", "voice", 81, 80, "saw lead"), blue=(0.0, 0.8), sevenths=0.6, loops=0.7,
        minor=0.55, singing=0.6, fills=0.1,
    ),
    "hiphop": Style(
        tempo=(76, 102), drums=patterns.BOOM_BAP, kits=(0, 8, 25),
        basses=("808", "808", "808", 33, 32, 38),
        lines=("R-----....R-....", "R..R......R.....", "R---------------", "R-....R-R-....a-"),
        layers=(
            Layer("blocks", (*RHODES, *PIANOS, 48, 11), (HELD, "X-----x---------", QUARTERS), 53,
                  0.8),
            Layer("arpeggio", (24, 0, 11, 4, 46), (EIGHTHS, "x--x--x-x--x--x-"), 57, 0.5),
            Layer("blocks", (*STRINGS, *BRASS, 52), (HELD, "X-..............", "..........X-x-.."),
                  58, 0.35),
        ),
        leads=("voice", "voice", 73, 65, "saw lead", 11), manner="busy", swing=(0.5, 0.6),
        blue=(0.2, 1.0), sevenths=0.5, loops=0.8, minor=0.6, singing=0.45, fills=0.1, dusty=0.5,
        rap=0.75,
    ),
    "synthwave": Style(
        tempo=(80, 124), drums=patterns.ELECTRO, kits=ELECTRIC, basses=SYNTH_BASS,
        lines=("RRRRRRRRRRRRRRRR", "R-R-R-R-R-R-R-R-", "RR8RRR8RRR8RRR8R"),
        layers=(
            Layer("blocks", PADS, (HELD,), 55, 0.95, "pump"),
            Layer("arpeggio", (81, 80, 90, "square lead", "supersaw"), (SIXTEENTHS, EIGHTHS), 60,
                  0.7),
            Layer("blocks", (90, 62, "supersaw"), ("X-----X---------", "X..X..X........."), 55,
                  0.4),
        ),
        leads=("saw lead", "square lead", 81, 80, "voice"), manner="slow", blue=(0.0, 0.2),
        sevenths=0.2, loops=0.5, minor=0.55,
    ),
    "metal": Style(
        tempo=(90, 176), drums=patterns.METAL, basses=(34, 33), lines=("RRRRRRRRRRRRRRRR", _ROOTS),
        layers=(
            Layer("riff", (29, 30, 27, 28), ("m.mmX-mmm.mmX-X-", "mmmmX---mmmmX-X-",
                                             "X--m-mX-m-m-X-X-", "X-----X-X-----X-"), 35, 1.0,
                  "amp",                  scales=("pentatonic", "blues", "phrygian", "minor")),
            Layer("dyads", (29, 30, 27), (HELD,), 35, 0.3, "amp"),
        ),
        leads=("voice", 29, 30, 30), blue=(0.3, 1.0), singing=0.55, loops=0.6, minor=0.7,
        scale="pentatonic", amplifier=(4.0, 15.0), drive=(0.4, 2.0),
    ),
    # Those below are not trained on: what a model knows of their kin it must carry over.
    "folk": Style(
        tempo=(72, 132), drums=patterns.FOLK, basses=UPRIGHT,
        lines=("R-------5-------", "R-----R-5-----a-", "R---------------"),
        layers=(
            Layer("arpeggio", (24, 25, 46), (EIGHTHS, SIXTEENTHS, "x-xxx-xxx-xxx-xx"), 48, 0.9),
            Layer("strum", ACOUSTIC, ("X---d-du-udud-du", "X---d---d-d-d-du"), 43, 0.6),
            Layer("blocks", (21, 48, 20), (HELD,), 57, 0.4),
        ),
        leads=("voice", "voice", 40, 73, 72, 22, 105), blue=(0.0, 0.4), loops=0.15, fills=0.1,
    ),
    "gospel": Style(
        tempo=(60, 104), drums=patterns.SHUFFLE[:2], basses=FINGERED,
        lines=("R-----R-5---3-a-", "R---3---5---a---", "R-R-..R-5-7-a-a-"),
        layers=(
            Layer("blocks", (0, 1), (EIGHTHS, "X--x--x-X--x--x-"), 50, 0.95),
            Layer("blocks", (16, 17, 18), (HELD,), 57, 0.9),
            Layer("blocks", (52, 53), (HELD, "X-----x---------"), 57, 0.5),
        ),
        leads=("voice", "voice", 16, 65), swing=(0.64, 0.68), blue=(0.4, 1.2), sevenths=0.6,
        dominant=0.4, loops=0.25,
    ),
    "trap": Style(
        tempo=(64, 82), drums=patterns.TRAP, kits=ELECTRIC, basses=("808",),
        lines=("R-----R----R----", "R---------------", "R--R------R-----", "R-------8-7-R-a-"),
        layers=(
            Layer("arpeggio", (11, 0, 10, 46, 88, 24), (EIGHTHS, "x--x--x--x--x-x-"), 60, 0.8),
            Layer("blocks", (*PADS, 0, 52), (HELD,), 55, 0.7),
        ),
        leads=("voice", 80, 73, "square lead"), manner="busy", blue=(0.0, 0.6), sevenths=0.15,
        loops=0.8, singing=0.5, fills=0.0, rap=0.6,
    ),
    "electro": Style(
        tempo=(124, 140), drums=patterns.FOUR[1:], kits=ELECTRIC, basses=SYNTH_BASS,
        lines=("..R-..R-..R-..R-", ".RRR.RRR.RRR.RRR", "R-R-R-R-R-R-R-R-"),
        layers=(
            Layer("arpeggio", ("supersaw", "square lead", 81), (SIXTEENTHS, "x..x..x..x..x.x."), 60,
                  0.85, "pump"),
            Layer("blocks", ("saw pad", "supersaw", 90), (HELD,), 53, 0.85, "pump"),
        ),
        leads=("saw lead", "supersaw", 81, "voice"), blue=(0.0, 0.3), loops=0.5, singing=0.6,
        fills=0.1,
    ),
}  # fmt: skip
# Kept for measuring.
HELD_OUT = ("folk", "gospel", "trap", "electro")
TRAINED = tuple(name for name in STYLES if name not in HELD_OUT)


def check_styles(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple.

    Raises:
        ValueError: for an unknown style.
    """
    names = tuple(names)
    for name in names:
        if name not in STYLES:
            raise ValueError(f"no style {name!r} (there are {', '.join(STYLES)})")
    return names
