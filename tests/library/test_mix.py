"""Harmonic mixing, and ``stonekey mix``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import mutagen
import pytest
from cli_tools import as_terminal, call, music, rows_of
from tag_files import make

from stonekey.audio.playlists import read_playlist
from stonekey.keys import ClassLabel, Key, KeySignature
from stonekey.library import Result, read_results
from stonekey.library.harmony import (
    MOVES,
    harmonic_distance,
    key_order,
    matching_tracks,
    mix_order,
    move_between,
    parse_moves,
)
from stonekey.library.store import open_store

KEYS = [Key.from_index(i) for i in range(24)]


def wheel(key: Key) -> tuple[int, str]:
    text = key.format("camelot")
    return int(text[:-1]), text[-1]


def track(name: str, label: ClassLabel | None, confidence: float = 0.9) -> Result:
    result = Result(Path("/music") / name, model="made up", confidence=confidence, duration=61.2)
    return result.with_label(label, "musical")


def write_library(path: Path, results: list[Result]) -> Path:
    store = open_store(path)
    store.rewrite(results)
    store.close()
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A track in each key, surer ones in two of them, and one without a key."""
    results = [track(f"{key.format('camelot')}.mp3", key, 0.5 + key.index / 100) for key in KEYS]
    results += [track("sure 9A.mp3", Key.parse("9A"), 0.99), track("silence.mp3", None, 0.0)]
    return write_library(tmp_path / "keys.csv", results)


