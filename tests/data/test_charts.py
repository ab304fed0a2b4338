"""Chord charts: both ways of writing them, the other mode, even draws."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from stonekey.data.render.balance import draw
from stonekey.data.render.charts import Chart, Chord, parse_chord, read_charts
from stonekey.data.render.scores import ScoreEntry, list_scores
from stonekey.data.render.styles import HELD_OUT, STYLES, TRAINED, check_styles
from stonekey.keys import Key

C, F, G, AM = (Chord(*c) for c in ((0, (0, 4, 7), 0), (5, (0, 4, 7), 5), (7, (0, 4, 7), 7),
                                   (9, (0, 3, 7), 9)))  # fmt: skip


@pytest.mark.parametrize(
    ("label", "root", "tones", "bass"),
    [
        ("C", 0, (0, 4, 7), 0),
        ("Bb:min7/b3", 10, (0, 3, 7, 10), 1),
        ("Bbm7/Db", 10, (0, 3, 7, 10), 1),
        ("F#:sus4(b7,9)", 6, (0, 2, 5, 7, 10), 6),
        ("A:(b3,b7)/b7", 9, (0, 3, 10), 7),
        ("D:maj(9)/5", 2, (0, 2, 4, 7), 9),
        ("E:1/1", 4, (0,), 4),
        ("G:maj(*3)", 7, (0, 7), 7),
        ("C♯m7b5", 1, (0, 3, 6, 10), 1),
        ("G7#9", 7, (0, 3, 4, 7, 10), 7),
        ("E7#5", 4, (0, 4, 8, 10), 4),
        ("Ebmaj7", 3, (0, 4, 7, 11), 3),
        ("B-7", 11, (0, 3, 7, 10), 11),
        ("Asus", 9, (0, 5, 7), 9),
        ("D5", 2, (0, 7), 2),
    ],
)
def test_chords(label: str, root: int, tones: tuple[int, ...], bass: int) -> None:
    assert parse_chord(label) == Chord(root, tones, bass)


def test_no_chords() -> None:
    assert parse_chord("N") is None
    assert parse_chord("X") is None
    for label in ("H", "C:major8", "Cfoo", "C/13x", "C:maj(14)", "", "c"):
        with pytest.raises(ValueError, match="not a chord"):
            parse_chord(label)


def test_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "song.chart"
    path.write_text("# a song\nkey: A minor\n\n| C . F G | Am |\n| % | N | . F |\n")
    ((name, chart),) = read_charts(path)
    assert name == "song"
    assert chart.key == Key.parse("A minor")
    assert chart.chords == ((2, C), (1, F), (1, G), (4, AM), (4, AM), (4, None), (2, None), (2, F))
    path.write_text("metre: 6/8\nkey: C\n| C |")
    assert read_charts(path)[0][1] == Chart(Key(0, "major"), ((4, C),), 4, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("key: C\n| C | Hm |", ":2: not a chord: 'Hm'"),
        ("| C | F |", "a line such as 'key: A minor'"),
        ("key: C\n| C C C C C |", ":2: 5 chords in a bar of 4 beats"),
        ("key: C\n| . C |", ":2: . repeats"),
        ("key: C\n| % |", ":2: % repeats"),
        ("key: C\nC F G", ":2: neither bars nor a key"),
        ("key: J\n| C |", ":1: not a key"),
        ("key: C\n| N |", "no chords"),
    ],
)
def test_bad_text_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.chart"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.chart") as caught:
        read_charts(path)
    assert reason in str(caught.value)


def write_lines(path: Path, songs: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(map(json.dumps, songs)))
    return path


def test_json_lines(tmp_path: Path) -> None:
    bars = [[0.0, 1.0, "N"], [1.0, 3.0, "C:maj"], [3.0, 4.0, "F"], [4.0, 5.0, "G"],
            [5.0, 37.01, "X"], [37.01, 39.0, "A:min"], [39.0, 39.4, "N"]]  # fmt: skip
    song = {"id": "7", "tonic": "C", "mode": "major", "metre": "12/8", "chords": bars}
    path = write_lines(tmp_path / "songs.jsonl", [song, {**song, "id": "8", "metre": "3/4"}])
    (name, chart), (_, waltz) = read_charts(path)
    assert name == "7"
    assert chart.triplets
    assert chart.chords == ((4, C), (2, F), (2, G), (64, None), (4, AM))
    assert waltz.bar == 3
    assert [beats for beats, _ in waltz.chords] == [3, 2, 2, 48, 3]
    assert [e.name for e in list_scores(path)] == ["songs/7", "songs/8"]
    assert list_scores(tmp_path)[0].key == Key(0, "major")
    (tmp_path / "keys.csv").write_text("path,key\nsongs.jsonl,A minor\n")
    moved = list_scores(tmp_path / "keys.csv")[0]
    assert moved.chart is not None
    assert moved.key == moved.chart.key == Key(9, "minor")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tonic": "Q"}, "not a key"),
        ({"chords": [[0, 1, "C:what"]]}, "not a chord: 'C:what'"),
        ({"chords": [[0, 1, "N"]]}, "no chords"),
        ({"chords": [[0, 1]]}, "not a chord chart"),
        ({"metre": "four"}, "not a metre"),
        ({"mode": None}, "not a key"),
        ({"chords": [[2, 1, "C"], [float("nan"), 1, "C"]]}, "no chords"),
        ({"chords": [[0, float("inf"), "C"]]}, "more than 3600 s"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    song = {"id": 1, "tonic": "C", "mode": "major", "chords": [[0, 1, "C"]]}
    path = write_lines(tmp_path / "bad.jsonl", [song, {**song, "id": 2, **change}])
    with pytest.raises(ValueError, match=r"bad\.jsonl:2") as caught:
        read_charts(path)
    assert reason in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bad\.jsonl: not text"):
        read_charts(path)
    with pytest.raises(ValueError, match="several songs have the id '1'"):
        read_charts(write_lines(path, [song, song]))


def test_other_mode() -> None:
    song = Chart(Key(0, "major"), ((4, C), (4, AM), (4, G), (4, F), (4, None), (4, G), (4, C)))
    other = song.other_mode()
    assert other is not None
    assert other.key == Key(0, "minor")
    minor, dominant = (0, 3, 7), (0, 4, 7, 10)
    assert [c and (c.root, c.tones) for _, c in other.chords] == [
        (0, minor), (8, (0, 4, 7)), (7, minor), (5, minor), None, (7, dominant), (0, minor)
    ]  # fmt: skip
    back = other.other_mode()
    assert back is not None
    assert [c and c.root for _, c in back.chords] == [c and c.root for _, c in song.chords]
    strange = parse_chord("F#")
    assert Chart(Key(0, "major"), ((4, C), (4, strange))).other_mode() is None


def test_draws_are_even() -> None:
    songs = [
        ScoreEntry(
            f"songs/{i}", Path(), Key(0, "major"), chart=Chart(Key(0, "major"), ((4, C), (4, F)))
        )
        for i in range(60)
    ]
    train = [entry for entry in songs if entry.split == "train"]
    drawn = draw(train, 390, seed=1)
    assert Counter(e.style for e in drawn) == dict.fromkeys(TRAINED, 30)
    modes = Counter(e.key.mode for e in drawn if e.key)
    assert 0.4 < modes["minor"] / 390 < 0.6  # though all charts are in major
    assert {e.split for e in drawn} == {"train"}
    assert len({e.name for e in drawn}) == 390
    assert {e.song for e in drawn if e.source == "songs"} == {e.song for e in train}
    assert drawn[:50] == draw(train, 50, seed=1) != draw(train, 50, seed=2)
    assert all(e.chart is not None and e.key == e.chart.key for e in drawn)
    away = Chart(Key(2, "major"), ((4, C), (4, F)))
    with pytest.raises(ValueError, match="no chord chart"):
        draw([ScoreEntry("a.mid", Path()), ScoreEntry("a", Path(), away.key, chart=away)], 3)


def test_styles_have_names() -> None:
    assert set(TRAINED) | set(HELD_OUT) == set(STYLES)
    assert check_styles(["rock", "blues"]) == ("rock", "blues")
    with pytest.raises(ValueError, match="no style 'polka'"):
        check_styles(["polka"])
