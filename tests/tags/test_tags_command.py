"""``stonekey tag``: what it says, what it writes and what it leaves alone."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import shutil
import sys
from pathlib import Path

import pytest
from cli_tools import ROOT, call, music
from tag_files import contents, make, rows, set_key

from stonekey.keys import Key
from stonekey.library import Result
from stonekey.library.answers import replaced
from stonekey.tags import read_key
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import journal_folder

Capture = pytest.CaptureFixture[str]
KEY = Key.parse("F# minor")


def test_dry_run_then_write_then_undo(library: Path, capsys: Capture) -> None:
    before = contents(library)
    assert call("tag", library) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split("\t")[2] == "F#m"
    assert out.count("would write") == 3
    assert "3 would write; nothing changes without --write" in err
    assert contents(library) == before
    assert not journal_folder().exists()

    assert call("tag", library, "--write") == 0
    assert capsys.readouterr().out.count("\twritten\n") == 3
    assert {read_key(path) for path in library.iterdir()} == {KEY}
    assert call("tag", library, "--write") == 0  # a run that changes nothing is not the last one
    assert capsys.readouterr().out.count("\tkept, agrees\n") == 3

    assert call("tag", "--undo", "--yes", "--format", "json") == 0
    assert {row["action"] for row in rows(capsys.readouterr().out).values()} == {"restored"}
    assert {read_key(path) for path in library.iterdir()} == {None}
    assert call("tag", "--undo", "--yes") == 2
    assert "nothing to undo" in capsys.readouterr().err


def test_existing_keys(library: Path, capsys: Capture) -> None:
    set_key(library / "v23.mp3", "Am")
    set_key(library / "song.flac", "11A")  # the same key as the answer
    set_key(library / "song.m4a", "o")
    assert call("tag", library, "--write", "--format", "json", "-n", "camelot") == 0
    found = rows(capsys.readouterr().out)
    fields = ("existing", "key", "differs", "action")
    assert {name: tuple(row[f] for f in fields) for name, row in found.items()} == {
        "v23.mp3": ("Am", "11A", True, "kept"),
        "song.flac": ("11A", "11A", False, "kept"),
        "song.m4a": ("o", "11A", True, "kept"),
    }  # fmt: skip
    assert call("tag", library) == 0
    assert "\tAm\tF#m\t" in (out := capsys.readouterr().out)
    assert out.count("\tkept, differs\n") == 1
    assert out.count("\tkept, off key\n") == 1
    assert out.count("\tkept, agrees\n") == 1
    assert call("tag", library, "--write", "--overwrite", "--format", "csv") == 0
    assert [row["action"] for row in csv.DictReader(capsys.readouterr().out.splitlines())] == [
        "written", "written", "written",
    ]  # fmt: skip
    assert {open_tags(path).text("key") for path in library.iterdir()} == {"F#m"}
    assert call("tag", "--undo", "--yes") == 0
    assert {open_tags(path).text("key") for path in library.iterdir()} == {"Am", "11A", "o"}


@pytest.mark.parametrize("text", ["All", "INVALID", "-", "Am/C"])
def test_text_that_is_no_key_is_reported(library: Path, capsys: Capture, text: str) -> None:
    path = library / "song.flac"
    set_key(path, text)
    assert call("tag", path, "--write") == 0
    assert capsys.readouterr().out.endswith(f"\t{text}\tF#m\t100%\tkept, not a key\n")
    assert call("tag", path, "--write", "--overwrite") == 0
    assert open_tags(path).text("key") == "F#m"


@pytest.mark.parametrize("text", ["G♭m/F♯m", "4m - 7", "11A (F♯m)", "Fism", "F#m -12 cents"])
def test_any_name_of_the_same_key_agrees(library: Path, capsys: Capture, text: str) -> None:
    path = library / "song.flac"
    set_key(path, text)
    assert call("tag", path, "--write", "--overwrite") == 0
    assert open_tags(path).text("key") == "F#m"
    set_key(path, text)
    capsys.readouterr()
    assert call("tag", path, "--write") == 0
    assert capsys.readouterr().out.endswith("\tkept, agrees\n")
    assert open_tags(path).text("key") == text


def test_least_confidence_and_modification_time(library: Path, capsys: Capture) -> None:
    path = library / "v23.mp3"
    os.utime(path, ns=(10**18, 10**18 + 7))
    assert call("tag", path, "--write", "--min-confidence", "1") == 0
    assert capsys.readouterr().out.endswith("\tunsure\n")
    assert read_key(path) is None
    assert call("tag", path, "--write", "--keep-mtime", "--also", "comment") == 0
    assert path.stat().st_mtime_ns == 10**18 + 7
    assert open_tags(path).text("comment") == "F#m - bought in Rome"
    assert call("tag", "--undo", "--yes", "--keep-mtime") == 0
    assert (path.stat().st_mtime_ns, read_key(path)) == (10**18 + 7, None)


@pytest.mark.parametrize(
    ("program", "key", "comment"),
    [
        ("rekordbox", "F#m", None),
        ("serato", "F#m", None),
        ("traktor", "4m", None),
        ("mixxx", "F#m", None),
        ("mixedinkey", "11A", None),
        ("itunes", "F#m", "11A"),
    ],
)
def test_what_each_program_reads(
    songs: Path, tmp_path: Path, program: str, key: str, comment: str | None
) -> None:
    for name, field in {"v23.mp3": "TXXX:KEY", "song.flac": "KEY"}.items():
        path = Path(shutil.copy(songs / name, tmp_path))
        words = open_tags(path).text("comment")
        tags = open_tags(path)
        tags.set(field, "11A (F#m)")  # the same key, where not every program looks
        tags.save()
        assert call("tag", path, "--write", "--for", program) == 0
        tags = open_tags(path)
        assert tags.texts(tags.fields("key")[0]) == [key]
        assert tags.texts(field) == ["11A (F#m)"]
        assert tags.text("comment") == (f"{comment} - {words}" if comment else words)


def test_options_count_more_than_the_program(library: Path) -> None:
    path = library / "v23.mp3"
    more = ("--for", "itunes", "--also", "grouping", "--notation", "openkey")
    assert call("tag", path, "--write", *more, "--key-notation", "camelot") == 0
    tags = open_tags(path)
    found = [tags.text(role) for role in ("key", "grouping", "comment")]
    assert found == ["11A", "4m", "bought in Rome"]


def test_the_progress_bar_ends_before_the_table(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    assert call("tag", library) == 0
    text = screen.getvalue()
    assert "3/3" in text
    assert text.rfind("3/3") < text.find("In the tags")


def test_keys_of_a_scan(library: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "keys.csv"
    assert call("scan", library, "--output", output, "--workers", 1, "--no-progress") == 0
    capsys.readouterr()
    assert call("tag", "--from", output, "--write") == 0
    assert capsys.readouterr().out.count("written") == 3
    other = music(tmp_path / "other.wav", "C major")
    assert call("tag", other, library / "v23.mp3", "--from", output) == 1
    out, err = capsys.readouterr()
    assert "other.wav: is not among the results" in err
    assert out.count("kept") == 1  # tagging changed the file, but not its music
    make(library / "v23.mp3", "C major", 6)
    assert call("tag", "--from", output, "--write", "--overwrite") == 1
    assert "v23.mp3: another recording since the scan" in capsys.readouterr().err
    assert call("compare", library, "--from", output) == 1
    assert "v23.mp3: another recording since the scan" in capsys.readouterr().err


def test_files_are_told_from_others_by_size_time_and_length(tmp_path: Path) -> None:
    path = music(tmp_path / "a.wav", "C major", 4)
    status = path.stat()
    result = Result(path, status.st_size, status.st_mtime, duration=4.0)
    other = dataclasses.replace(result, duration=9.0)
    assert not replaced(other)  # the same file, whatever its length
    os.utime(path, (1e9, 1e9))
    assert [replaced(one) for one in (result, other)] == [False, True]
    for unknown in ({"size": None}, {"duration": None}, {"path": tmp_path / "gone.wav"},
                    {"path": Path("s3:/bucket/a.wav")}):  # fmt: skip
        assert not replaced(dataclasses.replace(other, **unknown))
    data = bytearray(path.read_bytes())
    data[40:44] = (4_000_000).to_bytes(4, "little")  # a header that lies
    path.write_bytes(data)
    assert not replaced(result)
    path.write_text("no music any more")
    assert replaced(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.wav", "--model", "template12"], "gives key signatures, not keys"),
        (["x.wav", "--notation", "roman"], "--notation must be one of"),
        (["x.wav", "--also", "title"], "--also must be one of comment, grouping"),
        (["x.wav", "--format", "xml"], "--format must be one of"),
        (["x.wav", "--min-confidence", "2"], "from 0 to 1"),
        (["x.wav", "--undo", "--overwrite"], "--undo takes no options"),
        (["x.wav", "--for", "winamp"], "--for must be one of rekordbox, serato"),
        (["x.wav", "--key-notation", "musical"], "--key-notation must be one of short"),
        (["--undo", "--redo"], "--undo and --redo exclude each other"),
        (["--undo", "--write"], "name the files or folders, or give --yes"),
        (["--history", "--write"], "--history writes nothing"),
        (["x.wav", "--yes"], "--yes works only with --undo"),
        (["x.wav", "--force"], "--force works only with --undo"),
        ([], "give files or folders"),
        (["--from", "gone.csv"], "gone.csv"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: Capture) -> None:
    assert call("tag", *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_link_stays_a_link(library: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.flac"
    link.symlink_to(library / "song.flac")
    assert call("tag", link, "--write") == 0
    assert link.is_symlink()
    assert read_key(library / "song.flac") == KEY


def test_a_name_that_is_no_text(library: Path, capsys: Capture) -> None:
    name = os.fsencode(library) + b"/caf\xe9.mp3"
    os.rename(library / "v23.mp3", name)
    path = Path(os.fsdecode(name))
    assert call("tag", path, "--write") == 0
    assert read_key(path) == KEY
    assert call("tag", "--undo", "--yes") == 0
    assert read_key(path) is None
    assert "caf\ufffd.mp3" in capsys.readouterr().out


def test_commands_of_the_page(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command in docs/tags.md runs, in order, on a folder named as there."""
    monkeypatch.chdir(tmp_path)
    library.rename(tmp_path / "music")
    page = (ROOT / "docs" / "tags.md").read_text()
    blocks = page.split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines()]
    commands = [line.split() for line in lines if line.startswith("stonekey ")]
    assert len(commands) > 6
    for command in commands:
        assert call(*command[1:]) == 0, command


@pytest.mark.parametrize("more", [(), ("--write",)])
def test_the_output_shows_what_is_written(
    library: Path, capsys: Capture, more: tuple[str, ...]
) -> None:
    path = library / "song.flac"
    set_key(path, "Am")
    options = ("--overwrite", "--key-notation", "openkey", "--format", "json")
    assert call("tag", path, *options, *more) == 0
    row = rows(capsys.readouterr().out)["song.flac"]
    assert (row["existing"], row["key"], row["differs"]) == ("Am", "4m", True)
    assert open_tags(path).text("key") == ("4m" if more else "Am")
