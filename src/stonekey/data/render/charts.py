"""Read chord charts: lines of JSON with times, or plain text such as ``| C . F G | Am |``."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stonekey.keys import Key

JSON_LINES = ".jsonl"
TEXT = ".chart"

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# Semitones of the degrees 1 to 7 of the major scale.
_DEGREES = (0, 2, 4, 5, 7, 9, 11)
# The shorthands of Harte's syntax (ISMIR 2005, table 1) and of McGill Billboard, as degrees.
_QUALITIES = {
    "maj": "1 3 5", "min": "1 b3 5", "dim": "1 b3 b5", "aug": "1 3 #5",
    "maj7": "1 3 5 7", "min7": "1 b3 5 b7", "7": "1 3 5 b7", "dim7": "1 b3 b5 bb7",
    "hdim7": "1 b3 b5 b7", "minmaj7": "1 b3 5 7", "maj6": "1 3 5 6", "min6": "1 b3 5 6",
    "9": "1 3 5 b7 9", "maj9": "1 3 5 7 9", "min9": "1 b3 5 b7 9", "11": "1 5 b7 9 11",
    "min11": "1 b3 5 b7 9 11", "maj11": "1 3 5 7 9 11", "13": "1 3 5 b7 9 13",
    "min13": "1 b3 5 b7 9 13", "maj13": "1 3 5 7 9 13", "sus2": "1 2 5", "sus4": "1 4 5",
    "7sus4": "1 4 5 b7", "9sus4": "1 4 5 b7 9", "add9": "1 3 5 9", "minadd9": "1 b3 5 9",
    "5": "1 5", "1": "1", "69": "1 3 5 6 9",
}  # fmt: skip
# How musicians write them.
_ALIASES = {
    "": "maj", "M": "maj", "m": "min", "mi": "min", "-": "min", "o": "dim", "°": "dim",
    "+": "aug", "ø": "hdim7", "h7": "hdim7", "o7": "dim7", "°7": "dim7", "sus": "sus4",
    "7sus": "7sus4", "2": "add9", "6": "maj6", "M7": "maj7", "Δ": "maj7", "M9": "maj9",
}  # fmt: skip
_CHORD = re.compile(
    r"(?P<root>[A-G][#b♯♭]*):?"
    r"(?P<quality>[^()/:#b♯♭]*|)"
    r"(?P<altered>(?:[#b♯♭]+\d+)*)"
    r"(?:\((?P<added>[^()]*)\))?"
    r"(?:/(?P<bass>[A-G][#b♯♭]*|[#b♯♭]*\d+))?"
)
_SILENT = ("N", "X", "N.C.", "NC")
_HEADER = re.compile(r"\s*(key|metre)\s*:\s*(.+?)\s*", re.IGNORECASE)
# Seconds that a bar lasts in most songs; other values are of half bars or pairs.
_BAR = (1.25, 4.2)
_LONGEST = 3600.0  # seconds of one chord


@dataclass(frozen=True)
class Chord:
    """Pitch classes: the root, semitones above it (0 first, 0 to 11 each) and the bass."""

    root: int
    tones: tuple[int, ...]
    bass: int

    @property
    def minor(self) -> bool:
        """Whether the third is minor and not major; a chord without third is not."""
        return 3 in self.tones and 4 not in self.tones

    def moved(self, semitones: int) -> Chord:
        """The chord transposed."""
        return replace(self, root=(self.root + semitones) % 12, bass=(self.bass + semitones) % 12)


@dataclass(frozen=True)
class Chart:
    """Chords in order, each with its length in beats; None where no chord sounds.

    Attributes:
        key: of the song.
        chords: (beats, chord).
        bar: beats in a bar.
        triplets: beats are divided by three, as in 12/8.
    """

    key: Key
    chords: tuple[tuple[int, Chord | None], ...]
    bar: int = 4
    triplets: bool = False

    @property
    def at_home(self) -> float:
        """Share of the beats with chords whose root is the tonic."""
        sounding = [(beats, chord) for beats, chord in self.chords if chord]
        home = sum(beats for beats, chord in sounding if chord.root == self.key.tonic)
        return home / sum(beats for beats, _ in sounding)

    def other_mode(self) -> Chart | None:
        """The song in the parallel key: i for I, iv for IV, bVI for vi, and so on.

        None where too little of it is diatonic to be carried over: what remains would be in
        neither key.
        """
        table = _TO_MINOR if self.key.mode == "major" else _TO_MAJOR
        chords: list[tuple[int, Chord | None]] = []
        lost = 0
        following = [chord for _, chord in self.chords[1:]] + [None]
        for (beats, chord), then in zip(self.chords, following, strict=True):
            if chord is None:
                chords.append((beats, None))
                continue
            place = ((chord.root - self.key.tonic) % 12, chord.minor)
            if place not in table:
                lost += beats
                continue
            root, tones = table[place]
            # The leading note is raised where it leads, else the scale's own seventh stands.
            if self.key.mode == "major" and root == 7 and then and then.root != self.key.tonic:
                tones = _MINOR
            low = (self.key.tonic + root) % 12
            chords.append((beats, Chord(low, tones, low)))
        if lost > 0.05 * sum(beats for beats, _ in self.chords):
            return None
        return replace(self, key=self.key.parallel, chords=tuple(chords))


_MAJOR, _MINOR, _SEVENTH = (0, 4, 7), (0, 3, 7), (0, 4, 7, 10)
# (semitones above the tonic, minor) of a chord, and what has its function in the other mode.
_TO_MINOR = {
    (0, False): (0, _MINOR), (2, True): (5, _MINOR), (4, True): (3, _MAJOR),
    (5, False): (5, _MINOR), (7, False): (7, _SEVENTH), (9, True): (8, _MAJOR),
    (10, False): (10, _MAJOR), (5, True): (5, _MINOR), (7, True): (7, _MINOR),
}  # fmt: skip
_TO_MAJOR = {
    (0, True): (0, _MAJOR), (5, True): (5, _MAJOR), (3, False): (4, _MINOR),
    (7, True): (7, _MAJOR), (7, False): (7, _SEVENTH), (8, False): (9, _MINOR),
    (10, False): (10, _MAJOR), (5, False): (5, _MAJOR),
}  # fmt: skip


def _accidentals(text: str) -> int:
    return sum({"#": 1, "♯": 1, "b": -1, "♭": -1}[sign] for sign in text)


def _degree(text: str) -> int:
    """Semitones, 0 to 11, of a degree such as b7 or #11."""
    found = re.fullmatch(r"([#b♯♭]*)(\d+)", text)
    if not found or not 1 <= int(found[2]) <= 13:
        raise ValueError(f"not a degree: {text!r}")
    return (_DEGREES[(int(found[2]) - 1) % 7] + _accidentals(found[1])) % 12


