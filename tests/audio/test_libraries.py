"""Libraries of DJ programs, playlists in XML and PLS, and where their files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_tools import call, music, run
from library_files import itunes, rekordbox, traktor

from stonekey.audio import find_audio_files
from stonekey.audio.libraries import read_library
from stonekey.audio.playlists import PlaylistError, read_playlist
from stonekey.library import read_results


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def url(path: Path) -> str:
    return path.as_uri().replace("file://", "file://localhost")


def traktor_place(path: Path, volume: str = "Macintosh HD") -> dict[str, str]:
    folder = str(path.parent).replace("/", "/:") + "/:"
    return {"DIR": folder, "FILE": path.name, "VOLUME": volume}


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    return [touch(tmp_path / "Müsic & more" / name) for name in ("b 1.mp3", "a#%41.mp3")]


def test_rekordbox(songs: list[Path], tmp_path: Path) -> None:
    tracks = [{"Name": "One", "Artist": "X", "Location": url(songs[0]), "Tonality": "Am"},
              {"Name": "Two", "Location": "file://localhostspotify:track:12"},
              {"Location": url(songs[1])}]  # fmt: skip
    found = read_playlist(rekordbox(tmp_path / "collection.xml", tracks))
    assert found.entries == tuple(songs)
    assert [track.keys for track in found.tracks] == [{"Tonality": "Am"}, {}]
    assert found.tracks[0].title == "X - One"
    assert found.skipped == (("file://localhostspotify:track:12", "an address, not a file"),)
    assert not found.missing


def test_traktor(songs: list[Path], tmp_path: Path) -> None:
    tracks = [{**traktor_place(songs[0]), "KEY": "8m", "VALUE": "21"}, {"TITLE": "Streamed"},
              traktor_place(songs[1])]  # fmt: skip
    path = traktor(tmp_path / "collection.nml", tracks)
    found = read_playlist(path)
    assert found.entries == tuple(songs)
    assert [track.keys for track in found.tracks] == [{"KEY": "8m", "VALUE": "21"}, {}]
    assert found.skipped == (("Somebody - Streamed", "names no file"),)
    other = traktor(tmp_path / "usb.nml", [{"DIR": "/:Set/:", "FILE": "x.mp3", "VOLUME": "USB"}])
    missing = read_playlist(other)
    assert missing.entries == (Path("/Volumes/USB/Set/x.mp3"),)
    assert missing.missing[missing.entries[0]][:2] == (
        "/Volumes/USB/Set/x.mp3", "/Set/x.mp3",
    )  # fmt: skip
    song = touch(tmp_path / "Set/x.mp3")  # the volume is mounted elsewhere
    assert read_playlist(other).entries == (song,)
    windows = {"DIR": "/:Set/:", "FILE": "x.mp3", "VOLUME": "D:"}
    assert read_playlist(traktor(tmp_path / "w.nml", [windows])).entries == (song,)


def test_itunes(songs: list[Path], tmp_path: Path) -> None:
    tracks = [{"Name": "One", "Artist": "X & Y", "Location": url(songs[0])}, {"Name": "Cloud"},
              {"Location": songs[1].as_uri()}, {"Location": "http://radio.example/"}]  # fmt: skip
    found = read_playlist(itunes(tmp_path / "iTunes Library.xml", tracks))
    assert found.entries == tuple(songs)
    assert found.tracks[0].title == "X & Y - One"
    assert found.skipped == (
        ("Cloud", "names no file"), ("http://radio.example/", "an address, not a file"),
    )  # fmt: skip


def test_an_exported_playlist_keeps_its_order(songs: list[Path], tmp_path: Path) -> None:
    third = touch(tmp_path / "c.mp3")
    files = [*songs, third]
    locations = [{"Location": url(file)} for file in files]
    places = [traktor_place(file) for file in files]
    for order, expected in (
        ((2, 0, 1, 0), [third, *songs, songs[0]]),
        ((2, 0), files),  # a library that happens to have one playlist
        ((), files),
    ):
        for path in (
            rekordbox(tmp_path / "r.xml", locations, order),
            traktor(tmp_path / "t.nml", places, order),
            itunes(tmp_path / "i.xml", locations, order),
        ):
            assert read_playlist(path).entries == tuple(expected), (path, order)
    text = (tmp_path / "t.nml").read_text(encoding="utf-8")
    lists = "".join(
        f'<NODE><PLAYLIST><ENTRY><PRIMARYKEY KEY="{url(file)}"/></ENTRY></PLAYLIST></NODE>'
        for file in (third, songs[0], songs[1])
    )
    (tmp_path / "t.nml").write_text(text.replace("</SUBNODES>", f"{lists}</SUBNODES>"))
    assert read_playlist(tmp_path / "t.nml").entries == tuple(files)


def test_xspf_wpl_and_pls_keep_their_order(songs: list[Path], tmp_path: Path) -> None:
    spf = tmp_path / "x.xspf"
    spf.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<playlist version="1" xmlns="http://xspf.org/ns/0/">'
        "<title>set</title><trackList>"
        f"<track><location>{songs[0].as_uri()}</location><location>other.mp3</location></track>"
        "<track><title>t</title><location> M%C3%BCsic%20&amp;%20more/a%23%2541.mp3</location>"
        "</track></trackList></playlist>"
    )
    wpl = tmp_path / "x.wpl"
    wpl.write_text(
        '<?wpl version="1.0"?>\n<smil><head><title>set</title></head><body><seq>'
        '<media src="Müsic &amp; more\\b 1.mp3"/>'
        '<media src="C:\\Müsic &amp; more\\a#%41.mp3" tid="{1}"/></seq></body></smil>',
        encoding="utf-8",
    )
    pls = tmp_path / "x.pls"
    pls.write_bytes(
        "[playlist]\r\nFile2=Müsic & more/a#%41.mp3\r\nTitle2=x\r\nFile1=".encode("latin-1")
        + str(songs[0]).encode("latin-1") + b"\r\nNumberOfEntries=2\r\nVersion=2\r\n"
    )  # fmt: skip
    for path in (spf, wpl, pls):
        assert read_playlist(path).entries == tuple(songs), path
        assert find_audio_files(path) == songs, path


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_m3u_in_utf16(encoding: str, tmp_path: Path) -> None:
    song = touch(tmp_path / "Ünder ♭.mp3")
    path = tmp_path / "x.m3u"
    path.write_bytes("#EXTM3U\r\nÜnder ♭.mp3\r\n".encode(encoding))
    assert read_playlist(path).entries == (song,)
    path.write_bytes("#EXTM3U\n".encode("utf-16") + b"\0")
    with pytest.raises(PlaylistError, match="not a playlist"):
        read_playlist(path)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("Ёлка.mp3", "cp1251"),
        ("夜の歌.mp3", "cp932"),
        ("夜曲.mp3", "gb18030"),
        ("Œuvre.mp3", "mac_roman"),
    ],
)
def test_m3u_in_other_encodings(name: str, encoding: str, tmp_path: Path) -> None:
    song = touch(tmp_path / name)
    path = tmp_path / "x.m3u"
    path.write_bytes(name.encode(encoding))
    assert read_playlist(path).entries == (song,)


@pytest.mark.parametrize(
    "location",
    [
        "\\Music\\House\\x y.mp3", "D:\\Music\\House\\x y.mp3", "D:/Music/House/x y.mp3",
        "\\\\nas\\share\\Music\\House\\x y.mp3", "file://nas/share/Music/House/x%20y.mp3",
        "/Volumes/USB/Music/House/x y.mp3", "/media/dj/USB/Music/House/x y.mp3",
        "file:///E:/Music/House/x%20y.mp3", "/Users/dj/Music/House/x y.mp3",
        "C:\\Users\\dj\\Music\\House\\x y.mp3",
    ],
)  # fmt: skip
def test_what_lies_at_another_root_is_looked_for_upward(location: str, tmp_path: Path) -> None:
    song = touch(tmp_path / "Music/House/x y.mp3")
    path = touch(tmp_path / "Music/Lists/new/x.m3u8")
    path.write_text(location)
    found = read_playlist(path)
    assert found.entries == (song,)
    song.unlink()
    (missing, tried), *_ = read_playlist(path).missing.items()
    assert str(song) in tried
    assert tried[0] == str(missing) or missing == path.parent / tried[0]  # on a drive


def test_a_list_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "a.mp3")
    Path("x.m3u").write_text("a.mp3\nb.mp3\nE:\\c.mp3")
    found = read_playlist("x.m3u")
    assert found.entries == (Path("a.mp3"), Path("b.mp3"), Path("E:\\c.mp3"))
    assert found.missing[Path("b.mp3")] == ("b.mp3",)
    assert found.missing[Path("E:\\c.mp3")][:2] == ("E:\\c.mp3", str(tmp_path / "c.mp3"))


def test_what_is_missing_is_listed_with_what_was_tried(tmp_path: Path) -> None:
    song = music(tmp_path / "a.wav", "C major", 1)
    library = rekordbox(
        tmp_path / "c.xml",
        [{"Location": "file://localhost/E:/Gone/x.wav"}, {"Location": url(song)}],
    )
    done = run("predict", library, "-m", "template", "-f", "tsv")
    assert done.returncode == 1
    assert f"{song}\tC major" in done.stdout
    told = [line for line in done.stderr.splitlines() if "x.wav" in line]
    assert len(told) == 1
    assert "No such file or directory; tried " in told[0]
    assert str(tmp_path / "Gone/x.wav") in told[0]
    assert call("playlist", library, "-m", "template", "-o", tmp_path / "o.m3u8") == 1
    assert len(read_playlist(tmp_path / "o.m3u8").entries) == 2  # no track is lost


def test_every_command_takes_a_library(tmp_path: Path) -> None:
    song = music(tmp_path / "a.wav", "F major", 2)
    library = traktor(tmp_path / "collection.nml", [traktor_place(song)])
    output = tmp_path / "keys.csv"
    done = run("scan", library, "-o", output, "-m", "template", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert [result.path for result in read_results(output)] == [song]
    assert f"{song}\t\tF\t" in run("tag", library, "-m", "template").stdout


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.xml", "<VirtualDJ_Database/>", "the database of VirtualDJ, which is not supported"),
        ("x.xml", "<html/>", "XML of another kind (<html>), which is not supported"),
        ("x.nml", "<NML><COLLECTION>", "damaged XML (line 1: "),
        ("x.xml", "no XML", "damaged XML"),
        ("x.xml", '<?xml version="1.0" encoding="UTTF-8"?><NML/>', "unknown encoding: UTTF-8"),
        ("x.xml", '<?xml version="1.0" encoding="gb18030"?><NML/>', "multi-byte encodings"),
        ("x.crate", "", "a crate of Serato, which is not supported"),
        ("export.pdb", "", "a database of rekordbox, which is not supported"),
        ("database V2", "", "the database of Serato"),
        ("x.asx", "<asx/>", "an ASX playlist"),
        ("x.xml", "<plist>" + "<a>" * 200, "nested too deeply"),
        ("x.xml", '<!DOCTYPE plist [<!ENTITY a "b">]><plist>&a;</plist>', "XML entities"),
        ("x.xspf", "<playlist>" + "x" * 70_000 + "</playlist>", "a text in it is too long"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PlaylistError) as error:
        read_playlist(path)
    assert why in str(error.value)
    done = run(path)
    assert done.returncode == 1
    assert why in done.stderr


def test_bombs_and_outside_files_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    levels = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    path.write_text(f'<!DOCTYPE NML [<!ENTITY a0 "x">{levels}]><NML>&a11;</NML>')
    with pytest.raises(PlaylistError, match="XML entities"):
        read_playlist(path)
    path.write_text('<!DOCTYPE NML [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]><NML/>')
    with pytest.raises(PlaylistError, match="XML entities"):
        read_playlist(path)
    path.write_text('<!DOCTYPE NML SYSTEM "/nowhere.dtd"><NML><COLLECTION/></NML>')
    assert read_playlist(path).entries == ()
    path.write_text('<DJ_PLAYLISTS Version="' + "x" * (40 << 20) + '"/>')
    with pytest.raises(PlaylistError, match="an element in it is too long"):
        read_playlist(path)
    os.mkfifo(tmp_path / "pipe.nml")
    with pytest.raises(PlaylistError, match="not a file"):
        read_playlist(tmp_path / "pipe.nml")


def test_a_large_library_is_read_as_a_stream(tmp_path: Path) -> None:
    tracks = ({"Location": f"file://localhost/m/{i % 50}/{i}.mp3"} for i in range(3_000))
    path = rekordbox(tmp_path / "c.xml", tracks)
    assert len(read_library(path).tracks) == 3_000
    assert len(read_playlist(path).missing) == 3_000
