"""Keys and key signatures: parsing, spelling, relations. No numerics.

Pitch classes count semitones up from C = 0. Fifths count steps on the circle of fifths up
from C major and A minor, so sharps are positive and flats negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stonekey.options import one_of

Mode = Literal["major", "minor"]

# Written in place of a key where there is none.
NO_KEY = "no key"
UNLABELLED = "unlabelled"
# The warning of an estimate without a key, where the music and not a setting is the reason.
UNCLEAR = "no clear key: noise, speech or drums?"
# Texts, in lower case, that say that there is no key, and texts that say nothing about it.
_KEYLESS = frozenset({NO_KEY, "x", "o", "off key", "off-key", "offkey", "silence", "silent"})
_SILENT = frozenset({"", "-", "?", "none", "unknown", "n/a"})

NOTATIONS = ("musical", "sharps", "flats", "short", "camelot", "openkey")

_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
# The spelling with fewer accidentals in its signature; with six of either, the commoner one.
_CONVENTIONAL = {
    "major": ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"),
    "minor": ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"),
}
_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "##": 2, "x": 2, "b": -1, "bb": -2, "sharp": 1, "flat": -1}
_MODES: dict[str, Mode] = {
    "ma": "major", "maj": "major", "major": "major", "ionian": "major", "dur": "major",
    "m": "minor", "mi": "minor", "min": "minor", "minor": "minor", "aeolian": "minor",
    "moll": "minor",
}  # fmt: skip

# ASCII: otherwise a dotless i or a long s would match, ignoring case.
_FLAGS = re.IGNORECASE | re.ASCII
_WHEEL = re.compile(r"(1[0-2]|0?[1-9])\s*([ABDM])", _FLAGS)
_MUSICAL = re.compile(
    r"([A-G])(?:[\s_-]*(##|bb|#|b|x|sharp|flat))?"
    r"(?:[\s:_-]*(major|maj|ma|minor|min|mi|m|ionian|aeolian)\.?)?",
    _FLAGS,
)
# As and Es are the only contractions.
_GERMAN = re.compile(r"([A-H])(is|es|(?<=[AE])s|)[\s:_-]*(dur|moll)", _FLAGS)
# German names that are none in English, so that they need no German mode.
_BARE_GERMAN = re.compile(
    r"(H(?!is|es)|[AC-G](?=is|es|s))(is|es|(?<=[AE])s|)"
    r"(?:[\s:_-]*(major|maj|ma|minor|min|mi|m)\.?)?",
    _FLAGS,
)
# What programs write after a key: cents of detuning, energy or tempo.
_UNIT = r"\s?(?:cents?|ct|c)"
_CENTS = rf"[+±-]\s?(?:100|\d\d?)(?:\.\d+)?(?:{_UNIT})?"
_ASIDES = (
    # Without a space only what cannot be a chord, as C-5 is.
    re.compile(rf"(?:\s+{_CENTS}|\s*\({_CENTS}\)|[+-]\d(?:\d(?:{_UNIT})?|{_UNIT}))$", _FLAGS),
    re.compile(r"(?:\s+-\s+(?:energy\s)?\d{1,3}(?:\.\d+)?)+$", _FLAGS),
)
_BRACKETED = re.compile(r"([^()\[\]]+?)\s*(?:\(([^()\[\]]+)\)|\[([^()\[\]]+)\])")
_BETWEEN = re.compile(r"\s*[/=;,]\s*|\s+-\s+")
# One tonic in two spellings that share a mode, as in F#/Gb minor.
_TONIC = r"([A-G](?:\s?(?:##|bb|#|b|sharp|flat))?)"
_TWICE = re.compile(
    rf"{_TONIC}(?:\s*[/=-]\s*|\s+or\s+|\s*(\())\s*{_TONIC}(?(2)\))([\s:_-]+m.*)", _FLAGS
)
_LONGEST = 100  # characters that may be a key
_COUNTED = re.compile(r"([0-7])\s*(sharps?|flats?|[#♯♭])", _FLAGS)


_PLAIN = str.maketrans(
    {"♯": "#", "♭": "b", "𝄪": "##", "𝄫": "bb"}
    | {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\0": " ", "\N{ZERO WIDTH NO-BREAK SPACE}": " "}
)


def _plain(text: str) -> str:
    """Text with ASCII sharps, flats and minus and single spaces, none at either end."""
    return " ".join(text.translate(_PLAIN).split())


def _mode(letter: str, mode: str | None) -> Mode:
    if not mode:
        return "major" if letter.isupper() else "minor"
    return "major" if mode == "M" else _MODES[mode.lower()]


def _names(plain: str) -> Iterator[str]:
    """The names in the text of a key, which should all name the same."""
    if len(plain) > _LONGEST:
        return
    plain = _without_asides(plain)
    bracketed = _BRACKETED.fullmatch(plain)
    for text in [part for part in bracketed.groups() if part] if bracketed else [plain]:
        for name in _BETWEEN.split(text):
            name = _without_asides(name)
            before, _, last = name.rpartition(" ")
            first, _, after = name.partition(" ")
            if before and _WHEEL.fullmatch(last):  # Am 8A
                yield from (before, last)
            elif after and _WHEEL.fullmatch(first):  # 8A Am
                yield from (first, after)
            else:
                yield name


def _without_asides(text: str) -> str:
    for aside in _ASIDES:
        text = aside.sub("", text)
    return text


def _around(semitones: int) -> int:
    """A distance in semitones as steps on the circle of fifths, -5 to 6."""
    return (7 * semitones + 5) % 12 - 5


@dataclass(frozen=True, order=True)
class Key:
    """One of the 24 keys: a tonic, 0 to 11 with C = 0, and a mode."""

    tonic: int
    mode: Mode

    def __post_init__(self) -> None:
        if self.tonic not in range(12) or self.mode not in ("major", "minor"):
            raise ValueError(f"no key with tonic {self.tonic!r} and mode {self.mode!r}")

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a key in any common spelling.

        A letter, sharps or flats in ASCII, Unicode or words, then the mode: ``C# minor``,
        ``Db:maj``, ``B♭m``, ``e-flat min``, ``Cb``, ``E# major``. Without a mode, an upper-case
        letter means major and a lower-case one minor (``A``, ``a``); ``M`` is major, ``m`` minor.
        Camelot (``12A``) and Open Key (``5m``) work too, and so do German names (``fis-Moll``,
        ``Fism``, ``Es``, ``Hm``); ``B`` is B flat only where the mode is German (``B-Dur``).

        As programs write it, one key may have several names (``8A (Am)``, ``F♯/G♭``), followed
        by cents (``Ab -50``) or by energy or tempo (``8A - 6``), which say nothing about the key.

        Raises:
            ValueError: the text is not a key, or names several.
        """
        keys = cls._all(text)
        if len(keys) > 1:
            raise ValueError(f"not a key but several: {text!r}")
        return keys.pop()

    @classmethod
    def _all(cls, text: str) -> set[Key]:
        """The keys that a text names, one or more; ValueError if anything else is in it."""
        plain = _plain(text)
        if key := cls._named(plain):
            return {key}
        twice = _TWICE.fullmatch(plain)
        if twice and cls._named(f"{twice[1]} major") == cls._named(f"{twice[3]} major"):
            plain = twice[3] + twice[4]
        keys = {cls._named(name) for name in _names(plain)}
        if not keys or None in keys:
            raise ValueError(f"not a key: {text!r} (examples: 'C# minor', 'Db', 'F#m', '12A')")
        return keys  # type: ignore[return-value]

    @classmethod
    def _named(cls, plain: str) -> Key | None:
        """The key of this name, None when it is none."""
        if wheel := _WHEEL.fullmatch(plain):
            return cls._from_wheel(int(wheel[1]), wheel[2].upper())
        found = _MUSICAL.fullmatch(plain)
        if not found:
            german = _GERMAN.fullmatch(plain) or _BARE_GERMAN.fullmatch(plain)
            return cls._from_german(*german.groups()) if german else None
        letter, accidental, mode = found.groups()
        tonic = (_NATURALS[letter.upper()] + _ACCIDENTALS[(accidental or "").lower()]) % 12
        return cls(tonic, _mode(letter, mode))

    @classmethod
    def _from_wheel(cls, number: int, letter: str) -> Key:
        fifths = number - (8 if letter in "AB" else 1)
        major = 7 * fifths % 12
        return cls(major, "major") if letter in "BD" else cls((major + 9) % 12, "minor")

    @classmethod
    def _from_german(cls, letter: str, ending: str, mode: str | None) -> Key:
        natural = {**_NATURALS, "B": 10, "H": 11}[letter.upper()]
        step = {"": 0, "is": 1, "es": -1, "s": -1}[ending.lower()]
        return cls((natural + step) % 12, _mode(letter, mode))

    @classmethod
    def from_index(cls, index: int) -> Key:
        """The key with this `index`.

        Raises:
            ValueError: outside 0 to 23.
        """
        if index not in range(24):
            raise ValueError(f"a key index must be 0 to 23, got {index}")
        return cls(index % 12, "major" if index < 12 else "minor")

    @property
    def index(self) -> int:
        """0 to 11 for C major to B major, 12 to 23 for C minor to B minor."""
        return self.tonic + (12 if self.mode == "minor" else 0)

    def format(self, notation: str = "musical") -> str:
        """Write the key.

        Args:
            notation: ``musical`` (Eb minor, conventional enharmonics), ``sharps`` (D# minor),
                ``flats`` (Eb minor), ``short`` (Ebm, fits an ID3 TKEY), ``camelot`` (2A) or
                ``openkey`` (7m).

        Raises:
            ValueError: an unknown notation.
        """
        one_of("notation", notation, NOTATIONS)
        if notation == "camelot":
            return f"{(self.signature.fifths + 7) % 12 + 1}{'B' if self.mode == 'major' else 'A'}"
        if notation == "openkey":
            return f"{self.signature.fifths % 12 + 1}{'d' if self.mode == 'major' else 'm'}"
        if notation == "short":
            return _CONVENTIONAL[self.mode][self.tonic] + ("m" if self.mode == "minor" else "")
        names = {"musical": _CONVENTIONAL[self.mode], "sharps": _SHARPS, "flats": _FLATS}
        return f"{names[notation][self.tonic]} {self.mode}"

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"Key.parse({str(self)!r})"

    def transpose(self, semitones: int) -> Key:
        """The key ``semitones`` higher."""
        return Key((self.tonic + semitones) % 12, self.mode)

    @property
    def relative(self) -> Key:
        """The key of the other mode with the same signature."""
        if self.mode == "major":
            return Key((self.tonic + 9) % 12, "minor")
        return Key((self.tonic + 3) % 12, "major")

    @property
    def parallel(self) -> Key:
        """The key of the other mode on the same tonic."""
        return Key(self.tonic, "minor" if self.mode == "major" else "major")

    @property
    def dominant(self) -> Key:
        """The key a fifth up."""
        return self.transpose(7)

    @property
    def subdominant(self) -> Key:
        """The key a fifth down."""
        return self.transpose(5)

    @property
    def signature(self) -> KeySignature:
        """The key signature, shared with the relative key."""
        return KeySignature(self.tonic if self.mode == "major" else (self.tonic + 3) % 12)

    def fifths_distance(self, other: Key | KeySignature) -> int:
        """Steps between the two signatures on the circle of fifths, 0 to 6."""
        return self.signature.fifths_distance(other)


