"""Keys in a copy of a DJ program's library, and ``stonekey library export``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_tools import run
from library_files import itunes, rekordbox, traktor

from stonekey.audio.libraries import read_library
from stonekey.keys import Key, KeySignature
from stonekey.library import Result, read_results
from stonekey.library.programs import export_keys
from stonekey.library.store import open_store

KEYS = ("A minor", "F# major", "Eb minor", "C major", "D minor")


@pytest.fixture
def music(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"ü {i} & x.wav" for i in range(5)]
    for file in files:
        file.touch()
    return files


@pytest.fixture
def keys(music: list[Path], tmp_path: Path) -> Path:
    """Results: four keys, the last of them unsure, and none for the fifth file."""
    results = [
        Result(file, confidence=0.2 if i == 3 else 0.9).with_label(Key.parse(key), "musical")
        for i, (file, key) in enumerate(zip(music[:4], KEYS, strict=False))
    ]
    store = open_store(tmp_path / "keys.csv")
    store.rewrite([*results, Result(music[4], confidence=0.0)])
    store.close()
    return tmp_path / "keys.csv"


def nml(path: Path, music: list[Path], keys: list[dict[str, str]]) -> Path:
    folder = str(path.parent).replace("/", "/:") + "/:"
    places = [{"DIR": folder, "FILE": file.name, "VOLUME": "Macintosh HD"} for file in music]
    return traktor(path, [{**place, **key} for place, key in zip(places, keys, strict=True)])


def xml(path: Path, music: list[Path], keys: list[dict[str, str]]) -> Path:
    places = [file.as_uri().replace("file://", "file://localhost") for file in music]
    tracks = [{"Name": 'say "x" > y', "Location": place, **key}
              for place, key in zip(places, keys, strict=True)]  # fmt: skip
    return rekordbox(path, tracks)


def test_a_copy_for_rekordbox(music: list[Path], keys: Path, tmp_path: Path) -> None:
    given = [{}, {"Tonality": "8A", "Rating": "0"}, {"Tonality": "D#m"}, {}, {}]
    source, copy = xml(tmp_path / "r.xml", music, given), tmp_path / "copy.xml"
    before = source.read_bytes()
    outcomes = export_keys(source, copy, read_results(keys), min_confidence=0.5)
    assert [one.action for one in outcomes] == ["written", "kept", "kept", "unsure", "no key"]
    assert source.read_bytes() == before
    assert (
        copy.read_bytes() == xml(source, music, [{"Tonality": "Am"}, *given[1:]]).read_bytes()
    )  # nothing else has changed
    source.write_bytes(before)
    more = export_keys(source, copy, read_results(keys), overwrite=True, notation="camelot")
    assert [one.action for one in more] == ["written", "written", "kept", "written", "no key"]
    assert re.findall('Tonality="(.*?)"', copy.read_text(encoding="utf-8")) == [
        "8A", "2B", "D#m", "8B",
    ]  # fmt: skip


def test_a_copy_for_traktor(music: list[Path], keys: Path, tmp_path: Path) -> None:
    given = [{}, {"KEY": "1m", "VALUE": "21"}, {"VALUE": "15"}, {"KEY": "All"}, {}]
    source, copy = nml(tmp_path / "c.nml", music, given), tmp_path / "copy.nml"
    before = source.read_bytes()
    outcomes = export_keys(source, copy, read_results(keys), overwrite=True)
    assert [one.action for one in outcomes] == ["written", "written", "kept", "written", "no key"]
    assert [one.existing for one in outcomes] == [None, "A minor", "Eb minor", "All", None]
    ours = [{"KEY": "1m", "VALUE": "21"}, {"KEY": "7d", "VALUE": "6"}, {"VALUE": "15"},
            {"KEY": "1d", "VALUE": "0"}, {}]  # fmt: skip
    # An attribute that was not there comes last in its element.
    text = re.sub(r'( KEY="1m")( PLAYTIME="60")', r"\2\1", copy.read_text(encoding="utf-8"))
    expected = nml(source, music, ours).read_text(encoding="utf-8")
    assert text == re.sub(r'( KEY="1m")( PLAYTIME="60")', r"\2\1", expected)
    source.write_bytes(before)
    kept = export_keys(source, copy, read_results(keys))
    assert [one.action for one in kept] == ["written", "kept", "kept", "kept", "no key"]


def test_elements_in_other_forms(music: list[Path], keys: Path, tmp_path: Path) -> None:
    source, copy = tmp_path / "c.nml", tmp_path / "copy.nml"
    folder = str(tmp_path).replace("/", "/:") + "/:"
    name = music[0].name.replace("&", "&amp;")
    place = f"<LOCATION DIR='{folder}' FILE='{name}' VOLUME=''/>"
    source.write_text(f"<NML><COLLECTION><ENTRY>{place}<INFO\n/></ENTRY></COLLECTION></NML>")
    export_keys(source, copy, read_results(keys))
    assert copy.read_text() == (
        f'<NML><COLLECTION><ENTRY>{place}<INFO KEY="1m"\n/><MUSICAL_KEY VALUE="21"></MUSICAL_KEY>\n'
        "</ENTRY></COLLECTION></NML>"
    )
    twice = f"{place}<MUSICAL_KEY VALUE='6'/><INFO KEY='x'/><INFO KEY='1m'/><LOCATION FILE='y'/>"
    source.write_text(f"<NML><COLLECTION><ENTRY>{twice}</ENTRY></COLLECTION></NML>")
    (outcome,) = export_keys(source, copy, read_results(keys), overwrite=True)
    assert (outcome.existing, outcome.action) == ("F# major", "written")
    assert copy.read_text() == source.read_text().replace("'6'", '"21"').replace("'x'", '"1m"')
    wide = tmp_path / "wide.nml"
    wide.write_text(source.read_text(), encoding="utf-16")
    with pytest.raises(OSError, match="UTF-16"):
        export_keys(wide, tmp_path / "out.nml", read_results(keys))
    assert not (tmp_path / "out.nml").exists()


def test_the_command(music: list[Path], keys: Path, tmp_path: Path) -> None:
    source, copy = xml(tmp_path / "r.xml", music[:2], [{}, {}]), tmp_path / "copy.xml"
    done = run("library", "export", source, "--from", keys, "-o", copy)
    assert (done.returncode, done.stdout) == (0, f"{copy}: 2 written\n")
    xml(source, music[:3], [{"Tonality": "Am"}, {"Tonality": "Am"}, {"Tonality": "Hm"}])
    done = run("library", "export", source, "--from", keys, "-o", copy, "--force")
    assert done.stdout == f"{copy}: 3 kept; 2 kept though they differ, without --overwrite\n"
    again = ("library", "export", source, "--from", keys, "-o")
    done = run(*again, copy, "--force", "--overwrite")
    assert done.stdout == f"{copy}: 1 kept, 2 written\n"
    told = json.loads(run(*again, copy, "--force", "--overwrite", "--json").stdout)
    assert [track["differs"] for track in told["tracks"]] == [False, True, True]
    assert run(*again, copy).returncode == 2
    assert "read by this command" in run(*again, source, "--force").stderr
    gone = {"Location": "file://localhost/E:/Gone/x.mp3", "Name": "Gone"}
    rekordbox(source, [gone, {"Name": "Streamed"}, {"Location": music[0].as_uri()}])
    done = run(*again, copy, "--force", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["counts"] == {"failed": 2, "written": 1}
    assert told["tracks"][2]["key"] == "A minor"
    assert "E:/Gone/x.mp3: No such file or directory; tried " in done.stderr
    assert str(tmp_path / "Gone/x.mp3") in done.stderr
    assert "Streamed: names no file" in done.stderr


def test_any_spelling_of_the_xml_takes_keys(music: list[Path], tmp_path: Path) -> None:
    """Marks, quotes, line ends and old encodings: the copy reads back, with our keys."""
    result = Result(music[0], confidence=1.0).with_label(Key.parse("F#m"), "musical")
    place = music[0].as_uri()
    tags = (
        f"<TRACK Location='{place}' Name='a > \"b\"'/>",
        f'<TRACK\n\tLocation = "{place}"\r\n>\n</TRACK>',
        f'<TRACK Name="&lt;\xe9&#x20;" Tonality = \'\' Location="{place}"></TRACK>',
        f'<!-- <TRACK Tonality="x"/> --><TRACK Location="{place}" XTonality="Am"/>',
    )  # fmt: skip
    body = "<COLLECTION>" + "".join(tags) + "</COLLECTION></DJ_PLAYLISTS>"
    for encoding, mark in (("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("iso-8859-1", b"")):
        text = f'<?xml version="1.0" encoding="{encoding}"?>\r\n<DJ_PLAYLISTS>{body}'
        source, copy = tmp_path / "r.xml", tmp_path / "copy.xml"
        source.write_bytes(mark + text.encode(encoding))
        outcomes = export_keys(source, copy, [result])
        assert [one.action for one in outcomes] == ["written"] * 4
        assert [track.keys for track in read_library(copy).tracks] == [{"Tonality": "F#m"}] * 4
        removed = copy.read_bytes().replace(b' Tonality="F#m"', b"")
        assert removed.replace(b'Tonality = "F#m"', b"Tonality = ''") == source.read_bytes()


def test_what_takes_no_keys(music: list[Path], keys: Path, tmp_path: Path) -> None:
    library = itunes(tmp_path / "i.xml", [{"Location": music[0].as_uri()}])
    lists = tmp_path / "x.m3u"
    lists.write_text("a.mp3")
    for source, why in (
        (library, "of this kind (itunes) take no keys"),
        (lists, "not a library of rekordbox"),
    ):
        done = run("library", "export", source, "--from", keys, "-o", tmp_path / "out.xml")
        assert done.returncode == 2
        assert why in done.stderr
    source = xml(tmp_path / "r.xml", music[:1], [{}])
    signature = Result(music[0], confidence=1.0).with_label(KeySignature(0), "musical")
    (outcome,) = export_keys(source, tmp_path / "out.xml", [signature])
    assert outcome.error == "the results give its key signature, not its key"