def rows(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[list[str]]:
    assert call("mix", *arguments) == 0
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_moves_are_those_of_the_camelot_wheel(key: Key) -> None:
    number, letter = wheel(key)
    other = "A" if letter == "B" else "B"

    def at(steps: int, letter: str) -> str:
        return f"{(number + steps - 1) % 12 + 1}{letter}"

    parallel = -3 if letter == "B" else 3
    expected = {
        at(0, letter): "same",
        at(0, other): "relative",
        at(1, letter): "fifth-up",
        at(-1, letter): "fifth-down",
        at(1, other): "diagonal",
        at(-1, other): "diagonal",
        at(2, letter): "tone-up",
        at(7, letter): "semitone-up",
        at(parallel, other): "parallel",
    }
    found = {to.format("camelot"): move for to in KEYS if (move := move_between(key, to))}
    assert found == expected
    assert set(found.values()) == set(MOVES)


def test_a_few_moves_by_name() -> None:
    def move(first: str, second: str) -> str | None:
        return move_between(Key.parse(first), Key.parse(second))

    assert move("C", "G") == "fifth-up"
    assert move("C", "F") == "fifth-down"
    assert move("C", "Am") == "relative"
    assert move("C", "Cm") == "parallel"
    assert move("C", "D") == "tone-up"
    assert move("Am", "Bbm") == "semitone-up"
    assert move("Bbm", "Am") is None
    assert move("C", "F#") is None


def test_distance_is_symmetric_and_counts_steps_and_mode() -> None:
    for first in KEYS:
        for second in KEYS:
            steps = abs(wheel(first)[0] - wheel(second)[0])
            expected = min(steps, 12 - steps) + 0.5 * (first.mode != second.mode)
            assert harmonic_distance(first, second) == expected == harmonic_distance(second, first)


def test_signatures_know_the_moves_that_they_can() -> None:
    c = KeySignature.parse("C")
    found = {
        to.fifths: move_between(c, to) for to in map(KeySignature, range(12)) if move_between(c, to)
    }
    assert found == {
        0: "same", 1: "fifth-up", -1: "fifth-down", 2: "tone-up", -5: "semitone-up",
    }  # fmt: skip
    # A key among signatures: its mode does not count.
    assert move_between(Key.parse("Am"), c) == "same"
    assert harmonic_distance(Key.parse("Am"), c) == 0
    assert move_between(Key.parse("Em"), c) == "fifth-down"
    assert move_between(Key.parse("Cm"), c) is None


def test_ranked_by_distance_confidence_and_path() -> None:
    a = Key.parse("A minor")
    library = [
        track("far", Key.parse("B minor")),
        track("unsure", Key.parse("A minor"), 0.3),
        track("b", Key.parse("A minor"), 0.8),
        track("a", Key.parse("A minor"), 0.8),
        track("playing", Key.parse("A minor"), 1.0),
        track("fifth", Key.parse("E minor"), 1.0),
        track("relative", Key.parse("C major"), 0.1),
        track("foreign", Key.parse("Eb major"), 1.0),
        track("none", None, 0.0),
    ]
    found = matching_tracks(a, library, without=["/music/playing"])
    names = ["a", "b", "unsure", "relative", "fifth", "far"]
    assert [match.result.path.name for match in found] == names
    assert [match.distance for match in found] == [0, 0, 0, 0.5, 1, 2]
    sure = matching_tracks(a, library, min_confidence=0.8, moves=["close"], limit=2)
    assert [match.result.path.name for match in sure] == ["playing", "a"]
    assert matching_tracks(a, []) == []


def test_names_of_moves() -> None:
    assert parse_moves(["energy", "same"]) == ("same", "tone-up", "semitone-up")
    assert parse_moves(["all"]) == MOVES
    with pytest.raises(ValueError, match="no move 'sideways'"):
        parse_moves(["sideways"])


def test_key_order_goes_around_the_wheel() -> None:
    order = [KEYS[i].format("camelot") for i in key_order(KEYS)]
    assert order == [f"{number}{letter}" for number in range(1, 13) for letter in "AB"]
    labels = [None, Key.parse("8B"), KeySignature.parse("8B"), Key.parse("8A"), Key.parse("8B")]
    assert key_order(labels) == [3, 1, 4, 2, 0]


def test_mix_order_goes_to_the_nearest_that_is_left() -> None:
    texts = ["8A", "2A", "10A", "8B", "7A", "9A", "8A", "3B"]
    labels: list[ClassLabel | None] = [None, *map(Key.parse, texts)]
    order = mix_order(labels)
    assert order[-1] == 0
    assert [texts[i - 1] for i in order[:-1]] == ["8A", "8A", "8B", "9A", "10A", "7A", "3B", "2A"]
    assert sorted(mix_order(KEYS)) == list(range(24))
    assert mix_order([None, None]) == [0, 1]
    steps = [harmonic_distance(KEYS[a], KEYS[b])
             for a, b in zip(mix_order(KEYS), mix_order(KEYS)[1:], strict=False)]  # fmt: skip
    assert max(steps) <= 1  # with a track in every key, there is no leap


@pytest.mark.parametrize("spelling", ["A minor", "8A", "1m", "a", "A-Moll", "Am"])
def test_any_spelling_of_a_key(
    spelling: str, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(capsys, spelling, "--library", library, "--moves", "same,relative")
    assert found == [
        ["/music/8A.mp3", "A minor", "same", "0.0", "0.71"],
        ["/music/8B.mp3", "C major", "relative", "0.5", "0.5"],
    ]


def test_options(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = rows(capsys, "8A", "-l", library, "-n", "camelot")
    assert [row[1] for row in everything] == [
        "8A", "8B", "9A", "9A", "7A", "9B", "7B", "10A", "11B", "3A",
    ]  # fmt: skip
    assert everything[2][0] == "/music/sure 9A.mp3"
    assert [row[1] for row in rows(capsys, "8A", "-l", library, "--limit", "2")] == [
        "A minor", "C major",
    ]  # fmt: skip
    assert len(rows(capsys, "8A", "-l", library, "--min-confidence", "0.9")) == 1
    energy = rows(capsys, "8A", "-l", library, "--moves", "energy", "--moves", "parallel")
    assert [row[2] for row in energy] == ["tone-up", "parallel", "semitone-up"]


def test_a_recording_and_all_formats(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = music(tmp_path / "song.wav", "E major")
    results = [*read_results(library), track("x", Key.parse("E")), track(str(song), Key.parse("E"))]
    store = write_library(tmp_path / "more.jsonl", results)
    assert call("mix", song, "-l", store, "--moves", "same", "-f", "json") == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["key"], found["file"]) == ("E major", str(song))
    assert 0 < found["confidence"] <= 1
    assert "E major, confidence" in printed.err
    # The track that is playing is left out.
    assert [one["path"] for one in found["tracks"]] == ["/music/x", "/music/12B.mp3"]
    assert found["tracks"][0] == {
        "path": "/music/x", "key": "E major", "camelot": "12B", "move": "same", "distance": 0.0,
        "confidence": 0.9, "duration": 61.2,
    }  # fmt: skip

    assert call("mix", "E", "-l", store, "--moves", "same", "-f", "csv") == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in table] == ["/music/x", str(song), "/music/12B.mp3"]
    assert table[0]["distance"] == "0.0"

    output = tmp_path / "next.m3u8"
    assert call("mix", "E", "-l", store, "--moves", "same", "-o", output) == 0
    assert read_playlist(output).entries == (Path("/music/x"), song, Path("/music/12B.mp3"))
    assert call("mix", "E", "-l", store, "--moves", "same", "-o", output) == 2
    assert "--force" in capsys.readouterr().err


def test_a_table_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [make(tmp_path / name, seconds=0.2) for name in ("song.m4a", "song.flac", "v23.mp3")]
    for file in files:
        audio = mutagen.File(file, easy=True)
        audio["artist"], audio["title"], audio["bpm"] = "Ärtist", f"T {file.suffix}", "128"
        audio.save()
    results = [track(str(file), Key.parse("Am")) for file in files]
    many = [track(f"{i}.mp3", Key.parse("C"), 0.5) for i in range(60)]
    store = write_library(tmp_path / "keys.csv", [*results, *many])
    as_terminal(monkeypatch, 200)
    assert call("mix", "Am", "-l", store) == 0
    printed = capsys.readouterr()
    lines = [" ".join(row) for row in rows_of(printed.out)]
    assert lines[0] == "Artist Title Key Move Tempo Confidence File"
    for file in files:
        assert f"Ärtist T {file.suffix} A minor same 128 90% {file}" in lines
    assert len(lines) == 2 + 50
    assert "the first 50 of 63 tracks; --limit N shows others" in printed.err
    assert call("mix", "Am", "-l", store, "--limit", "60") == 0
    assert len(capsys.readouterr().out.splitlines()) >= 60


def test_a_library_of_key_signatures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [KeySignature(i) for i in range(12)]
    results = [track(f"{label.fifths}.mp3", label) for label in labels]
    store = write_library(tmp_path / "keys.sqlite", results)
    found = rows(capsys, "A minor", "-l", store)
    assert [(row[0], row[1], row[2]) for row in found[:2]] == [
        ("/music/0.mp3", "C major / A minor", "same"),
        ("/music/-1.mp3", "F major / D minor", "fifth-down"),
    ]
    assert rows(capsys, "3 flats", "-l", store, "--limit", "1")[0][0] == "/music/-3.mp3"


def test_nothing_that_goes_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_library(tmp_path / "keys.csv", [track("x", Key.parse("C"))])
    assert call("mix", "F#", "-l", store, "--format", "json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["tracks"] == []
    assert "no track" in printed.err


def test_errors(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(code: int, *arguments: str | Path) -> str:
        assert call("mix", *arguments) == code
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    assert "neither a file nor a key" in message(2, "Qm", "-l", library)
    assert "no such file" in message(2, "Am", "-l", tmp_path / "none.csv")
    assert "no move 'up'" in message(2, "Am", "-l", library, "--moves", "up")
    assert "--notation must be" in message(2, "Am", "-l", library, "-n", "x")
    assert "--format must be" in message(2, "Am", "-l", library, "-f", "xml")
    assert "unknown suffix" in message(2, "Am", "-l", library, "-o", tmp_path / "x.pdf")
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"no music")
    assert str(broken) in message(1, broken, "-l", library)
