"""Names in results and messages: relative where they were given so, in every command and format."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_tools import music, on_terminal, run

SONG = "album/song.wav"
BAD = "album/bad.wav"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an album, a playlist of it, and results."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "album").mkdir()
    music(folder / SONG, "A minor")
    (folder / BAD).write_bytes(b"no sound")
    (folder / "set.m3u8").write_text(f"{SONG}\n{BAD}\nalbum/gone.wav\n")
    run("scan", folder / "album", "--output", folder / "keys.csv", "--workers", "1")
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, being in it."""
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("source", ["./album/", "set.m3u8"])
@pytest.mark.parametrize(
    "command",
    [
        *(["predict", "--format", f] for f in ("table", "tsv", "json", "jsonl", "csv")),
        *(["tag", "--format", f] for f in ("text", "json", "csv")),
        *(["tag", "--from", "keys.csv", "--format", f] for f in ("text", "json", "csv")),
        *(["compare", "--from", "keys.csv", "--format", f] for f in ("text", "json", "csv")),
        *(["playlist", "-l", "keys.csv", "--format", f] for f in ("text", "json", "csv")),
        ["scan", "--output", "again.csv", "--workers", "1"],
        ["scan", "--output", "again.csv", "--workers", "1", "--json"],
    ],
    ids=" ".join,
)
def test_names_as_given(here: Path, source: str, command: list[str]) -> None:
    name, *options = command
    done = run(name, source, *options)
    assert str(here) not in done.stdout + done.stderr
    assert BAD in done.stdout + done.stderr
    if name != "scan":
        assert SONG in done.stdout


def test_names_as_given_in_absolute_form(here: Path) -> None:
    for command in (["predict"], ["tag"], ["compare", "--from", "keys.csv"]):
        assert str(here / SONG) in run(*command, here / "album").stdout


def test_names_of_one_recording(here: Path) -> None:
    for command in (
        ["timeline", "--format", "json"],
        ["mix", "-l", "keys.csv", "--format", "json"],
    ):
        done = run(*command, SONG)
        assert f'"file": "{SONG}"' in done.stdout
    gone = run("plot", "album/gone.wav", "--output", "x.png")
    assert gone.stderr.startswith("stonekey: album/gone.wav: ")


def test_names_of_what_is_undone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "album", "album")
    run("tag", "album", "--write")
    for more in ([], ["--write"]):
        done = run("tag", "--undo", "album", *more)
        assert done.stdout.startswith(f"{SONG}\t")
    redone = run("tag", "--redo", SONG, "--format", "json")
    assert f'"file": "{SONG}"' in redone.stdout


def test_tables_on_a_narrow_terminal_cut_nothing(folder: Path, tmp_path: Path) -> None:
    long = tmp_path / "album" / ("A rather long name - of a track (remastered) " * 2 + ".wav")
    long.parent.mkdir()
    shutil.copy(folder / SONG, long)
    for command in (["predict", "album"], ["models"], ["playlist", "album", "-f", "text"]):
        for columns in (50, 120):
            shown = on_terminal(*command, columns=columns, cwd=tmp_path, TERM="dumb")
            assert "…" not in shown
            if command != ["models"]:
                assert "(remastered)" in " ".join(shown.split())
