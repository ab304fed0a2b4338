"""Playlists: read in any of their spellings, taken by the commands, sorted by key."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from cli_tools import as_terminal, call, music, rows_of

from stonekey.audio import find_audio_files
from stonekey.audio.playlists import (
    MAX_ENTRIES,
    Entry,
    PlaylistError,
    read_playlist,
    write_playlist,
)
from stonekey.keys import Key
from stonekey.library import Result, read_results
from stonekey.library.store import open_store
from stonekey.tags import read_key

Capture = pytest.CaptureFixture[str]


def playlist_file(path: Path, *lines: str | bytes, end: bytes = b"\n") -> Path:
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    path.write_bytes(end.join(raw) + end)
    return path


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_lines_of_an_extended_playlist(tmp_path: Path) -> None:
    found = read_playlist(
        playlist_file(
            tmp_path / "set.m3u8",
            b"\xef\xbb\xbf#EXTM3U", "#EXTINF:123,Someone - Something", "a.mp3", "", "  sub/b.mp3 ",
            "#EXTVLCOPT:network-caching=1000", "/elsewhere/c.mp3", "../d.mp3", "a.mp3",
            end=b"\r\n",
        )
    )  # fmt: skip
    names = ["a.mp3", "sub/b.mp3", "/elsewhere/c.mp3", "../d.mp3", "a.mp3"]
    assert found.entries == tuple(tmp_path / name for name in names)
    assert found.skipped == ()


def test_a_byte_order_mark_before_a_path(tmp_path: Path) -> None:
    path = playlist_file(tmp_path / "x.m3u", b"\xef\xbb\xbfa.mp3")
    assert read_playlist(path).entries == (tmp_path / "a.mp3",)
    assert read_playlist(playlist_file(path, b"a.mp3\rb.mp3")).entries[1] == tmp_path / "b.mp3"


@pytest.mark.parametrize(
    "line",
    [
        "café.mp3".encode(),
        "café.mp3".encode("latin-1"),
        b"cafe\xcc\x81.mp3",
        b"caf%C3%A9.mp3",
        b"caf%E9.mp3",
        b".\\caf\xc3\xa9.mp3",
        b".\\caf\xe9.mp3",
    ],
)
def test_a_name_in_any_encoding_finds_its_file(line: bytes, tmp_path: Path) -> None:
    song = touch(tmp_path / "café.mp3")
    assert read_playlist(playlist_file(tmp_path / "x.m3u", line)).entries == (song,)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8 need Linux")
def test_a_file_whose_name_is_no_utf8_is_found_before_another_reading(tmp_path: Path) -> None:
    touch(tmp_path / "café.mp3")
    odd = touch(tmp_path / os.fsdecode(b"caf\xe9.mp3"))
    assert read_playlist(playlist_file(tmp_path / "x.m3u", b"caf\xe9.mp3")).entries == (odd,)


def test_odd_names_that_exist_are_taken_as_they_are(tmp_path: Path) -> None:
    names = ["100%25.mp3", "a\\b.mp3", "Act 1: Storm.mp3"]
    songs = tuple(touch(tmp_path / name) for name in names)
    assert read_playlist(playlist_file(tmp_path / "x.m3u8", *names)).entries == songs


def test_addresses(tmp_path: Path) -> None:
    song = tmp_path / "my song é.mp3"
    found = read_playlist(
        playlist_file(
            tmp_path / "x.m3u",
            song.as_uri(), song.as_uri().replace("file://", "FILE://localhost"),
            "http://radio.example/stream.mp3", "https://a.example/x", "file://server/share/x.mp3",
            "spotify:track:12", "other.m3u8",
        )
    )  # fmt: skip
    assert found.entries == (song, song, Path("//server/share/x.mp3"))
    assert [reason for _, reason in found.skipped] == [
        *["an address, not a file"] * 3, "a playlist inside a playlist",
    ]  # fmt: skip
    assert found.skipped[0][0] == "http://radio.example/stream.mp3"


def test_what_is_no_playlist(tmp_path: Path) -> None:
    with pytest.raises(PlaylistError, match=r"none\.m3u: No such file"):
        read_playlist(tmp_path / "none.m3u")
    (tmp_path / "film.m3u").write_bytes(b"\0\0\0\x18ftyp")
    with pytest.raises(PlaylistError, match=r"film\.m3u: not a playlist"):
        read_playlist(tmp_path / "film.m3u")
    assert read_playlist(playlist_file(tmp_path / "empty.m3u")).entries == ()


def test_written_and_read_back(tmp_path: Path) -> None:
    names = ["a.mp3", "sub/é.mp3", "#hash.mp3", " space.mp3", "tail .mp3 ", "two\nlines.mp3",
             "file:x.mp3", "http:/x.mp3", "50%41.mp3"]  # fmt: skip
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.mp3"))
    inside = [touch(tmp_path / name) for name in names]
    outside = Path("/elsewhere/x.mp3")
    path = tmp_path / "out.m3u8"
    write_playlist(path, [Entry(file, 61.6, "A\ntitle") for file in inside] + [Entry(outside)])
    assert read_playlist(path).entries == (*inside, outside)
    lines = path.read_bytes().split(b"\n")
    assert lines[:3] == [b"#EXTM3U", b"#EXTINF:62,A title", b"a.mp3"]
    assert lines[-3:] == [b"#EXTINF:-1,x", b"/elsewhere/x.mp3", b""]
    path.rename(tmp_path / "sub" / "moved.m3u8")  # beside another folder: the names are relative
    assert read_playlist(tmp_path / "sub" / "moved.m3u8").entries[0] == tmp_path / "sub/a.mp3"


def test_addresses_of_a_scan_are_written_as_they_are(tmp_path: Path) -> None:
    scan, output = tmp_path / "urls.csv", tmp_path / "u.m3u8"
    addresses = ["http://host/one.mp3", "s3://music/two.mp3"]
    store = open_store(scan)
    store.rewrite(
        Result(Path(one), confidence=0.9).with_label(Key.parse("8A"), "musical")
        for one in addresses
    )
    store.close()
    for command in (["playlist"], ["mix", "Am"]):
        assert call(*command, "--library", scan, "-o", output, "--force") == 0
        lines = output.read_text().splitlines()
        assert lines == [
            "#EXTM3U", "#EXTINF:-1,one", addresses[0], "#EXTINF:-1,two", addresses[1],
        ]  # fmt: skip


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three pieces, and a playlist of them with things that are none."""
    for name, key in (("one", "A minor"), ("two", "F# major"), ("three", "C major")):
        music(tmp_path / f"{name}.wav", key, 15)
    playlist_file(
        tmp_path / "set.m3u", "#EXTM3U", "two.wav", "http://radio.example/", "three.wav",
        "gone.wav", "one.wav",
    )  # fmt: skip
    return tmp_path