@dataclass(frozen=True, order=True)
class KeySignature:
    """One of the 12 key signatures, by the tonic of its major key (C = 0)."""

    tonic: int

    def __post_init__(self) -> None:
        if self.tonic not in range(12):
            raise ValueError(f"no key signature with major tonic {self.tonic!r}")

    @classmethod
    def parse(cls, text: str) -> KeySignature:
        """Read a signature: ``Eb major / C minor``, either key alone, or ``3 flats``.

        Raises:
            ValueError: the text is none of these, or its two keys are not relative.
        """
        if counted := _COUNTED.fullmatch(text.strip()):
            sign = 1 if counted[2][0].lower() in "s#♯" else -1
            return cls(7 * sign * int(counted[1]) % 12)
        signatures = {key.signature for key in Key._all(text)}
        if len(signatures) != 1:
            raise ValueError(f"not one key signature: {text!r}")
        return signatures.pop()

    @property
    def fifths(self) -> int:
        """Sharps (positive) or flats (negative), -5 to 6."""
        return _around(self.tonic)

    @property
    def major(self) -> Key:
        """The major key of this signature."""
        return Key(self.tonic, "major")

    @property
    def minor(self) -> Key:
        """The minor key of this signature."""
        return self.major.relative

    @property
    def signature(self) -> KeySignature:
        """Itself, so that callers can treat keys and signatures alike."""
        return self

    def transpose(self, semitones: int) -> KeySignature:
        """The signature ``semitones`` higher."""
        return KeySignature((self.tonic + semitones) % 12)

    def fifths_distance(self, other: Key | KeySignature) -> int:
        """Steps to another signature on the circle of fifths, 0 to 6."""
        return abs(_around(self.tonic - other.signature.tonic))

    def format(self, notation: str = "musical") -> str:
        """Both keys, major first, as `Key.format` writes them: ``Eb major / C minor``.

        Six sharps keep one spelling for both: ``F# major / D# minor``, not ``Eb minor``.
        """
        both = f"{self.major.format(notation)} / {self.minor.format(notation)}"
        if self.tonic == 6 and notation in ("musical", "short"):
            return both.replace("Eb", "D#")
        return both

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"KeySignature.parse({str(self)!r})"


