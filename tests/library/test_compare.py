"""Keys in tags and libraries against ours: ``stonekey compare``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from cli_tools import as_terminal, call, music, rows_of, run
from library_files import rekordbox, traktor
from mutagen.id3 import TKEY
from mutagen.wave import WAVE

from stonekey.keys import ClassLabel, Key, KeySignature
from stonekey.library import Result
from stonekey.library.compare import relation
from stonekey.library.store import open_store

Capture = pytest.CaptureFixture[str]


def results(path: Path, keys: dict[Path, ClassLabel | None]) -> Path:
    store = open_store(path)
    store.rewrite(
        [Result(file, confidence=0.8).with_label(key, "musical") for file, key in keys.items()]
    )
    store.close()
    return path


def tagged(path: Path, key: str | None, sound: str = "C major") -> Path:
    music(path, sound, 2)
    if key is not None:
        audio = WAVE(path)
        audio.add_tags()
        audio.tags.add(TKEY(encoding=3, text=key))
        audio.save()
    return path


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ("Eb minor", "D# minor", "agree"), ("C", "G", "fifth"), ("C", "F", "fifth"),
        ("Am", "C", "relative"), ("Am", "A", "parallel"), ("C", "D", "other"),
        ("C", "Em", "other"), ("C", "Db", "other"),
    ],
)  # fmt: skip
def test_relations(theirs: str, ours: str, expected: str) -> None:
    assert relation(Key.parse(theirs), Key.parse(ours)) == expected
    assert relation(Key.parse(ours), Key.parse(theirs)) == expected


def test_a_signature_agrees_with_either_key() -> None:
    signature = KeySignature.parse("C")
    assert [relation(Key.parse(key), signature) for key in ("C", "Am", "Em", "Cm")] == [
        "agree", "agree", "fifth", "other",
    ]  # fmt: skip


def test_tags_against_new_answers(tmp_path: Path, capsys: Capture) -> None:
    keys = {
        "a": "8B",
        "b": "Gmaj",
        "c": "Am",
        "d": "Cm",
        "e": "F#",
        "f": "All",
        "g": None,
        "h": "o",
    }
    for name, key in keys.items():
        tagged(tmp_path / f"{name}.wav", key)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert call("compare", tmp_path, "-m", "template", "-f", "csv") == 1
    printed = capsys.readouterr()
    rows = {Path(row["path"]).stem: row for row in csv.DictReader(io.StringIO(printed.out))}
    assert {name: row["relation"] for name, row in rows.items()} == {
        "a": "agree", "b": "fifth", "c": "relative", "d": "parallel", "e": "other",
        "f": "not a key", "g": "untagged", "h": "other", "broken": "failed",
    }  # fmt: skip
    assert (rows["a"]["tagged"], rows["b"]["fifths"], rows["f"]["tagged"]) == (
        "C major",
        "1",
        "All",
    )
    assert "6 compared: 1 agree, 1 fifth, 1 relative, 1 parallel, 2 other; " in printed.err
    assert printed.err.count("broken.wav") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_libraries_against_a_scan(tmp_path: Path, capsys: Capture) -> None:
    files = [tmp_path / f"{i}.mp3" for i in range(3)]
    keys = results(tmp_path / "keys.csv", {files[0]: Key.parse("Am"), files[1]: Key.parse("D"),
                                          files[2]: None})  # fmt: skip
    tracks = [{"Location": file.as_uri(), "Tonality": "Em"} for file in files]
    library = rekordbox(tmp_path / "r.xml", [*tracks, {"Location": "file:///x/4.mp3"}])
    output = tmp_path / "out.json"
    assert call("compare", library, "--from", keys, "-o", output, "-n", "short") == 1
    assert "4.mp3: not in the library (No such file" in capsys.readouterr().err
    found = json.loads(output.read_text())
    assert (found["compared"], found["counts"]["fifth"], found["counts"]["other"]) == (2, 1, 1)
    assert [track["relation"] for track in found["tracks"]] == [
        "fifth",
        "other",
        "no key",
        "failed",
    ]
    assert (found["tracks"][0]["tagged"], found["tracks"][0]["key"]) == ("Em", "Am")
    folder = str(tmp_path).replace("/", "/:") + "/:"
    nml = traktor(
        tmp_path / "c.nml",
        [{"DIR": folder, "FILE": "0.mp3", "VOLUME": "", "KEY": "8A", "VALUE": "14"}],
    )
    done = run("compare", nml, "--from", keys)
    assert done.stdout == f"{files[0]}\tD minor\tA minor\t0.8\tfifth\n"  # Traktor's own analysis


def test_the_table_on_a_terminal(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{i}.mp3" for i in range(4)]
    library = rekordbox(
        tmp_path / "r.xml", [{"Location": file.as_uri(), "Tonality": "Am"} for file in files]
    )
    keys = results(
        tmp_path / "keys.csv",
        {file: Key.parse("Am" if i else "C") for i, file in enumerate(files)},
    )
    as_terminal(monkeypatch)
    assert call("compare", library, "--from", keys) == 0
    lines = rows_of(capsys.readouterr().out)
    assert [str(files[0]), "A", "minor", "C", "major", "80%", "relative"] in lines
    assert not any(str(files[1]) in line for line in lines)
    assert ["agree", "3", "75%"] in lines
    assert ["relative", "1", "25%"] in lines


def test_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for code, why, arguments in (
        (1, "no tracks", [tmp_path / "empty"]),
        (2, "no such file", [tmp_path, "--from", tmp_path / "none.csv"]),
        (1, "damaged XML", [tmp_path / "x.nml"]),
    ):
        (tmp_path / "x.nml").write_text("<NML>")
        done = run("compare", *arguments)
        assert (done.returncode, why in done.stderr) == (code, True), done.stderr