def test_predict_takes_a_playlist(album: Path, capsys: Capture) -> None:
    assert call(album / "set.m3u", "--format", "json") == 1
    printed = capsys.readouterr()
    found = {Path(one["file"]).stem: one["key"] for one in json.loads(printed.out)}
    assert found == {
        "one": "A minor", "two": "F# major", "three": "C major", "gone": None, "set": None,
    }  # fmt: skip
    assert "gone.wav: " in printed.err
    assert "http://radio.example/: an address, not a file" in printed.err
    playlist_file(album / "set.m3u", "two.wav")
    assert call(album / "set.m3u", "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 1  # an array, as for a folder


def test_scan_takes_a_playlist(album: Path, capsys: Capture) -> None:
    output = album / "keys.csv"
    assert call("scan", album / "set.m3u", "-o", output, "--workers", "1") == 1
    assert {result.path.name for result in read_results(output)} == {
        "one.wav", "two.wav", "three.wav",
    }  # fmt: skip
    told = capsys.readouterr().out
    assert "gone.wav: No such file" in told
    assert "an address, not a file" in told


def test_tag_takes_a_playlist(album: Path, capsys: Capture) -> None:
    assert call("tag", album / "set.m3u", "--write") == 1
    assert read_key(album / "two.wav") == Key.parse("F# major")
    assert "an address, not a file" in capsys.readouterr().err


def test_a_broken_playlist_is_reported(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "x.m3u").write_bytes(b"\0" * 9)
    assert call(tmp_path / "x.m3u") == 1
    assert "x.m3u: not a playlist" in capsys.readouterr().err


def test_a_playlist_sorted_by_key(album: Path, capsys: Capture) -> None:
    output = album / "sorted.m3u8"
    # F# major is 2B, A minor 8A, C major 8B; what cannot be read comes last.
    assert call("playlist", album / "set.m3u", "-o", output) == 1
    names = ["two.wav", "one.wav", "three.wav", "gone.wav"]
    assert read_playlist(output).entries == tuple(album / name for name in names)
    assert "gone.wav" in capsys.readouterr().err
    assert call("playlist", output, "-o", output) == 2  # not without --force
    songs = [album / name for name in names[:3]]
    assert call("playlist", *reversed(songs), "--order", "mix", "-f", "json") == 0
    tracks = json.loads(capsys.readouterr().out)
    assert [track["key"] for track in tracks] == ["C major", "A minor", "F# major"]
    assert set(tracks[0]) == {"path", "key", "camelot", "confidence", "duration", "error"}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "keys.csv"
    store = open_store(path)
    texts = ["1B", "8A", "9A", "8A", "12A"]
    results = [
        Result(Path(f"/music/{i}.mp3"), confidence=0.5 + i / 10, duration=60.0).with_label(
            Key.parse(text), "musical"
        )
        for i, text in enumerate(texts)
    ]
    store.rewrite([Result(Path("/music/bad.mp3"), error="broken"), *results])
    store.close()
    return path


def stems(text: str) -> list[str]:
    return [Path(line).stem for line in text.splitlines() if line and not line.startswith("#")]


def test_a_whole_library_sorted(library: Path, capsys: Capture) -> None:
    assert call("playlist", "--library", library) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("#EXTM3U\n#EXTINF:60,0\n/music/0.mp3\n")
    assert stems(printed) == ["0", "1", "3", "2", "4", "bad"]
    assert call("playlist", "--library", library, "--order", "mix") == 0
    assert stems(capsys.readouterr().out) == ["0", "4", "2", "1", "3", "bad"]
    assert call("playlist", "-l", library, "--min-confidence", "0.65", "-f", "csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "path,key,confidence,error"
    assert [Path(line.split(",")[0]).stem for line in lines[1:]] == [
        "3", "2", "4", "bad", "0", "1",
    ]  # fmt: skip


def test_a_playlist_looked_up_in_a_library(library: Path, tmp_path: Path, capsys: Capture) -> None:
    names = ["/music/4.mp3", "/music/unknown.mp3", "/music/1.mp3", "/music/4.mp3"]
    path = playlist_file(tmp_path / "x.m3u8", *names)
    assert call("playlist", path, "-l", library, "-f", "text", "-n", "camelot") == 1
    printed = capsys.readouterr()
    assert [line.split("\t")[:2] for line in printed.out.splitlines()] == [
        ["/music/1.mp3", "8A"], ["/music/4.mp3", "12A"], ["/music/4.mp3", "12A"],
        ["/music/unknown.mp3", ""],
    ]  # fmt: skip
    assert "unknown.mp3: not in the library" in printed.err


def test_keys_in_titles_and_a_table(
    library: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("playlist", "-l", library, "--key-in-title", "-n", "camelot") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == ["#EXTINF:60,1B - 0", "/music/0.mp3", "#EXTINF:60,8A - 1"]
    assert "#EXTINF:-1,bad" in lines
    as_terminal(monkeypatch)
    assert call("playlist", "-l", library, "-f", "text") == 0
    rows = rows_of(capsys.readouterr().out)
    assert rows[0] == ["Path", "Key", "Confidence", "Error"]
    assert ["/music/0.mp3", "B", "major", "50%"] in rows


def test_titles_of_a_playlist_are_kept(library: Path, tmp_path: Path, capsys: Capture) -> None:
    m3u = playlist_file(
        tmp_path / "x.m3u8", "#EXTM3U", "#EXTINF:15,Ann - One, the first", "/music/1.mp3",
        '#EXTINF:-1 genre="a,b",Two', "/music/2.mp3", "/music/4.mp3",
        b"#EXTINF:15,Caf\xe9", "/music/bad.mp3",
    )  # fmt: skip
    pls = playlist_file(
        tmp_path / "y.pls", "[playlist]", "Title2=Zero=0", "File2=/music/0.mp3",
        "File1=/music/3.mp3",
    )  # fmt: skip

    def titles(*arguments: str | Path) -> list[str]:
        call("playlist", *arguments, "-l", library)
        lines = capsys.readouterr().out.splitlines()
        return [line.split(",", 1)[1] for line in lines if line.startswith("#EXTINF")]

    assert titles(m3u, pls) == ["Zero=0", "Ann - One, the first", "3", "Two", "4", "Café"]
    keyed = ["8A - Ann - One, the first", "9A - Two", "12A - 4", "Café"]
    given = ("--key-in-title", "-n", "camelot")
    assert titles(m3u, *given) == keyed
    output = tmp_path / "keyed.m3u8"
    assert titles(m3u, *given, "-o", output) == []
    assert titles(output, *given) == keyed  # no second key in front


def test_bad_usage(library: Path, tmp_path: Path, capsys: Capture) -> None:
    def message(code: int, *arguments: str | Path) -> str:
        assert call("playlist", *arguments) == code
        return capsys.readouterr().err

    assert "give playlists, files" in message(2)
    assert "--order must be" in message(2, "-l", library, "--order", "random")
    assert "unknown suffix" in message(2, "-l", library, "-o", tmp_path / "x.pdf")
    (tmp_path / "empty").mkdir()
    assert "no tracks" in message(1, tmp_path / "empty")


def test_hostile_playlists_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.m3u")
    with pytest.raises(PlaylistError, match="not a file"):
        read_playlist(tmp_path / "pipe.m3u")
    with pytest.raises(PlaylistError, match="not a playlist"):
        read_playlist(playlist_file(tmp_path / "nul.m3u", b"a\n" * 5000 + b"b\0.mp3"))
    found = read_playlist(playlist_file(tmp_path / "all.m3u", "a.mp3", "/", ".."))
    assert found.entries == (tmp_path / "a.mp3",)
    assert [why for _, why in found.skipped] == ["a folder, not a file"] * 2
    long = tmp_path / "long.m3u"
    long.write_bytes(b"x/a.mp3\n" * (MAX_ENTRIES + 1))
    with pytest.raises(PlaylistError, match="200001 entries"):
        read_playlist(long)


def test_an_entry_too_long_for_a_file_is_one_bad_file(tmp_path: Path, capsys: Capture) -> None:
    song = music(tmp_path / "a.wav", "D major", 1)
    name = "y" * 5000 + ".mp3"
    list_ = playlist_file(tmp_path / "set.m3u", "a.wav", name, "z" * 300 + ".m3u")
    assert find_audio_files(list_) == [song]
    assert call("predict", list_, "-m", "template", "-f", "tsv") == 1
    assert f"{song}\tD major" in capsys.readouterr().out
    assert call("playlist", list_, "-m", "template", "-f", "text") == 1
    assert f"{song}\tD major" in capsys.readouterr().out
