"""``stonekey tag --undo``, ``--redo`` and ``--history``: what they reach, and what they leave."""

from __future__ import annotations

import io
import json
import shutil
import sys
from datetime import datetime
from pathlib import Path

import pytest
from cli_tools import call
from tag_files import make

from stonekey.keys import Key
from stonekey.tags import read_key
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import Journal, journal_folder, read_runs
from stonekey.tags.tagging import Settings, tag_file

Capture = pytest.CaptureFixture[str]
KEY = Key.parse("F# minor")


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("song") / "song.flac", "F# minor", 1)


@pytest.fixture
def folders(song: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of two songs, tagged one after the other."""
    pair = tmp_path / "A", tmp_path / "B"
    for folder in pair:
        folder.mkdir()
        for name in ("one.flac", "two.flac"):
            shutil.copy(song, folder / name)
        write(*sorted(folder.iterdir()))
    return pair


def write(*paths: Path, key: Key = KEY, overwrite: bool = False) -> None:
    """One run of ``stonekey tag --write``, without the analysis."""
    with Journal(journal_folder()) as journal:
        for path in paths:
            tag_file(path, key, 1, Settings(overwrite=overwrite), journal)


def keys(folder: Path) -> list[str | None]:
    return [open_tags(path).text("key") for path in sorted(folder.iterdir())]


def history(capsys: Capture, *names: Path) -> list[tuple[str, int, int, str]]:
    capsys.readouterr()
    assert call("tag", "--history", *names, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    return [(Path(r["folder"]).name, r["files"], r["missing"], r["state"]) for r in rows]


def test_undo_stays_in_the_folder_named(folders: tuple[Path, Path], capsys: Capture) -> None:
    a, b = folders
    assert call("tag", "--undo", a, "--write") == 0
    assert (keys(a), keys(b)) == ([None, None], ["F#m", "F#m"])
    assert call("tag", "--undo", a, "--write") == 2
    assert "nothing to undo there" in capsys.readouterr().err
    assert keys(b) == ["F#m", "F#m"]
    assert call("tag", "--undo", b / "two.flac", "--write") == 0
    assert keys(b) == ["F#m", None]
    assert history(capsys) == [("B", 1, 0, "undone"), ("A", 2, 0, "undone"), ("B", 1, 0, "written")]
    assert history(capsys, b) == [("B", 1, 0, "undone"), ("B", 1, 0, "written")]


def test_undo_is_dry_by_default(folders: tuple[Path, Path], capsys: Capture) -> None:
    a, b = folders
    before = [path.read_bytes() for path in (*a.iterdir(), *b.iterdir())]
    journals = {path: path.read_bytes() for path in journal_folder().iterdir()}
    for names in ((), (a,)):
        assert call("tag", "--undo", *names) == 0
        out, err = capsys.readouterr()
        assert out.count("\tF#m\t\t\twould restore\n") == 2
        assert all(str((names or (b,))[0]) in line for line in out.splitlines())
        assert f"in {(names or (b,))[0]} (2 files)" in err
        assert "2 would restore; nothing changes without --write" in err
    assert [path.read_bytes() for path in (*a.iterdir(), *b.iterdir())] == before
    assert {path: path.read_bytes() for path in journal_folder().iterdir()} == journals


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_the_last_run_is_listed_and_asked_for(
    folders: tuple[Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch,
    answer: str, code: int,
) -> None:  # fmt: skip
    a, b = folders
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert call("tag", "--undo", "--write") == code
    err = capsys.readouterr().err
    assert f"{b / 'one.flac'}  F#m  would restore" in err
    assert "undo 2 files? [y/N]" in err
    assert keys(a) == ["F#m", "F#m"]
    assert keys(b) == ([None, None] if code == 0 else ["F#m", "F#m"])


def test_redo(folders: tuple[Path, Path], capsys: Capture) -> None:
    a, b = folders
    assert call("tag", "--redo") == 2
    assert "nothing to redo" in capsys.readouterr().err
    write(*a.iterdir(), key=Key.parse("Am"), overwrite=True)
    tagged = [path.read_bytes() for path in sorted(a.iterdir())]
    assert call("tag", "--undo", a, "--write") == 0
    assert keys(a) == ["F#m", "F#m"]
    assert call("tag", "--undo", a, "--write") == 0  # of a file that an undo has written since
    assert keys(a) == [None, None]
    assert call("tag", "--redo", a / "one.flac", "--write") == 0
    assert keys(a) == ["F#m", None]
    assert call("tag", "--redo", "--yes") == 0  # the rest of that undo
    assert keys(a) == ["F#m", "F#m"]
    assert call("tag", "--redo", "--yes") == 0
    assert keys(a) == ["Am", "Am"]
    assert [path.read_bytes() for path in sorted(a.iterdir())] == tagged
    assert call("tag", "--redo", "--yes") == 2
    for expected in (["F#m", "F#m"], ["F#m", None], [None, None]):  # redone in two steps
        assert call("tag", "--undo", a, "--write") == 0
        assert keys(a) == expected
    assert keys(b) == ["F#m", "F#m"]


def test_a_run_whose_files_are_gone_blocks_no_other(
    folders: tuple[Path, Path], capsys: Capture
) -> None:
    a, b = folders
    moved = b.rename(b.with_name("elsewhere"))
    assert history(capsys) == [("B", 2, 2, "written"), ("A", 2, 0, "written")]
    assert call("tag", "--undo", "--yes") == 0
    assert f"passed over: the run of {datetime.now():%Y}" in (err := capsys.readouterr().err)
    assert f"in {b} (2 files)" in err
    assert keys(a) == [None, None]
    assert call("tag", "--undo", "--yes") == 2
    assert "the files of every run are gone" in capsys.readouterr().err
    moved.rename(b)  # a drive that is there again
    assert call("tag", "--undo", "--yes") == 0
    assert keys(b) == [None, None]


def test_a_changed_last_run_leads_to_no_other_folder(
    folders: tuple[Path, Path], capsys: Capture
) -> None:
    a, b = folders
    for path in b.iterdir():
        tags = open_tags(path)
        tags.set("TITLE", "new")
        tags.save()
    assert call("tag", "--undo", "--yes") == 1
    assert capsys.readouterr().err.count("changed since; --force") == 2
    assert (keys(a), keys(b)) == (["F#m", "F#m"], ["F#m", "F#m"])
    assert call("tag", "--undo", a, b, "--write") == 0  # named: the last run that can be undone
    assert (keys(a), keys(b)) == ([None, None], ["F#m", "F#m"])
    assert call("tag", "--undo", "--yes", "--force") == 0
    assert keys(b) == [None, None]
    assert {open_tags(path).text("grouping") for path in b.iterdir()} == {None}
    assert open_tags(b / "one.flac").texts("TITLE") == ["new"]


def test_names_may_be_links_playlists_and_relative(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = folders
    link = tmp_path / "link"
    link.symlink_to(a)
    assert call("tag", "--undo", link / "one.flac", "--write") == 0
    assert keys(a) == [None, "F#m"]
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("A/two.flac\nB/one.flac\n")
    assert call("tag", "--undo", playlist, "--write") == 0
    assert (keys(a), keys(b)) == ([None, "F#m"], [None, "F#m"])  # one run at a time
    monkeypatch.chdir(b)
    assert call("tag", "--undo", ".", "--write") == 0
    assert keys(b) == [None, None]


def test_journals_of_earlier_versions(song: Path, tmp_path: Path, capsys: Capture) -> None:
    """A line as the first version wrote it."""
    path = Path(shutil.copy(song, tmp_path))
    before = path.stat()
    tags = open_tags(path)
    tags.set("INITIALKEY", "F#m")
    tags.save()
    after = path.stat()
    states = [[status.st_size, status.st_mtime_ns] for status in (before, after)]
    journal_folder().mkdir(parents=True)
    (journal_folder() / "20240229T120000000001-77.jsonl").write_text(
        f'{{"path": {json.dumps(str(path))}, "before": {states[0]}, "after": {states[1]},'
        ' "had_tags": true, "fields": {"INITIALKEY": null}}\n'
    )
    [run] = read_runs(journal_folder())
    assert run.time.isoformat() == "2024-02-29T12:00:00.000001+00:00"
    assert history(capsys) == [(tmp_path.name, 1, 0, "written")]
    assert call("tag", "--undo", tmp_path, "--write") == 0
    assert read_key(path) is None
    assert call("tag", "--redo", tmp_path, "--write") == 0
    assert read_key(path) == KEY


def test_a_damaged_journal_leads_to_no_other_folder(
    folders: tuple[Path, Path], capsys: Capture
) -> None:
    a, b = folders
    newest = sorted(journal_folder().glob("*.jsonl"))[-1]
    newest.write_bytes(b"rubbish\n")
    assert call("tag", "--undo") == 1
    assert "(0 files, 1 damaged)" in capsys.readouterr().err
    assert newest.read_bytes() == b"rubbish\n"
    assert call("tag", "--undo", "--yes") == 1  # the last run, which is not that of A
    assert "1 damaged line, now kept in" in capsys.readouterr().err
    assert (keys(a), keys(b)) == (["F#m", "F#m"], ["F#m", "F#m"])
    assert newest.with_suffix(".damaged").read_bytes() == b"rubbish\n"
    assert call("tag", "--undo", "--yes") == 0
    assert (keys(a), keys(b)) == ([None, None], ["F#m", "F#m"])


def test_a_dry_run_knows_what_is_read_only(folders: tuple[Path, Path], capsys: Capture) -> None:
    a, _ = folders
    (a / "one.flac").chmod(0o444)
    assert call("tag", "--undo", a) == 1
    out, err = capsys.readouterr()
    assert "one.flac: is read-only" in err
    assert out.count("would restore") == 1


def test_undo_shows_the_texts_of_the_key_field(song: Path, tmp_path: Path, capsys: Capture) -> None:
    """As they are and will be in the file: in another spelling, or no key at all."""
    for name, text in (("one.flac", "8A"), ("two.flac", "All")):
        tags = open_tags(Path(shutil.copy(song, tmp_path / name)))
        tags.set("INITIALKEY", text)
        tags.save()
    write(*sorted(tmp_path.glob("*.flac")), overwrite=True)
    undo = ("tag", "--undo", tmp_path)
    assert call(*undo) == 0
    out = capsys.readouterr().out
    assert "one.flac\tF#m\t8A\t" in out
    assert "two.flac\tF#m\tAll\t" in out
    assert call(*undo, "--format", "csv", "--notation", "openkey") == 0
    out = capsys.readouterr().out
    assert "one.flac,F#m,8A,0.0,False," in out
    assert "two.flac,F#m,All,0.0,False," in out
    assert call(*undo, "--write", "--format", "json") == 0
    assert {r["key"] for r in json.loads(capsys.readouterr().out)} == {"8A", "All"}
    assert keys(tmp_path) == ["8A", "All"]


def test_undo_of_a_comment_shows_the_key_as_it_stays(
    song: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = Path(shutil.copy(song, tmp_path))
    tags = open_tags(path)
    tags.set("INITIALKEY", "11A")
    tags.save()
    with Journal(journal_folder()) as journal:
        tag_file(path, KEY, 1, Settings(also=("comment",)), journal)
    assert call("tag", "--undo", path) == 0
    assert "\t11A\t11A\t\twould restore" in capsys.readouterr().out
