"""Files under other names than their folders list, and what macOS and others leave in folders."""

from __future__ import annotations

import csv
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from cli_tools import music, run

from stonekey.audio import find_audio_files, spelling
from stonekey.audio.spelling import AsListed, ByPath
from stonekey.library import read_results
from stonekey.library.sources import find
from stonekey.tags import read_key

elsewhere = pytest.mark.skipif(spelling.LOOSE, reason="a system that tells spellings apart")
COMPOSED = unicodedata.normalize("NFC", "café.wav")
SPLIT = unicodedata.normalize("NFD", "café.wav")


@pytest.fixture
def two_names(tmp_path: Path) -> tuple[Path, Path]:
    """A file as its folder lists it, and another name by which the system finds it.

    A hard link is that name here.
    """
    folder = tmp_path / "Music"
    folder.mkdir()
    listed = music(folder / SPLIT, "A minor")
    os.link(listed, folder / COMPOSED)
    return listed, folder / COMPOSED


@pytest.fixture
def keys(two_names: tuple[Path, Path], tmp_path: Path) -> Path:
    """Results that know the file by the name that is listed."""
    listed, _ = two_names
    assert run("scan", listed, "--output", tmp_path / "keys.csv", "--workers", "1").returncode == 0
    assert [result.path for result in read_results(tmp_path / "keys.csv")] == [listed]
    return tmp_path / "keys.csv"


@elsewhere
def test_values_by_any_spelling(two_names: tuple[Path, Path], tmp_path: Path) -> None:
    listed, other = two_names
    values = ByPath([(listed, 1)])
    assert values.get(listed) == values.get(other) == 1
    os.link(listed, tmp_path / "Music" / SPLIT.upper())
    assert values.get(tmp_path / "Music" / SPLIT.upper()) == 1
    assert values.get(tmp_path / "music" / SPLIT) is None  # no such folder here


@elsewhere
def test_other_files_of_such_names(tmp_path: Path) -> None:
    """Where the system tells spellings apart, each is a file of its own."""
    for name in (SPLIT, COMPOSED, "a.wav", "A.wav"):
        (tmp_path / name).touch()
    values = ByPath([(tmp_path / SPLIT, 1), (tmp_path / "a.wav", 2)])
    assert values.get(tmp_path / COMPOSED) is None
    assert values.get(tmp_path / "A.wav") is None


def test_files_that_are_not_there(tmp_path: Path) -> None:
    values = ByPath([(tmp_path / SPLIT, 1), (tmp_path / "a.wav", 2)])
    assert values.get(tmp_path / COMPOSED) == 1
    assert values.get(tmp_path / "A.wav") is None


@elsewhere
def test_commands_find_results_by_any_spelling(
    two_names: tuple[Path, Path], keys: Path, tmp_path: Path
) -> None:
    _, other = two_names
    listed = tmp_path / "set.m3u8"
    listed.write_text(f"#EXTM3U\n#EXTINF:16,A title\nMusic/{COMPOSED}\n", "utf-8")
    sorted_ = run("playlist", listed, "--library", keys, "--output", tmp_path / "sorted.m3u8")
    assert (sorted_.returncode, sorted_.stderr) == (0, "")
    assert (tmp_path / "sorted.m3u8").read_text("utf-8").splitlines()[1:] == [
        "#EXTINF:16,A title", f"Music/{COMPOSED}"
    ]  # fmt: skip
    compared = run("compare", listed, "--from", keys)
    assert compared.stdout.split("\t")[2] == "A minor"
    mixed = run("mix", other, "--library", keys)  # nothing mixes with itself
    assert mixed.stdout == ""
    tagged = run("tag", other, "--from", keys, "--write")
    assert tagged.returncode == 0, tagged.stderr
    assert str(read_key(other)) == "A minor"
    os.unlink(two_names[0])  # the copy with the tags replaced one of the two links only
    os.link(other, two_names[0])
    undone = run("tag", "--undo", two_names[0], "--write")
    assert undone.returncode == 0, undone.stderr
    assert read_key(other) is None


@elsewhere
def test_libraries_of_programs_find_results_by_any_spelling(
    two_names: tuple[Path, Path], keys: Path, tmp_path: Path
) -> None:
    place = "file://localhost" + (tmp_path / "Music" / COMPOSED).as_uri().removeprefix("file://")
    library = tmp_path / "rekordbox.xml"
    library.write_text(
        f'<DJ_PLAYLISTS><COLLECTION><TRACK TrackID="1" Location="{place}"/></COLLECTION>'
        "</DJ_PLAYLISTS>"
    )
    done = run("library", "export", library, "--from", keys, "--output", tmp_path / "keyed.xml")
    assert done.returncode == 0, done.stderr
    assert 'Tonality="Am"' in (tmp_path / "keyed.xml").read_text()


@elsewhere
def test_a_scan_spells_paths_as_they_are_listed(
    two_names: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, other = two_names
    os.link(listed, tmp_path / "Music" / SPLIT.upper())
    listing = spelling._names_in

    def only_listed(folder: Path) -> list[str]:
        return [SPLIT] if folder == tmp_path / "Music" else listing(folder)

    monkeypatch.setattr(spelling, "_names_in", only_listed)
    assert AsListed()(other) == other  # this system tells them apart
    monkeypatch.setattr(spelling, "LOOSE", True)
    as_listed = AsListed()
    assert as_listed(other) == as_listed(tmp_path / "Music" / SPLIT.upper()) == listed
    assert as_listed(tmp_path / "Music" / "none.wav") == tmp_path / "Music" / "none.wav"
    assert as_listed(Path("/")) == Path("/")
    (tmp_path / "set.m3u8").write_text(f"Music/{COMPOSED}\n", "utf-8")
    (tmp_path / "list.txt").write_text(f"Music/{SPLIT}\n", "utf-8")
    assert list(find([tmp_path / "set.m3u8", tmp_path / "list.txt"], None).files) == [listed]


def test_what_systems_leave_in_folders_is_no_music(tmp_path: Path) -> None:
    kept = music(tmp_path / "song.wav", "C major")
    for name in (
        "._song.wav", ".DS_Store", "__MACOSX/song.wav", "$RECYCLE.BIN/S-1-5/$R1.wav",
        ".Trashes/a.wav", "System Volume Information/a.wav", "sub/@eaDir/song.wav",
        "#recycle/song.wav",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, tmp_path / name)
    assert find_audio_files(tmp_path) == [kept]
    done = run(tmp_path, "--format", "csv")
    assert len(list(csv.DictReader(done.stdout.splitlines()))) == 1
    # A folder that is named is searched, whatever its name.
    assert find_audio_files(tmp_path / "__MACOSX") == [tmp_path / "__MACOSX" / "song.wav"]