def _pitch_class(name: str) -> int:
    return (_LETTERS[name[0]] + _accidentals(name[1:])) % 12


def parse_chord(label: str) -> Chord | None:
    """Read a chord in Harte's syntax (``Bb:min7/b3``) or as musicians write it (``Bbm7/Db``).

    Returns:
        The chord; None for N (no chord) and X (unknown).

    Raises:
        ValueError: when the label is not a chord.
    """
    if label in _SILENT:
        return None
    found = _CHORD.fullmatch(label)
    if not found:
        raise ValueError(f"not a chord: {label!r}")
    root = _pitch_class(found["root"])
    quality, added = found["quality"], found["added"]
    try:
        if not quality and added and ":(" in label:
            tones = {0}  # Harte: a list without a shorthand stands alone
        else:
            tones = {_degree(d) for d in _shorthand(quality).split()}
        for degree in (added or "").replace(" ", "").split(","):
            if degree.startswith("*"):
                tones.discard(_degree(degree[1:]))
            elif degree:
                tones.add(_degree(degree.removeprefix("add")))
        for degree in re.findall(r"[#b♯♭]+\d+", found["altered"]):
            if degree[1:] == "5":
                tones.discard(7)
            tones.add(_degree(degree))
        low = found["bass"]
        bass = root if not low else None
        if bass is None:
            bass = _pitch_class(low) if low[0] in _LETTERS else (root + _degree(low)) % 12
    except (KeyError, ValueError):
        raise ValueError(f"not a chord: {label!r}") from None
    return Chord(root, tuple(sorted(tones)), bass)


def _shorthand(quality: str) -> str:
    """The degrees of a quality; KeyError for an unknown quality."""
    plain = _ALIASES.get(quality, quality)
    if plain not in _QUALITIES:  # m7, mi9, -7
        plain = re.sub(r"^(m(?!aj|in)i?|-)", "min", plain).replace("M", "maj")
    return _QUALITIES[plain]


