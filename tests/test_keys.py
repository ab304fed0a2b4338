"""Keys: every spelling, every notation, relations, class tables."""

from __future__ import annotations

import pytest

from stonekey.keys import (
    KEY_FIELDS,
    NO_KEY,
    NOTATIONS,
    UNLABELLED,
    Key,
    KeySignature,
    key_fields,
    non_key,
    parse_label,
)
from stonekey.model.class_table import parse_class_table

KEYS = [Key.from_index(i) for i in range(24)]
SIGNATURES = [KeySignature(i) for i in range(12)]

# Written out by hand from the two published wheels, clockwise from C major / A minor.
WHEEL = [
    ("C", "A", "8", "1"),
    ("G", "E", "9", "2"),
    ("D", "B", "10", "3"),
    ("A", "F#", "11", "4"),
    ("E", "C#", "12", "5"),
    ("B", "G#", "1", "6"),
    ("F#", "Eb", "2", "7"),
    ("Db", "Bb", "3", "8"),
    ("Ab", "F", "4", "9"),
    ("Eb", "C", "5", "10"),
    ("Bb", "G", "6", "11"),
    ("F", "D", "7", "12"),
]


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_every_key_round_trips_in_every_notation(key: Key, notation: str) -> None:
    text = key.format(notation)
    assert Key.parse(text) == key
    assert Key.parse(f"  {text}\n") == key
    assert Key.from_index(key.index) == key


@pytest.mark.parametrize("notation", NOTATIONS)
def test_notations_are_one_to_one(notation: str) -> None:
    assert len({key.format(notation) for key in KEYS}) == 24


@pytest.mark.parametrize(("major", "minor", "camelot", "open_key"), WHEEL)
def test_wheels(major: str, minor: str, camelot: str, open_key: str) -> None:
    up, down = Key.parse(f"{major} major"), Key.parse(f"{minor} minor")
    assert (str(up), str(down)) == (f"{major} major", f"{minor} minor")
    assert (up.format("camelot"), down.format("camelot")) == (f"{camelot}B", f"{camelot}A")
    assert (up.format("openkey"), down.format("openkey")) == (f"{open_key}d", f"{open_key}m")
    assert up.relative == down
    assert down.relative == up
    assert up.signature == down.signature
    assert Key.parse(f"{camelot.zfill(2)}{'b'}") == up
    assert Key.parse(f"{open_key}M") == down


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C# minor", "C# minor"),
        ("Db:maj", "Db major"),
        ("A# minor", "Bb minor"),
        ("C Major", "C major"),
        ("C MAJOR", "C major"),
        ("C#m", "C# minor"),
        ("Bbmin", "Bb minor"),
        ("bbm", "Bb minor"),
        ("b minor", "B minor"),
        ("bb", "Bb minor"),
        ("12A", "C# minor"),
        ("12 a", "C# minor"),
        ("08B", "C major"),
        ("5m", "C# minor"),
        ("5d", "E major"),
        ("C♯m", "C# minor"),
        ("B♭ minor", "Bb minor"),
        ("E♭:min", "Eb minor"),
        ("C𝄪 minor", "D minor"),
        ("B𝄫", "A major"),
        ("Cb", "B major"),
        ("Cb minor", "B minor"),
        ("E#", "F major"),
        ("B# minor", "C minor"),
        ("Fb", "E major"),
        ("F##m", "G minor"),
        ("Am", "A minor"),
        ("AM", "A major"),
        ("a minor", "A minor"),
        ("a Major", "A major"),
        ("A", "A major"),
        ("a", "A minor"),
        ("d#", "Eb minor"),
        ("A-flat major", "Ab major"),
        ("F sharp minor", "F# minor"),
        ("Csharp_min", "C# minor"),
        ("G_maj", "G major"),
        ("G - minor", "G minor"),
        ("Gmi", "G minor"),
        ("D min.", "D minor"),
        ("D aeolian", "D minor"),
        ("D Ionian", "D major"),
        ("C-Dur", "C major"),
        ("fis-Moll", "F# minor"),
        ("Es-Dur", "Eb major"),
        ("as moll", "G# minor"),
        ("B-Dur", "Bb major"),
        ("h-Moll", "B minor"),
        ("Ces dur", "B major"),
        ("H", "B major"),
        ("Hm", "B minor"),
        ("h", "B minor"),
        ("H minor", "B minor"),
        ("Fism", "F# minor"),
        ("Cis", "Db major"),
        ("gis", "G# minor"),
        ("Es", "Eb major"),
        ("Asm", "G# minor"),
        ("Bm", "B minor"),  # English without a German mode
        ("A#m +50", "Bb minor"),
        ("A#m+50", "Bb minor"),
        ("Am+12ct", "A minor"),
        ("Am-5 cents", "A minor"),
        ("Am ±0", "A minor"),
        ("Ab -50", "Ab major"),
        ("Ab \u221250 ct", "Ab major"),
        ("Am (+12.5 cents)", "A minor"),
        ("04B -50cents", "Ab major"),
        ("D♯m/E♭m", "Eb minor"),
        ("F♯/G♭", "F# major"),
        ("F#/Gb major", "F# major"),
        ("F♯/G♭ minor", "F# minor"),
        ("C# or Db min", "C# minor"),
        ("D#/Eb:min", "Eb minor"),
        ("G# - Ab m", "G# minor"),
        ("Gb (F#) major", "F# major"),
        ("F sharp/G flat minor (11A)", "F# minor"),
        ("8A (Am)", "A minor"),
        ("8A(A minor)", "A minor"),
        ("7m (D♯m/E♭m)", "Eb minor"),
        ("Am 8A", "A minor"),
        ("A minor 8A", "A minor"),
        ("8A Am", "A minor"),
        ("8A - 6", "A minor"),
        ("8A - 6 - 128.0", "A minor"),
        ("Am - Energy 6", "A minor"),
        ("8A - Am", "A minor"),
        ("A minor / 8A", "A minor"),
        ("a-Moll / 8A +3", "A minor"),
        ("B-Dur (6B)", "Bb major"),
        ("E♭ maj/D# Major", "Eb major"),
        ("Gbmin, 11a", "F# minor"),
        ("Am [8A]", "A minor"),
        ("08A - 6", "A minor"),
        ("8A = 1m, Am", "A minor"),
        ("Am\0", "A minor"),
    ],
)
def test_spellings(text: str, expected: str) -> None:
    assert str(Key.parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "C major minor",
        "0A",
        "13A",
        "12C",
        "0d",
        "13m",
        "C dorian",
        "minor",
        "Cbbb",
        "C#b",
        "X",
        "Bs-Dur",
        "Cs moll",
        "A-",
        "C:",
        "Am7",
        "C/E",
        "none",
        "8A8A",
        "Am/C",
        "8A (C)",
        "8A 9A",
        "Gb/F#m",
        "8A/9A",
        "H/C",
        "B-Dur / B",
        "Am / ",
        "A C",
        "C-5",
        "C +5x",
        "All",
        "INVALID",
        "o",
        "(Am)",
        "8A (Am",
        "8A - ",
        "8A - bought in Rome",
        "His",
        "Am" + 99 * " " + "/" + 99 * "A",
    ],
)
def test_bad_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a key") as caught:
        Key.parse(text)
    assert not text.strip() or text in str(caught.value)


