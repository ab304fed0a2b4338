"""Styles of bands: tempo, who plays, how, and how it is mixed. Data only; `band` plays them.

Patterns are of four beats (`stonekey.data.render.tune.Tune.hits`); `parts` explains their signs,
and `parts.DRUMS` the letters of the drums.
"""

from __future__ import annotations

from dataclasses import dataclass

from stonekey.data.render.parts import SCALES

Sounds = tuple[int | str, ...]

# Programs of General MIDI, counted from 0.
PIANOS: Sounds = (0, 0, 1, 2, 3)
RHODES: Sounds = (4, 4, 5)
ORGANS: Sounds = (16, 17, 18)
ACOUSTIC: Sounds = (24, 25, 25)
CLEAN: Sounds = (26, 27, 27)
MUTED: Sounds = (28,)
DRIVEN: Sounds = (26, 27, 27, 28, 29)  # into an amplifier of our own
STRINGS: Sounds = (48, 49, 50, 44)
BRASS: Sounds = (61, 61, 62, 56)
SAXES: Sounds = (64, 65, 66)
PADS: Sounds = (88, 89, 90, 91, 94, 95, "saw pad")
FINGERED: Sounds = (33, 33, 34)
UPRIGHT: Sounds = (32,)
SYNTH_BASS: Sounds = (38, 39, "saw bass")
VOICE: Sounds = ("voice", "voice", "voice")


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
        sevenths: chance that plain chords get sevenths: minor and dominant ones, or in major "soft".
        dominant: chance that all major chords are dominant sevenths, as in blues.
        singing: chance of a melody.
        loops: share of music that repeats one or two chords (`stonekey.data.render.loops`).
        minor: share of music in minor.
        fills: chance of a drum fill where one may be.
        scale: of the melody; None for all twelve notes by their weights.
        drive: of the mix, from and to, 0 for none.
        dusty: chance of vinyl or tape.
        rap: chance of a voice that speaks in rhythm.
    """

    tempo: tuple[float, float]
    drums: tuple[dict[str, str], ...]
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
    drive: tuple[float, float] = (0.0, 1.5)
    dusty: float = 0.15
    rap: float = 0.0

    def melody_scale(self) -> tuple[int, ...] | None:
        """Semitones above the tonic."""
        return SCALES[self.scale] if self.scale else None


_ROCK = (
    {"k": "X.......X.x.....", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.....x.X.......", "s": "....X.......X...", "d": "x.x.x.x.x.x.x.x."},
    {"k": "X.x.....x.x.....", "s": "....X.......X..x", "o": "x...x...x...x..."},
    {"k": "X...X...X...X...", "s": "..x...X...x...X.", "h": "x.x.x.x.x.x.x.x."},
)
_SHUFFLE = (
    {"k": "X...x...X...x...", "s": "....X.......X...", "d": "x.x.x.x.x.x.x.x."},
    {"k": "X.....x.X.....x.", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X...............", "r": "........X.......", "h": "x.x.x.x.x.x.x.x."},
)
_FUNK = (
    {"k": "X..x......x..x..", "s": "....X..g.g..X..g", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.x.......X.....", "s": "....X..g.g.gX...", "h": "xxxxxxxxxxxxxxxx"},
    {"k": "X......x..X.....", "s": "....X.......X...", "h": "x.xxx.xxx.xxx.xx", "o": "..............x."},
)
_SOUL = (
    {"k": "X.....x.X.......", "s": "X...X...X...X...", "t": "..x...x...x...x."},
    {"k": "X.....x...x.....", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
)
_COUNTRY = (
    {"k": "X.......X.......", "s": "....x.......x...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.......X.......", "r": "....X.......X...", "a": "x.x.x.x.x.x.x.x."},
    {"k": "X...x...X...x...", "s": "..x...x...x...x."},
)
_BALLAD = (
    {"k": "X.......x.x.....", "r": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.......X.......", "s": "....X.......X...", "d": "x...x...x...x..."},
    {},
)
_REGGAE = (
    {"k": "........X.......", "r": "........X.......", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X...X...X...X...", "s": "........X.......", "h": "..x...x...x...x."},
    {"k": "X.......x.......", "r": "....x..x....x...", "h": "x.xxx.x.x.xxx.x."},
)
_FOUR = (
    {"k": "X...X...X...X...", "s": "....X.......X...", "o": "..x...x...x...x.", "h": "xx.xxx.xxx.xxx.x"},
    {"k": "X...X...X...X...", "c": "....X.......X...", "o": "..X...X...X...X."},
    {"k": "X...X...X...X...", "h": "..x...x...x...x.", "a": "xgxgxgxgxgxgxgxg"},
)
_BOOM_BAP = (
    {"k": "X..x......x.....", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.x....x..x.....", "s": "....X.......X..g", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.....x.x.......", "c": "....X.......X...", "h": "x.x.xxx.x.x.x.xx"},
)
_TRAP = (
    {"b": "X.....x....x....", "c": "........X.......", "h": "x.x.x.x.x.xxx.x."},
    {"b": "X..x......x.....", "c": "........X.......", "h": "xxxxx.x.xxx.xxxx"},
    {"b": "X.........x..x..", "e": "........X.......", "h": "x.x.xgxgx.x.x.x.", "o": "..............x."},
)
_METAL = (
    {"k": "XxXxXxXxXxXxXxXx", "s": "....X.......X...", "d": "x...x...x...x..."},
    {"k": "X.xxX.xxX.xxX.xx", "s": "....X.......X...", "o": "x...x...x...x..."},
    {"k": "X.x...x.X.x...x.", "s": "....X.......X...", "o": "x.x.x.x.x.x.x.x."},
)
_ELECTRO = (
    {"k": "X...X...X...X...", "e": "....X.......X...", "h": "xxxxxxxxxxxxxxxx"},
    {"k": "X.......X.x.....", "e": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.....X.....X...", "e": "....X.......X...", "h": "x.x.x.x.x.x.x.xx"},
)

_EIGHTHS = "R-R-R-R-R-R-R-a-"
_SUNG_LEADS: Sounds = ("voice", "voice", "voice", "voice", 27, 65, 16, 22, 73)

STYLES: dict[str, Style] = {
    "rock": Style(
        (92, 152), _ROCK, FINGERED, (_EIGHTHS, "R---R-R-..R-R-a-", "R-----R-R-----a-", "R-R-5-R-R-R-8-a-"),
        (
            Layer("dyads", DRIVEN, ("x-x-x-x-x-x-x-x-", "X---------------", "X-----X-----x-x-",
                                    "m-m-X-m-m-m-X-m-", "X---x.x.X-----x-", "x-x-6-6-x-x-6-6-"), 38, 0.9, "amp"),
            Layer("strum", DRIVEN, ("X---d-du-udu----", "X-------d---d-du", "d-d-X-d-d-d-X-d-"), 40, 0.45, "amp"),
            Layer("blocks", (*ORGANS, *PIANOS), ("X---------------", "X---x---x---x---"), 55, 0.35),
        ),
        ("voice", "voice", "voice", "voice", 29, 30, 27), blue=(0.0, 0.9), drive=(0.5, 2.5), loops=0.35,
    ),
    "blues": Style(
        (68, 138), _SHUFFLE, (*FINGERED, *UPRIGHT), ("R---3---5---a---", "R---R---5---7---", "R-R-3-3-5-5-a-a-", "R-----R-5-----a-"),
        (
            Layer("dyads", (26, 27, 27, 29), ("x-x-6-6-x-x-6-6-", "x-x-6-6-7-7-6-6-"), 40, 0.55, "amp"),
            Layer("blocks", (*PIANOS, *ORGANS), ("..X-..X-..X-..X-", "X-----x---------", "x---x---x---x---"), 53, 0.6, short=True),
            Layer("blocks", (*SAXES, *BRASS), ("......X-......x-", "X---------------"), 55, 0.25),
            Layer("strum", (26, 27), ("....X-......X-..", "X-......X-......"), 40, 0.35),
        ),
        ("voice", "voice", "voice", 27, 29, 22, 65, 66), swing=(0.6, 0.68), blue=(0.6, 1.6), dominant=0.85, sevenths=0.5,
        minor=0.4, loops=0.45,
    ),
    "soul": Style(
        (76, 126), _SOUL, FINGERED, ("R--R..5-..3-5-a-", "R-----5-R---3-a-", "R-.R.R5-R-.R8-a-", "R---..R-5-7-..a-"),
        (
            Layer("blocks", (*PIANOS, *ORGANS, *RHODES), ("x---x---x---x---", "X-----X-----X---", "X---------------"), 53, 0.9),
            Layer("strum", CLEAN, ("....X.......X...", "..X...X...X...X.", "X-......X-..X-.."), 45, 0.7),
            Layer("blocks", BRASS, ("X-..........x-x-", "......X---------", "x..x..x........."), 58, 0.5),
            Layer("blocks", STRINGS, ("X---------------",), 60, 0.35, level=0.8),
        ),
        ("voice", "voice", "voice", "voice", 65, 66, 56), blue=(0.2, 1.0), sevenths=0.5, dominant=0.15, loops=0.35,
    ),
    "funk": Style(
        (88, 120), _FUNK, (33, 36, 37, 34), ("R--R..8.7-R..8a-", "R-..R..R..7-8-a-", "R.R...7.R..5..a-", "R-----R..R8.7-5-"),
        (
            Layer("strum", CLEAN, ("m.XmmmX.mmXmm.X.", "..X.m.X...Xm..X.", "X.m.mmX.m.m.mmX."), 52, 0.9),
            Layer("blocks", (7, 7, 4, 16, 17), ("X..x..x...x.x...", "..x..x....X-....", "X-..x-..X-..x-.."), 53, 0.7, short=True),
            Layer("blocks", BRASS, ("X..X............", "..........X.X-..", "x-..x-....x.x-.."), 58, 0.5, short=True),
        ),
        ("voice", "voice", "voice", 65, 56, 62, 27), "busy", blue=(0.5, 1.5), sevenths=0.8, dominant=0.5, loops=0.75, fills=0.3,
    ),
    "country": Style(
        (84, 168), _COUNTRY, (*FINGERED, *UPRIGHT), ("R-------5-------", "R---R---5---a---", "R-------5---a-a-"),
        (
            Layer("strum", ACOUSTIC, ("....X-du....X-du", "X---d-duX---d-du", "d---X---d---X---"), 43, 0.95),
            Layer("arpeggio", (25, 27, 105), ("x-x-x-x-x-x-x-x-", "xxxxxxxxxxxxxxxx"), 55, 0.45),
            Layer("blocks", (0, 3, 49, 21), ("X---------------", "....X-......X-.."), 57, 0.4),
        ),
        ("voice", "voice", "voice", 110, 40, 27, 22), blue=(0.0, 0.5), sevenths=0.05, minor=0.35, loops=0.1,
    ),
    "ballad": Style(
        (56, 88), _BALLAD, FINGERED, ("R-------R-----a-", "R-----R-5-----a-", "R---------------"),
        (
            Layer("arpeggio", (0, 1, 4, 24, 25), ("x-x-x-x-x-x-x-x-", "xxxxxxxxxxxxxxxx"), 52, 0.6),
            Layer("blocks", (*PIANOS, *RHODES), ("x---x---x---x---", "X-------X-------"), 53, 0.7),
            Layer("blocks", (*STRINGS, *PADS), ("X---------------",), 58, 0.6, level=0.8),
            Layer("strum", ACOUSTIC, ("X---d-d-u-d-d-du",), 43, 0.3),
        ),
        ("voice", "voice", "voice", "voice", 65, 73, 40, 0), "slow", blue=(0.0, 0.3), sevenths=0.2, loops=0.15, fills=0.3,
    ),
    "reggae": Style(
        (66, 96), _REGGAE, FINGERED, ("..R-R---5-3-....", "R-..R-5-..3-R-..", "R---3-5-....R-a-", "..R-..R-8-5-3-R-"),
        (
            Layer("strum", CLEAN, ("....X.......X...", "....Xu......Xu.."), 52, 0.95),
            Layer("blocks", (16, 17, 18, 0), ("..x.x.x...x.x.x.", "....X.......X..."), 55, 0.8, short=True),
            Layer("blocks", BRASS, ("X-----..........", "......x-x-......"), 58, 0.25),
        ),
        ("voice", "voice", "voice", 27, 16, 57, 22), swing=(0.5, 0.6), blue=(0.1, 0.8), sevenths=0.25, loops=0.5,
    ),
    "disco": Style(
        (104, 128), _FOUR[:1], (33, 36, 38), ("R-8-R-8-R-8-R-8-", "R-8-R.RR8-R-5-a-", "R.R.8.R.R.R.8.a."),
        (
            Layer("strum", CLEAN, ("X.mmX.mmX.mmX.mm", "m.X.m.X.mmX.m.X."), 52, 0.85),
            Layer("blocks", STRINGS, ("X---------------", "X-----X---------"), 60, 0.7),
            Layer("blocks", (4, 0, 7, 90), ("..X...X...X...X.", "X--x--x---x-x---"), 55, 0.6, short=True),
            Layer("blocks", BRASS, ("x..x..x.........",), 58, 0.3, short=True),
        ),
        ("voice", "voice", "voice", 48, 62), blue=(0.1, 0.8), sevenths=0.6, loops=0.5,
    ),
    "house": Style(
        (116, 132), _FOUR[1:], (*SYNTH_BASS, "saw bass"), ("..R-..R-..R-..R-", "R..R..R..R..R-..", "R-..R..R..7-..8-", "..RR..RR..RR..RR"),
        (
            Layer("blocks", (0, 0, 16, 90, "supersaw"), ("X..X..X...X.X...", "..X...X...X...X.", "X..x..x..x..x..."), 55, 0.85, short=True),
            Layer("blocks", PADS, ("X---------------",), 55, 0.7, "pump"),
            Layer("arpeggio", (81, 80, 90, "square lead"), ("xxxxxxxxxxxxxxxx", "x.xx.xx.x.xx.xx."), 60, 0.35, "pump"),
        ),
        ("voice", "voice", 81, 80, "saw lead"), kits=(24, 25, 0), blue=(0.0, 0.8), sevenths=0.6, loops=0.85, minor=0.55,
        singing=0.6, fills=0.1,
    ),
    "hiphop": Style(
        (76, 102), _BOOM_BAP, ("808", "808", 33, 32, 38), ("R-----....R-....", "R..R......R.....", "R---------------", "R-....R-R-....a-"),
        (
            Layer("blocks", (*RHODES, *PIANOS, 48, 11), ("X---------------", "X-----x---------", "x---x---x---x---"), 53, 0.8),
            Layer("arpeggio", (24, 0, 11, 4, 46), ("x-x-x-x-x-x-x-x-", "x--x--x-x--x--x-"), 57, 0.5),
            Layer("blocks", (*STRINGS, *BRASS, 52), ("X---------------", "X-..............", "..........X-x-.."), 58, 0.35),
        ),
        ("voice", "voice", 73, 65, "saw lead", 11), "busy", kits=(0, 8, 25), swing=(0.5, 0.6), blue=(0.2, 1.0), sevenths=0.5,
        loops=0.9, minor=0.6, singing=0.45, fills=0.1, dusty=0.5, rap=0.75,
    ),
    "synthwave": Style(
        (80, 124), _ELECTRO, (38, 39, "saw bass"), ("RRRRRRRRRRRRRRRR", "R-R-R-R-R-R-R-R-", "RR8RRR8RRR8RRR8R"),
        (
            Layer("blocks", PADS, ("X---------------",), 55, 0.95, "pump"),
            Layer("arpeggio", (81, 80, 90, "square lead", "supersaw"), ("xxxxxxxxxxxxxxxx", "x-x-x-x-x-x-x-x-"), 60, 0.7),
            Layer("blocks", (90, 62, "supersaw"), ("X-----X---------", "X..X..X.........") , 55, 0.4),
        ),
        ("saw lead", "square lead", 81, 80, "voice"), "slow", kits=(24, 25), blue=(0.0, 0.2), sevenths=0.2, loops=0.6, minor=0.55,
    ),
    "metal": Style(
        (90, 176), _METAL, (34, 33), ("RRRRRRRRRRRRRRRR", _EIGHTHS),
        (
            Layer("riff", (29, 30, 27, 28), ("m.mmX-mmm.mmX-X-", "mmmmX---mmmmX-X-", "X--m-mX-m-m-X-X-", "X-----X-X-----X-"), 35, 1.0, "amp",
                  scales=("pentatonic", "blues", "phrygian", "minor")),
            Layer("dyads", (29, 30, 27), ("X---------------",), 35, 0.3, "amp"),
        ),
        ("voice", 29, 30, 30), blue=(0.3, 1.0), singing=0.55, loops=0.8, minor=0.7, scale="pentatonic", drive=(1.0, 3.0),
    ),
    # The four below are not trained on: what a model knows of their kin it must carry over.
    "beat": Style(
        (112, 164), _ROCK[:1] + _ROCK[3:], FINGERED, ("R---5---R---a---", "R-R-5-5-R-R-a-a-", "R-----R-5-----a-"),
        (
            Layer("strum", (26, 27, 25), ("X-d-X-duX-d-X-du", "X---d-du-udu-udu"), 43, 0.95),
            Layer("blocks", (16, 17, 0, 7), ("x-x-x-x-x-x-x-x-", "X---------------"), 57, 0.5),
            Layer("arpeggio", (26, 27), ("x-x-x-x-x-x-x-x-",), 52, 0.4),
        ),
        ("voice", "voice", 26, 16, 22), blue=(0.1, 0.8), loops=0.2, dusty=0.4,
    ),
    "gospel": Style(
        (60, 104), _SHUFFLE[:2], FINGERED, ("R-----R-5---3-a-", "R---3---5---a---", "R-R-..R-5-7-a-a-"),
        (
            Layer("blocks", (0, 1), ("x-x-x-x-x-x-x-x-", "X--x--x-X--x--x-"), 50, 0.95),
            Layer("blocks", (16, 17, 18), ("X---------------",), 57, 0.9),
            Layer("blocks", (52, 53), ("X---------------", "X-----x---------"), 57, 0.5),
        ),
        ("voice", "voice", 16, 65), swing=(0.64, 0.68), blue=(0.4, 1.2), sevenths=0.6, dominant=0.4, loops=0.25,
    ),
    "trap": Style(
        (64, 82), _TRAP, ("808",), ("R-----R----R----", "R---------------", "R--R------R-----", "R-------8-7-R-a-"),
        (
            Layer("arpeggio", (11, 0, 10, 46, 88, 24), ("x-x-x-x-x-x-x-x-", "x--x--x--x--x-x-"), 60, 0.8),
            Layer("blocks", (*PADS, 0, 52), ("X---------------",), 55, 0.7),
        ),
        ("voice", 80, 73, "square lead"), "busy", kits=(25, 24), blue=(0.0, 0.6), sevenths=0.15, loops=0.95, minor=0.6, singing=0.5,
        fills=0.0, rap=0.6,
    ),
    "electro": Style(
        (124, 140), _FOUR[1:], ("saw bass", 38, 39), ("..R-..R-..R-..R-", ".RRR.RRR.RRR.RRR", "R-R-R-R-R-R-R-R-"),
        (
            Layer("arpeggio", ("supersaw", "square lead", 81), ("xxxxxxxxxxxxxxxx", "x..x..x..x..x.x."), 60, 0.85, "pump"),
            Layer("blocks", ("saw pad", "supersaw", 90), ("X---------------",), 53, 0.85, "pump"),
        ),
        ("saw lead", "supersaw", 81, "voice"), kits=(24, 25), blue=(0.0, 0.3), loops=0.6, minor=0.5, singing=0.6, fills=0.1,
    ),
}  # fmt: skip
# Kept for measuring.
HELD_OUT = ("beat", "gospel", "trap", "electro")
TRAINED = tuple(name for name in STYLES if name not in HELD_OUT)