ClassLabel = Key | KeySignature


KEY_FIELDS = ("key", "tonic", "mode", "signature", "camelot", "open_key")


def key_fields(label: ClassLabel | None, notation: str = "musical") -> dict[str, str | None]:
    """A key as the fields of JSON and CSV output, `KEY_FIELDS` in order.

    All are None for no key; ``tonic`` and ``mode`` are None for a key signature. Only ``key``
    follows ``notation``.
    """
    if label is None:
        return dict.fromkeys(KEY_FIELDS)
    tonic, mode = str(label).split() if isinstance(label, Key) else (None, None)
    return {
        "key": label.format(notation),
        "tonic": tonic,
        "mode": mode,
        "signature": str(label.signature),
        "camelot": label.format("camelot"),
        "open_key": label.format("openkey"),
    }


def non_key(text: str) -> str | None:
    """What a label says that is no key: `NO_KEY`, `UNLABELLED` (nothing is known), or None."""
    plain = _plain(text).lower()
    return NO_KEY if plain in _KEYLESS else UNLABELLED if plain in _SILENT else None


def parse_label(text: str) -> ClassLabel:
    """Read a key or else a key signature, in any spelling that either `parse` knows.

    Raises:
        ValueError: the text is neither.
    """
    try:
        return Key.parse(text)
    except ValueError:
        try:
            return KeySignature.parse(text)
        except ValueError:
            raise ValueError(f"neither a key nor a key signature: {text!r}") from None