def test_every_letter_and_accidental() -> None:
    naturals = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))
    steps = {"": 0, "#": 1, "♯": 1, " sharp": 1, "-sharp": 1, "b": -1, "♭": -1, " flat": -1}
    for letter, natural in naturals.items():
        for accidental, step in steps.items():
            for case in (str.upper, str.lower):
                for end in ("", " ", ":", "-", "_"):
                    text = case(letter) + accidental + end
                    tonic = (natural + step) % 12
                    assert Key.parse(text + "minor") == Key(tonic, "minor")
                    assert Key.parse(text + "Maj") == Key(tonic, "major")


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_short_fits_a_tag(key: Key) -> None:
    short = key.format("short")
    assert len(short) <= 3  # the ID3 TKEY field
    assert short[0] in "ABCDEFG"
    assert set(short[1:]) <= set("#bm")
    assert short.endswith("m") == (key.mode == "minor")


def test_sharps_and_flats_keep_to_their_sign() -> None:
    assert not any("b" in key.format("sharps").split()[0] for key in KEYS)
    assert not any("#" in key.format("flats") for key in KEYS)
    assert Key(10, "minor").format("sharps") == "A# minor"
    assert Key(1, "minor").format("flats") == "Db minor"


def test_unknown_notation() -> None:
    with pytest.raises(ValueError, match="notation must be one of"):
        Key(0, "major").format("roman")


