"""Keys where other programs keep them: read, and never left beside another key of ours."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import mutagen
import pytest
from cli_tools import call
from mutagen import id3
from mutagen.apev2 import BINARY, APEv2, APEValue
from tag_files import make

from stonekey.keys import Key
from stonekey.tags import TagError, read_key
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import UNDONE, Journal, read_runs
from stonekey.tags.tagging import Settings, tag_file
from stonekey.tags.undo import revert_file
from stonekey.tags.writing import sound_hash

KEY, OLD = Key.parse("Eb minor"), Key.parse("A minor")
FREEFORM = "----:com.apple.iTunes:"
MIXED_IN_KEY = {"algorithm": 94, "key": "8A", "source": "mixedinkey"}


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for name in ("v23.mp3", "v24.mp3", "none.mp3", "song.flac", "song.m4a", "song.wma", "song.wv",
                 "song.ogg", "song.aiff", "none.wav"):  # fmt: skip
        make(folder / name, seconds=0.5)
    return folder


def packed(**changes: Any) -> str:
    data = json.dumps({**MIXED_IN_KEY, **changes}, separators=(",", ":")).encode()
    return base64.b64encode(data).decode()


def put(path: Path, name: str, *texts: str) -> None:
    """Write a field without the code under test."""
    if name.startswith("APE:"):
        ape = APEv2()
        ape[name[4:]] = list(texts)
        ape.save(path)
        return
    audio = mutagen.File(path)
    if audio.tags is None:
        audio.add_tags()
    kind, _, desc = name.partition(":")
    if kind == "GEOB":
        audio.tags.add(id3.GEOB(0, mime="application/json", desc=desc, data=texts[0].encode()))
    elif kind in ("TXXX", "TKEY") and isinstance(audio.tags, id3.ID3):
        frame = id3.Frames[kind](encoding=1, text=list(texts))
        if kind == "TXXX":
            frame.desc = desc
        audio.tags.add(frame)
    else:
        values: list[Any] = list(texts)
        audio[name] = [v.encode() for v in values] if name.startswith("----") else values
    audio.save()


def all_keys(path: Path) -> set[str | Key]:
    """What every key field of a file says."""
    tags = open_tags(path)
    found = {name: tags.texts(name) for name in tags.fields("key")}
    return {tags_key(text) for texts in found.values() for text in texts}


def tags_key(text: str) -> str | Key:
    from stonekey.tags.base import parsed

    return parsed(text) or text


def write(path: Path, home: Path, key: Key = KEY, overwrite: bool = True) -> str:
    with Journal(home) as journal:
        return tag_file(path, key, 0.9, Settings(overwrite=overwrite), journal).action


def undo(path: Path, home: Path) -> None:
    [entry] = read_runs(home)[0].entries
    with Journal(home, UNDONE) as journal:
        assert revert_file(entry, journal)[0].action == "restored"


CASES = [
    *(("song.flac", name) for name in ("INITIAL_KEY", "initial key", "Key", "TKEY", "initialKey")),
    ("song.ogg", "INITIAL KEY"),
    ("song.wv", "Initial Key"),
    ("song.wv", "InitialKey"),
    *(("song.m4a", FREEFORM + name) for name in ("INITIAL_KEY", "Initial Key", "KEY")),
    *(("song.wma", name) for name in ("WM/INITIALKEY", "wm/initialkey", "INITIALKEY", "Key")),
    *(("v23.mp3", f"TXXX:{name}") for name in ("INITIALKEY", "KEY", "Initial key", "INITIAL_KEY")),
    ("v24.mp3", "TXXX:key"),
    ("song.aiff", "TXXX:INITIALKEY"),
    ("v23.mp3", "APE:KEY"),
    ("none.mp3", "APE:Initial Key"),
]


@pytest.mark.parametrize(("file", "name"), CASES)
def test_other_names_are_read_and_follow(
    originals: Path, tmp_path: Path, file: str, name: str
) -> None:
    path, home = Path(shutil.copy(originals / file, tmp_path)), tmp_path / "home"
    put(path, name, "8A")
    before, sound = path.read_bytes(), sound_hash(path)
    assert read_key(path) == OLD
    assert write(path, home, overwrite=False) == "kept"
    assert write(path, home, OLD, overwrite=False) == "kept"
    assert path.read_bytes() == before
    assert write(path, home) == "written"
    assert all_keys(path) == {KEY}
    assert sound_hash(path) == sound
    undo(path, home)
    assert all_keys(path) == {OLD}
    assert open_tags(path).dump(open_tags(path).fields("key")[-1]) is not None


@pytest.mark.parametrize(
    ("file", "name"),
    [("song.flac", "KEY"), ("song.m4a", FREEFORM + "KEY"), ("v23.mp3", "GEOB:Key")],
)
def test_mixed_in_key(originals: Path, tmp_path: Path, file: str, name: str) -> None:
    """Its JSON is read, and rewritten in its own form alone."""
    path, home = Path(shutil.copy(originals / file, tmp_path)), tmp_path / "home"
    put(path, name, packed())
    assert read_key(path) == OLD
    tags = open_tags(path)
    assert (tags.text("key"), tags.texts(tags.fields("key")[-1])) == ("8A", [packed()])
    assert write(path, home) == "written"
    tags = open_tags(path)
    standard, other = tags.fields("key")
    assert (tags.texts(standard), tags.texts(other)) == (["Ebm"], [packed(key="2A")])
    undo(path, home)
    tags = open_tags(path)
    assert (tags.texts(standard), tags.texts(other)) == ([], [packed()])


def test_mixed_in_key_says_so(originals: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(originals / "song.flac", tmp_path))
    for text in (packed(key="Am"), packed(key="o"), base64.b64encode(b'{"other": 1}').decode()):
        put(path, "KEY", text)
        assert read_key(path) == {packed(key="Am"): OLD, packed(key="o"): "o"}.get(text)
    before = mutagen.File(path)["key"]
    assert write(path, tmp_path / "home") == "written"
    assert mutagen.File(path)["key"] == before  # no key in it, so it is none of ours
    assert read_key(path) == KEY


def test_contradictions_go_when_a_key_is_written(originals: Path, tmp_path: Path) -> None:
    for file, fields in {
        "song.flac": {"INITIALKEY": ("Am", "Bm"), "KEY": ("C",), "Initial Key": ("o", "F")},
        "v24.mp3": {"TKEY": ("Am", "Bm"), "TXXX:KEY": ("Dm",), "APE:KEY": ("E",)},
        "song.wma": {"WM/InitialKey": ("Am",), "WM/INITIALKEY": ("Bm",)},
    }.items():
        path, home = Path(shutil.copy(originals / file, tmp_path)), tmp_path / file[:-4]
        for name, texts in fields.items():
            put(path, name, *texts)
        assert read_key(path) == OLD
        assert write(path, home) == "written"
        assert all_keys(path) == {KEY}
        undo(path, home)
        assert all_keys(path) == {tags_key(text) for texts in fields.values() for text in texts}


def test_binary_fields_are_left_alone(originals: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(originals / "v23.mp3", tmp_path))
    ape = APEv2()
    ape["KEY"] = APEValue(b"8A", BINARY)
    ape.save(path)
    assert read_key(path) is None
    assert write(path, tmp_path / "home") == "written"
    assert APEv2(path)["KEY"].value == b"8A"


def test_a_key_counts_before_other_text(originals: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(originals / "v23.mp3", tmp_path))
    put(path, "TXXX:KEY", "secret: 12")
    assert read_key(path) is None
    assert write(path, tmp_path / "home") == "written"
    assert all_keys(path) == {KEY, "secret: 12"}  # not a key: none of ours
    put(path, "TKEY", "All")
    assert read_key(path) == "All"
    put(path, "TXXX:KEY", "Am")
    assert read_key(path) == OLD


def test_an_ape_tag_keeps_its_fields_and_the_id3v1_behind_it(
    originals: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(originals / "none.mp3", tmp_path))
    ape = APEv2()
    ape["KEY"], ape["MP3GAIN_MINMAX"] = "8A", "1,2"
    ape.save(path)
    v1 = b"TAG" + b"Old".ljust(124, b"\0") + b"\x11"
    path.write_bytes(path.read_bytes() + v1)
    assert write(path, tmp_path / "home") == "written"
    assert dict(APEv2(path)) == {"KEY": "Ebm", "MP3GAIN_MINMAX": "1,2"}
    assert path.read_bytes().endswith(v1)
    assert path.read_bytes().count(b"TAG" + b"Old") == 1
    lyrics = b"LYRICSBEGININD0000200"
    lyrics += b"%06dLYRICS200" % len(lyrics)
    path.write_bytes(path.read_bytes()[:-128] + lyrics + v1)
    before = path.read_bytes()
    with pytest.raises(TagError, match="not at its end"):
        write(path, tmp_path / "home", OLD)
    assert path.read_bytes() == before


@pytest.mark.parametrize("file", ["song.aiff", "none.wav"])
def test_an_id3_chunk_behind_the_sound(originals: Path, tmp_path: Path, file: str) -> None:
    """As some programs write it: behind the chunk that says how long the file is."""
    path, home = tmp_path / file, tmp_path / "home"
    shutil.copy(originals / file, path)
    if mutagen.File(path).tags is not None:
        mutagen.File(path).delete()
    bare = path.read_bytes()
    tag = tmp_path / "tag"
    tags = id3.ID3()
    tags.add(id3.TKEY(encoding=0, text="8A"))
    tags.add(id3.TIT2(encoding=1, text="Ünder"))
    tags.save(tag, v2_version=3)
    size = tag.stat().st_size
    order = "big" if file == "song.aiff" else "little"
    chunk = b"ID3 " + size.to_bytes(4, order) + tag.read_bytes()  # type: ignore[arg-type]
    path.write_bytes(bare + chunk)
    sound = sound_hash(path)
    assert read_key(path) == OLD
    assert write(path, home) == "written"
    assert read_key(path) == KEY
    assert path.read_bytes().startswith(bare)
    assert str(open_tags(path).audio.tags["TIT2"]) == "Ünder"
    assert sound_hash(path) == sound
    undo(path, home)
    assert read_key(path) == OLD
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(TagError, match="has more behind"):
        write(path, home)


@pytest.mark.parametrize(
    ("file", "name"),
    [("song.flac", "x.mp3"), ("v23.mp3", "x.flac"), ("song.ogg", "x.wav"), ("song.m4a", "x.mp3"),
     ("song.wv", "x.aiff"), ("none.mp3", "x.ogg"), ("song.aiff", "x.MP3")],
)  # fmt: skip
def test_files_are_known_by_what_is_in_them(
    originals: Path, tmp_path: Path, file: str, name: str
) -> None:
    path, home = Path(shutil.copy(originals / file, tmp_path / name)), tmp_path / "home"
    sound = sound_hash(path)
    assert write(path, home) == "written"
    assert read_key(path) == KEY
    assert sound_hash(path) == sound
    undo(path, home)
    assert read_key(path) is None


def test_a_name_that_lies_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "song.flac", "F# minor", 5).rename(tmp_path / "song.mp3")
    assert call("tag", path, "--write") == 0
    assert capsys.readouterr().out.endswith("\twritten\n")
    assert mutagen.flac.FLAC(path)["INITIALKEY"] == ["F#m"]
