"""Rhythms of four beats: of drums, of bass lines and of chords.

Each sign is a stroke, ``-`` holds the one before and ``.`` is silence; of drums, ``X`` is loud,
``x`` is not, and ``g`` is a ghost note. `stonekey.data.render.parts` explains the other signs and
the letters of the drums.
"""

from __future__ import annotations

Drums = tuple[dict[str, str], ...]

HELD = "X---------------"
QUARTERS = "x---x---x---x---"
EIGHTHS = "x-x-x-x-x-x-x-x-"
SIXTEENTHS = "xxxxxxxxxxxxxxxx"
OFFBEATS = "..X...X...X...X."
BACKBEATS = "....X.......X..."

ROCK: Drums = (
    {"k": "X.......X.x.....", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.....x.X.......", "s": "....X.......X...", "d": "x.x.x.x.x.x.x.x."},
    {"k": "X.x.....x.x.....", "s": "....X.......X..x", "o": "x...x...x...x..."},
    {"k": "X...X...X...X...", "s": "..x...X...x...X.", "h": "x.x.x.x.x.x.x.x."},
)
BEAT: Drums = (ROCK[0], ROCK[3], ROCK[1])
SHUFFLE: Drums = (
    {"k": "X...x...X...x...", "s": "....X.......X...", "d": "x.x.x.x.x.x.x.x."},
    {"k": "X.....x.X.....x.", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X...............", "r": "........X.......", "h": "x.x.x.x.x.x.x.x."},
)
FUNK: Drums = (
    {"k": "X..x......x..x..", "s": "....X..g.g..X..g", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.x.......X.....", "s": "....X..g.g.gX...", "h": "xxxxxxxxxxxxxxxx"},
    {
        "k": "X......x..X.....",
        "s": "....X.......X...",
        "h": "x.xxx.xxx.xxx.xx",
        "o": "..............x.",
    },
)
SOUL: Drums = (
    {"k": "X.....x.X.......", "s": "X...X...X...X...", "t": "..x...x...x...x."},
    {"k": "X.....x...x.....", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
)
COUNTRY: Drums = (
    {"k": "X.......X.......", "s": "....x.......x...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.......X.......", "r": "....X.......X...", "a": "x.x.x.x.x.x.x.x."},
    {"k": "X...x...X...x...", "s": "..x...x...x...x."},
)
BALLAD: Drums = (
    {"k": "X.......x.x.....", "r": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.......X.......", "s": "....X.......X...", "d": "x...x...x...x..."},
    {},
)
REGGAE: Drums = (
    {"k": "........X.......", "r": "........X.......", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X...X...X...X...", "s": "........X.......", "h": "..x...x...x...x."},
    {"k": "X.......x.......", "r": "....x..x....x...", "h": "x.xxx.x.x.xxx.x."},
)
FOUR: Drums = (
    {
        "k": "X...X...X...X...",
        "s": "....X.......X...",
        "o": "..x...x...x...x.",
        "h": "xx.xxx.xxx.xxx.x",
    },
    {"k": "X...X...X...X...", "c": "....X.......X...", "o": "..X...X...X...X."},
    {"k": "X...X...X...X...", "h": "..x...x...x...x.", "a": "xgxgxgxgxgxgxgxg"},
)
BOOM_BAP: Drums = (
    {"k": "X..x......x.....", "s": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.x....x..x.....", "s": "....X.......X..g", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.....x.x.......", "c": "....X.......X...", "h": "x.x.xxx.x.x.x.xx"},
)
TRAP: Drums = (
    {"b": "X.....x....x....", "c": "........X.......", "h": "x.x.x.x.x.xxx.x."},
    {"b": "X..x......x.....", "c": "........X.......", "h": "xxxxx.x.xxx.xxxx"},
    {
        "b": "X.........x..x..",
        "e": "........X.......",
        "h": "x.x.xgxgx.x.x.x.",
        "o": "..............x.",
    },
)
METAL: Drums = (
    {"k": "XxXxXxXxXxXxXxXx", "s": "....X.......X...", "d": "x...x...x...x..."},
    {"k": "X.xxX.xxX.xxX.xx", "s": "....X.......X...", "o": "x...x...x...x..."},
    {"k": "X.x...x.X.x...x.", "s": "....X.......X...", "o": "x.x.x.x.x.x.x.x."},
)
ELECTRO: Drums = (
    {"k": "X...X...X...X...", "e": "....X.......X...", "h": "xxxxxxxxxxxxxxxx"},
    {"k": "X.......X.x.....", "e": "....X.......X...", "h": "x.x.x.x.x.x.x.x."},
    {"k": "X.....X.....X...", "e": "....X.......X...", "h": "x.x.x.x.x.x.x.xx"},
)
FOLK: Drums = ({}, {"a": "x.x.x.x.x.x.x.x."}, {"k": "X.......X.......", "r": "....x.......x..."})