@pytest.mark.parametrize(("tonic", "mode"), [(12, "major"), (-1, "minor"), (0, "dorian")])
def test_bad_keys(tonic: int, mode: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        Key(tonic, mode)  # type: ignore[arg-type]


def test_bad_index_and_signature() -> None:
    for index in (-1, 24):
        with pytest.raises(ValueError, match="0 to 23"):
            Key.from_index(index)
    with pytest.raises(ValueError, match="no key signature"):
        KeySignature(12)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_relations(key: Key) -> None:
    assert key.relative.relative == key
    assert key.parallel == Key(key.tonic, key.relative.mode)
    assert key.dominant.subdominant == key
    assert key.fifths_distance(key) == key.fifths_distance(key.relative) == 0
    assert key.fifths_distance(key.dominant) == key.fifths_distance(key.subdominant) == 1
    assert key.fifths_distance(key.parallel) == 3
    assert key.fifths_distance(key.transpose(6)) == 6
    assert key.transpose(5).transpose(-5) == key.transpose(12) == key
    assert key.transpose(1).index % 12 == (key.index + 1) % 12


def test_dominant_and_order() -> None:
    assert Key.parse("Eb").dominant == Key.parse("Bb")
    assert Key.parse("f#m").subdominant == Key.parse("Bm")
    assert sorted([Key(1, "minor"), Key(1, "major"), Key(0, "minor")])[0] == Key(0, "minor")


def test_fifths_distance_is_a_metric_on_signatures() -> None:
    for a in SIGNATURES:
        for b in SIGNATURES:
            assert a.fifths_distance(b) == b.fifths_distance(a) == b.minor.fifths_distance(a)
            around = (a.fifths - b.fifths) % 12
            assert a.fifths_distance(b) == min(around, 12 - around)


def test_signature_fifths() -> None:
    assert [s.fifths for s in SIGNATURES] == [0, -5, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5]


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_signatures_round_trip(signature: KeySignature, notation: str) -> None:
    assert KeySignature.parse(signature.format(notation)) == signature
    for key in (signature.major, signature.minor):
        assert KeySignature.parse(key.format(notation)) == signature
        assert key.signature == signature


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ("Eb major / C minor", "Eb"),
        ("F#/d#", "F#"),
        ("Bb/g", "Bb"),
        ("3 flats", "Eb"),
        ("1 sharp", "G"),
        ("3♭", "Eb"),
        ("2#", "D"),
        ("0 sharps", "C"),
        ("7 flats", "B"),
        ("7 sharps", "Db"),
        ("3B", "Db"),  # Camelot, not three flats
        ("C minor", "Eb"),
        ("Eb (Cm)", "Eb"),
        ("5A - 6", "Eb"),
    ],
)
def test_signature_spellings(text: str, major: str) -> None:
    assert KeySignature.parse(text) == Key.parse(major).signature


def test_signature_text() -> None:
    assert str(KeySignature(3)) == "Eb major / C minor"
    assert str(KeySignature(6)) == "F# major / D# minor"
    assert KeySignature(6).format("short") == "F# / D#m"
    assert KeySignature(0).transpose(-3) == KeySignature(9)
    assert KeySignature(4).signature == KeySignature(4)


@pytest.mark.parametrize("text", ["C major / C minor", "8 flats", "", "C/", "three flats"])
def test_bad_signatures(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        KeySignature.parse(text)


def test_labels_round_trip() -> None:
    for label in (*KEYS, *SIGNATURES):
        for notation in NOTATIONS:
            assert parse_label(label.format(notation)) == label
    with pytest.raises(ValueError, match="neither a key nor a key signature: 'C/'"):
        parse_label("C/")


def test_fields_of_a_key_and_of_a_signature() -> None:
    assert key_fields(Key(3, "minor"), "short") == {
        "key": "Ebm", "tonic": "Eb", "mode": "minor", "signature": "F# major / D# minor",
        "camelot": "2A", "open_key": "7m",
    }  # fmt: skip
    assert key_fields(KeySignature(3)) == {
        "key": "Eb major / C minor", "tonic": None, "mode": None,
        "signature": "Eb major / C minor", "camelot": "5B / 5A", "open_key": "10d / 10m",
    }  # fmt: skip
    assert key_fields(None) == dict.fromkeys(KEY_FIELDS)


def test_class_tables_round_trip() -> None:
    for table in (tuple(SIGNATURES[3:] + SIGNATURES[:3]), tuple(KEYS[5:] + KEYS[:5])):
        assert parse_class_table(str(label) for label in table) == table


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["C"] * 12, "each key once"),
        (["C"] * 24, "each key once"),
        (["C", "G"], "12 or 24"),
        ([f"{i}A" for i in range(12)], "not a key"),
    ],
)
def test_bad_class_tables(labels: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_class_table(labels)


@pytest.mark.parametrize("text", ["C \u017fharp", "A m\u0131nor", "A m\u0130nor", "f\u0131s moll"])
def test_letters_that_only_fold_to_ascii(text: str) -> None:
    """A long s and dotless or dotted i match their ASCII letters when case is ignored."""
    with pytest.raises(ValueError, match="not a key"):
        Key.parse(text)
    with pytest.raises(ValueError, match="not a key"):
        KeySignature.parse("3 \u017fharps")


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\t", "  "])
def test_any_kind_of_space(space: str) -> None:
    assert Key.parse(f"{space}C#{space}minor{space}") == Key(1, "minor")


def test_the_representation_can_be_read_and_evaluated() -> None:
    assert repr(Key(5, "minor")) == "Key.parse('F minor')"
    assert repr(KeySignature(6)) == "KeySignature.parse('F# major / D# minor')"
    for index in range(24):
        key = Key.from_index(index)
        for label in (key, key.signature):
            kind, text = repr(label).rstrip("')").split(".parse('")
            assert {"Key": Key, "KeySignature": KeySignature}[kind].parse(text) == label


def test_labels_that_are_no_key() -> None:
    assert {non_key(text) for text in ("no key", " O ", "x", "Off  Key")} == {NO_KEY}
    assert {non_key(text) for text in ("", " - ", "?", "N/A", "Unknown")} == {UNLABELLED}
    assert {non_key(text) for text in ("Am", "All", "INVALID", "off")} == {None}