def read_charts(path: Path) -> list[tuple[str, Chart]]:
    """The charts of a file, each with a name that is its own in the file.

    A ``.jsonl`` file has a song in each line: ``tonic``, ``mode``, ``chords`` as [start, end,
    label] in seconds (those that end before they begin, as one song of McGill Billboard has them,
    are left out) and, if known, ``id`` and ``metre``. Any other is one song in plain text:
    ``key: A minor``, perhaps ``metre: 3/4``, and bars between ``|`` whose chords share it
    evenly; ``.`` repeats the chord before, ``%`` the bar before, ``N`` is silence, ``#`` at the
    beginning of a line starts a comment.

    Raises:
        ValueError: for a line that is not a chart, with file and line number.
        OSError: when the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8: {error}") from error
    if path.suffix.lower() != JSON_LINES:
        return [(path.stem, _from_text(path, text))]
    charts = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                song = json.loads(line)
                charts.append((str(song.get("id", number)), _from_json(song)))
            except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
                reason = f"no {error}" if isinstance(error, KeyError) else error
                raise ValueError(f"{path}:{number}: not a chord chart: {reason}") from error
    doubled = [name for name, count in Counter(name for name, _ in charts).items() if count > 1]
    if doubled:
        raise ValueError(f"{path}: several songs have the id {doubled[0]!r}")
    if not charts:
        raise ValueError(f"{path}: no chord chart")
    return charts


def _from_json(song: dict[str, Any]) -> Chart:
    key = Key.parse(f"{song['tonic']} {song['mode']}")
    bar, triplets = _metre(str(song.get("metre", "4/4")))
    timed = [
        (float(end) - float(start), parse_chord(label)) for start, end, label in song["chords"]
    ]
    timed = [(length, chord) for length, chord in timed if length > 0]
    if any(length > _LONGEST for length, _ in timed):
        raise ValueError(f"a chord of more than {_LONGEST:g} s")
    while timed and timed[0][1] is None:
        del timed[0]
    while timed and timed[-1][1] is None:
        del timed[-1]
    if not timed:
        raise ValueError("no chords")
    # Annotators divide a song into bars: the bar is where half of the music is in longer spans.
    lengths = np.sort([seconds for seconds, chord in timed if chord])
    seconds = float(lengths[np.searchsorted(np.cumsum(lengths), lengths.sum() / 2)])
    beats = bar * (0.5 if seconds < _BAR[0] else 2 if seconds > _BAR[1] else 1)
    rounded = ((round(beats * length / seconds), chord) for length, chord in timed)
    chords = tuple((length, chord) for length, chord in rounded if length)
    if not any(chord for _, chord in chords):
        raise ValueError("no chords")
    return Chart(key, chords, bar, triplets)


def _metre(text: str) -> tuple[int, bool]:
    """Beats in a bar, and whether they have three parts; 6/8 is taken in pairs of bars."""
    found = re.fullmatch(r"(\d+)/(2|4|8)", text.strip())
    if not found or not 1 <= int(found[1]) <= 16:
        raise ValueError(f"not a metre: {text!r}")
    beats = int(found[1])
    if found[2] == "8" and beats % 3 == 0:
        return max(beats // 3, 4) if beats != 9 else 3, True
    return beats, False


def _from_text(path: Path, text: str) -> Chart:
    key, bar, triplets = None, 4, False
    chords: list[tuple[int, Chord | None]] = []
    before: list[tuple[int, Chord | None]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if header := _HEADER.fullmatch(line):
                name, value = header[1].lower(), header[2]
                if name == "key":
                    key = Key.parse(value)
                elif name == "metre":
                    bar, triplets = _metre(value)
                continue
            if "|" not in line:
                raise ValueError(f"neither bars nor a key: {line.strip()!r}")
            for cell in line.split("|"):
                if tokens := cell.split():
                    before = _bar(tokens, bar, before, chords)
                    chords += before
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    if key is None:
        raise ValueError(f"{path}: a chart needs a line such as 'key: A minor'")
    if not any(chord for _, chord in chords):
        raise ValueError(f"{path}: no chords")
    return Chart(key, tuple(chords), bar, triplets)


def _bar(
    tokens: list[str],
    bar: int,
    before: list[tuple[int, Chord | None]],
    chords: list[tuple[int, Chord | None]],
) -> list[tuple[int, Chord | None]]:
    """The chords of one bar; beats that do not divide evenly go to the first."""
    if tokens == ["%"]:
        if not before:
            raise ValueError("% repeats a bar, and there is none before")
        return before
    if len(tokens) > bar:
        raise ValueError(f"{len(tokens)} chords in a bar of {bar} beats")
    found: list[tuple[int, Chord | None]] = []
    share, rest = divmod(bar, len(tokens))
    for i, token in enumerate(tokens):
        beats = share + (i < rest)
        if token != ".":
            found.append((beats, parse_chord(token)))
        elif found:
            found[-1] = (found[-1][0] + beats, found[-1][1])
        elif chords:
            found.append((beats, chords[-1][1]))
        else:
            raise ValueError(". repeats a chord, and there is none before")
    return found
