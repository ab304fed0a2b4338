"""Artist, title and tempo in the tags of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutagen.mp4 import MP4
from mutagen.wave import WAVE
from tag_files import FILES, make

from stonekey.tags.about import About, read_about


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("song", "v2"))])
def test_the_title_in_every_format(name: str, tmp_path: Path) -> None:
    assert read_about(make(tmp_path / name, seconds=0.2)).title == "Ünder"


def test_tempo_and_artist(tmp_path: Path) -> None:
    from mutagen.id3 import TBPM

    path = make(tmp_path / "song.wav", seconds=0.2)
    audio = WAVE(path)
    for text, tempo in (("127,5", 127.5), ("fast", None), ("0", None)):
        audio.tags.add(TBPM(encoding=3, text=text))
        audio.save()
        assert read_about(path) == About("A/B", "Ünder", tempo)
    movie = make(tmp_path / "song.m4a", seconds=0.2)
    audio = MP4(movie)
    audio["tmpo"] = [128]
    audio.save()
    assert read_about(movie).tempo == 128


def test_what_has_no_tags(tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\x7f")
    for name in ("x.mp3", "missing.mp3"):
        assert read_about(tmp_path / name) == About()
