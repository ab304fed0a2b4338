"""Every format: write a key, read it back with mutagen and FFmpeg, and undo it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import av
import mutagen
import pytest
from tag_files import FILES, make, other_tags

from stonekey.keys import Key
from stonekey.tags import TagError, UnsupportedError, read_key
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import UNDONE, Journal, read_runs
from stonekey.tags.tagging import Settings, tag_file, with_key
from stonekey.tags.undo import revert_file
from stonekey.tags.writing import sound_hash

FIELD = {
    ".m4a": "----:com.apple.iTunes:initialkey",
    ".wma": "WM/InitialKey",
    **dict.fromkeys((".mp3", ".aiff", ".wav"), "TKEY"),
}
KEY = Key.parse("Eb minor")


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for name in FILES:
        make(folder / name)
    return folder


def read_with_mutagen(path: Path) -> str | None:
    """The key field by itself, read without the code under test."""
    tags = mutagen.File(path).tags
    found = tags.get(FIELD.get(path.suffix, "INITIALKEY")) if tags is not None else None
    if found is None:
        return None
    value = found.text[0] if hasattr(found, "text") else found[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def written(path: Path, settings: Settings, home: Path, key: Key = KEY) -> str:
    with Journal(home) as journal:
        return tag_file(path, key, 0.9, settings, journal).action


def undone(home: Path) -> str:
    [entry] = read_runs(home)[0].entries
    with Journal(home, UNDONE) as journal:
        return revert_file(entry, journal)[0].action


@pytest.mark.parametrize("name", FILES)
def test_written_read_and_undone(originals: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(originals / name, tmp_path))
    path.chmod(0o640)
    before, home = other_tags(path), tmp_path / "journal"
    assert read_key(path) is None

    assert written(path, Settings(), home) == "written"

    assert read_key(path) == KEY
    assert read_with_mutagen(path) == "Ebm"
    with av.open(str(path)) as container:
        tags = {**container.metadata, **container.streams.audio[0].metadata}
    assert "Ebm" in [v for k, v in tags.items() if k.lower().endswith(("key", "tkey"))]
    assert {**before, **other_tags(path)} == other_tags(path)  # a new tag adds a version
    assert before.items() <= other_tags(path).items()
    assert sound_hash(path) == sound_hash(originals / name)
    assert path.stat().st_mode & 0o777 == 0o640

    assert undone(home) == "restored"
    assert read_key(path) is None
    assert read_with_mutagen(path) is None
    assert other_tags(path) == before or name == "v1.mp3"
    if name.startswith("none"):
        assert not open_tags(path).present
    assert sound_hash(path) == sound_hash(originals / name)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [name]


@pytest.mark.parametrize("name", FILES)
def test_read_by_ffprobe(originals: Path, tmp_path: Path, name: str) -> None:
    program = shutil.which("ffprobe")
    if program is None:
        pytest.skip("needs the ffprobe program")
    path = Path(shutil.copy(originals / name, tmp_path))
    written(path, Settings(), tmp_path / "journal")
    shown = subprocess.run(
        [program, "-v", "error", "-of", "json", "-show_entries", "format_tags:stream_tags", path],
        capture_output=True, check=True,
    )  # fmt: skip
    found = json.loads(shown.stdout)
    tags = {**found["streams"][0].get("tags", {}), **found["format"].get("tags", {})}
    assert "Ebm" in [v for k, v in tags.items() if k.lower().endswith("key")]
    if not name.startswith(("none", "v1")):
        assert "Ünder" in tags.values()


@pytest.mark.parametrize("name", FILES)
def test_comment_and_grouping_in_camelot(originals: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(originals / name, tmp_path))
    home = tmp_path / "journal"
    comment, before = open_tags(path).text("comment"), other_tags(path)
    settings = Settings(also=("comment", "grouping"), notation="camelot")
    assert written(path, settings, home) == "written"
    assert written(path, settings, home) == "kept"
    assert read_with_mutagen(path) == "Ebm"
    tags = open_tags(path)
    assert tags.text("comment") == ("2A" if comment is None else f"2A - {comment}")
    assert tags.text("grouping") == "2A"
    undone(home)
    assert open_tags(path).text("grouping") is None
    assert open_tags(path).text("comment") == comment
    assert other_tags(path) == before or name == "v1.mp3"


@pytest.mark.parametrize("name", ["v23.mp3", "v24.mp3", "song.m4a", "song.ogg", "song.wv"])
def test_undo_puts_an_overwritten_key_back_as_it_was(
    originals: Path, tmp_path: Path, name: str
) -> None:
    path = Path(shutil.copy(originals / name, tmp_path))
    home = tmp_path / "journal"
    tags = open_tags(path)
    tags.set(tags.fields("key")[0], "12m / off")
    tags.save()
    before = open_tags(path).dump(tags.fields("key")[0])
    assert written(path, Settings(), home) == "kept"
    assert read_key(path) == "12m / off"
    assert written(path, Settings(overwrite=True), home) == "written"
    assert read_key(path) == KEY
    undone(home)
    assert open_tags(path).dump(tags.fields("key")[0]) == before


def test_spellings_are_understood(originals: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(originals / "song.flac", tmp_path))
    for text, expected in {
        "2A": KEY, "7m": KEY, "D#m": KEY, " Ebm ": KEY, "o": "o", "": None, "?": "?",
    }.items():  # fmt: skip
        audio = mutagen.File(path)
        audio["initialkey"] = text
        audio.save()
        assert read_key(path) == expected


def test_other_names_of_the_field_are_read_and_follow(originals: Path, tmp_path: Path) -> None:
    for name, field in {"song.opus": "key", "song.m4a": "----:com.apple.iTunes:KEY"}.items():
        path = Path(shutil.copy(originals / name, tmp_path))
        audio = mutagen.File(path)
        audio[field] = [b"8A"] if name == "song.m4a" else "8A"
        audio.save()
        assert read_key(path) == Key.parse("A minor")
        assert written(path, Settings(overwrite=True), tmp_path / "journal") == "written"
        assert read_with_mutagen(path) == "Ebm"
        assert mutagen.File(path)[field] in ([b"Ebm"], ["Ebm"])


def test_all_keys_fit_the_id3_field() -> None:
    texts = [Key.from_index(i).format("short") for i in range(24)]
    assert max(map(len, texts)) == 3
    assert [Key.parse(text).index for text in texts] == list(range(24))


def test_a_comment_keeps_its_words() -> None:
    assert with_key("", "8A", False) == "8A"
    assert with_key("great - really", "8A", False) == "8A - great - really"
    assert with_key("7A - great", "8A", False) == "7A - great"
    assert with_key("7A - great", "8A", True) == "8A - great"
    assert with_key("Am", "8A", True) == "8A"
    for word in ("A", "Es", "Hm", "as", "9", "3m3"):
        assert with_key(f"{word} - side", "8A", True) == f"8A - {word} - side"
    for key in ("Eb", "D#m", "D♯ minor", "07A", "12d", "C major"):
        assert with_key(f"{key} - side", "8A", True) == "8A - side"
    assert with_key("C - x", "C", True) == "C - x"


def test_files_without_such_tags(tmp_path: Path) -> None:
    text = tmp_path / "x.mp3"
    text.write_text("no sound at all")
    with pytest.raises(TagError, match=r"x\.mp3"):
        read_key(text)
    video = tmp_path / "x.mkv"
    video.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    assert read_key(video) is None
    with pytest.raises(UnsupportedError, match=r"x\.mkv: cannot write tags"):
        open_tags(video)
    with pytest.raises(TagError, match=r"gone\.mp3: No such file"):
        read_key(tmp_path / "gone.mp3")
