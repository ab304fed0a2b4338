"""Windows, as far as it shows elsewhere: its files, names, consoles and command line."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import types
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from cli_tools import ROOT, music, on_screen, run

from stonekey import files
from stonekey.audio.errors import absence
from stonekey.audio.locations import Locator, url_path
from stonekey.cli.output import open_output, same_place
from stonekey.cli.system import expanded
from stonekey.files import put_in_place, write_atomically, write_text
from stonekey.library import lists, read_results
from stonekey.library.pool import Worker
from stonekey.library.result import path_text, text_path
from stonekey.tags import read_key
from stonekey.text import address, is_address

if not hasattr(os, "openpty"):
    pytest.skip("simulates Windows elsewhere", allow_module_level=True)


def on_windows(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests" / "as_on_windows.py", *arguments],
        cwd=folder, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


@pytest.fixture
def nt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that asks takes this for Windows; paths keep their slashes."""
    import pathlib

    monkeypatch.setattr(pathlib, "WindowsPath", pathlib.PosixPath)
    monkeypatch.setattr(os, "name", "nt")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="/proc, to see what is open")
def test_the_commands_without_what_posix_has(tmp_path: Path) -> None:
    song = music(tmp_path / "song.wav", "A minor")
    found = on_windows(tmp_path, "*.wav", "--output", "keys.json")
    assert (found.returncode, found.stderr) == (0, "")
    for output in ("keys.csv", "keys.csv", "keys.sqlite"):  # the second finds it all known
        scanned = on_windows(tmp_path, "scan", ".", "--output", output, "--workers", "1")
        assert scanned.returncode == 0, scanned.stderr
    tagged = on_windows(tmp_path, "tag", "--from", "keys.csv", "--write")
    assert tagged.returncode == 0, tagged.stderr
    assert str(read_key(song)) == "A minor"
    undone = on_windows(tmp_path, "tag", "--undo", "--write", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert read_key(song) is None
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"song.wav", "keys.json", "keys.csv", "keys.sqlite"}


def test_patterns_are_expanded(tmp_path: Path, nt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "[2001] Discovery"
    folder.mkdir()
    names = [folder / "1.mp3", folder / "2.mp3"]
    for name in names:
        name.touch()
    words = ["predict", f"{folder}/*.mp3", "--extension", "?", "no*.wav", f'{folder}"', "-x*"]
    first, second = map(str, names)
    wanted = ["predict", first, second, "--extension", "?", "no*.wav", str(folder), "-x*"]
    assert expanded(words) == wanted
    monkeypatch.setattr(os, "name", "posix")  # where the shell has done it
    assert expanded(words) == words


def test_a_file_that_is_held_for_a_moment(
    tmp_path: Path, nt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refusals = os.replace, [PermissionError(), PermissionError()]

    def held(*paths: Any) -> None:
        if refusals:
            raise refusals.pop()
        replace(*paths)

    monkeypatch.setattr(os, "replace", held)
    write_atomically(tmp_path / "a", lambda path: path.write_bytes(b"1"))
    assert (tmp_path / "a").read_bytes() == b"1"
    monkeypatch.setattr(files, "PATIENCE", 0.0)
    refusals += [PermissionError(errno.EACCES, "in use")] * 3
    with pytest.raises(PermissionError, match="in use"):
        write_atomically(tmp_path / "a", lambda path: path.write_bytes(b"2"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    refusals[:] = [PermissionError()]
    monkeypatch.setattr(os, "name", "posix")  # where waiting would not help
    with pytest.raises(PermissionError):
        put_in_place(tmp_path / "a", tmp_path / "b")


def test_a_name_as_long_as_systems_allow(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".txt")
    write_text(path, "Ω\n")
    assert path.read_bytes() == "Ω\n".encode()


def test_addresses_have_slashes() -> None:
    path = PureWindowsPath("s3://bucket/music/a b.mp3")
    assert str(path) == "s3:\\bucket\\music\\a b.mp3"  # what pathlib makes of it there
    assert is_address(path)
    assert address(path) == path_text(path) == "s3://bucket/music/a b.mp3"
    for local in (r"C:\Music\a.mp3", r"\\server\share\a.mp3", "C:/Music/a.mp3"):
        assert not is_address(PureWindowsPath(local))
        assert address(PureWindowsPath(local)) == str(PureWindowsPath(local))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (b"file:///C:/My%20Music/a.mp3", "C:\\My Music\\a.mp3"),
        (b"file://localhost/D:/a%23.mp3", "D:\\a#.mp3"),
        (b"file://server/share/a.mp3", "\\\\server\\share\\a.mp3"),
        (b"C:\\Music\\a.mp3", "C:\\Music\\a.mp3"),
        (b"\\\\server\\share\\a.mp3", "\\\\server\\share\\a.mp3"),
    ],
)
def test_drives_and_shares_in_lists(url: bytes, path: str) -> None:
    found, problem = url_path(url)
    assert problem is None
    assert PureWindowsPath(found.decode()) == PureWindowsPath(path)


@pytest.fixture
def names_of_windows(nt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8 are no names there."""
    monkeypatch.setattr(os, "fsdecode", lambda raw: raw.decode("utf-8", "surrogatepass"))
    monkeypatch.setattr(
        os, "fsencode", lambda path: os.fspath(path).encode("utf-8", "surrogatepass")
    )


def test_names_in_other_encodings(tmp_path: Path, names_of_windows: None) -> None:
    path = tmp_path / "café.wav"
    path.touch()
    for encoding in ("utf-8", "cp1252", "cp850"):
        found, tried = Locator(tmp_path).find(["café.wav".encode(encoding)])
        assert (found, tried) == (str(path), ())
    assert Locator(tmp_path).find([b"n\xe9.wav"])[1]  # not there, and no exception


def test_results_from_another_system(names_of_windows: None) -> None:
    r"""A name with a byte that is not UTF-8 is read, and written as it was."""
    text = "/music/caf\\xe9.wav"
    assert path_text(text_path(text)) == text
    odd = Path("/music/\ud800.wav")  # which NTFS allows
    assert text_path(path_text(odd)) == odd


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig", "cp850", "cp1252"])
def test_lists_as_shells_write_them(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "café.wav"
    path.touch()
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "list.txt").write_bytes(f"{mark}{path}\r\ncafé.wav\r\n".encode(encoding))
    assert [entry for entry, _ in lists.listed(tmp_path / "list.txt")] == [path, path]
    (tmp_path / "list.csv").write_bytes(f"{mark}path\r\ncafé.wav\r\n".encode(encoding))
    assert [entry for entry, _ in lists.listed(tmp_path / "list.csv")] == [path]


def test_a_path_that_is_too_long(nt: None, tmp_path: Path) -> None:
    assert "LongPathsEnabled" in absence(str(tmp_path / ("a" * 150) / ("b" * 150)))
    assert "LongPathsEnabled" not in absence(str(tmp_path / "a.wav"))


def test_streams_that_windows_does_not_tell_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without inodes, a pipe beside a console is not the same place; two consoles are."""
    state = types.SimpleNamespace(st_dev=0, st_ino=0, st_rdev=0)
    with (
        (tmp_path / "a").open("w") as pipe,
        (tmp_path / "b").open("w") as console,
        monkeypatch.context() as patch,
    ):
        patch.setattr(os, "fstat", lambda handle: state)
        patch.setattr(console, "isatty", lambda: True, raising=False)
        assert not same_place(pipe, console)
        assert same_place(console, console)


def test_a_reader_that_quits(nt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows calls a broken pipe an invalid argument."""
    import typer

    moved: list[int] = []
    monkeypatch.setattr(os, "dup2", lambda old, new: moved.append(new))
    with pytest.raises(typer.Exit), open_output(None):
        raise OSError(errno.EINVAL, "Invalid argument")
    assert len(moved) == 1
    with pytest.raises(OSError, match="full"), open_output(None):
        raise OSError(errno.ENOSPC, "disk full")


def test_a_crashed_worker_is_named_as_windows_does() -> None:
    class Ended:
        returncode = 0xC0000005

        def wait(self) -> int:
            return self.returncode

    worker = Worker.__new__(Worker)
    worker._process = Ended()  # type: ignore[assignment]
    worker._errors = io.BytesIO()  # type: ignore[assignment]
    assert worker._exit_reason() == "the worker process crashed (0xC0000005)"


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_consoles_with_a_code_page(encoding: str, tmp_path: Path) -> None:
    """No command ends for want of a character, and lines of tables have none that is missing."""
    song = music(tmp_path / "夜 café ♭.wav", "Eb major")
    scan = run("scan", tmp_path, "--output", tmp_path / "keys.csv", "--workers", "1")
    assert scan.returncode == 0
    for command in (
        [song], ["models"], ["timeline", song], ["tag", song], ["--help"], ["tag", "--help"],
        ["mix", "Eb", "-l", tmp_path / "keys.csv"], ["none"], [tmp_path / "♭.wav"],
    ):  # fmt: skip
        shown = on_screen(*command, encoding=encoding)  # which raises if it cannot
        assert "???" not in shown.replace(".wav", "")  # one for each character of a name at most


def test_a_pipe_gets_utf8(tmp_path: Path) -> None:
    song = music(tmp_path / "夜 café.wav", "Eb major")
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for command in ([song], ["--format", "json", song], ["tag", "--format", "csv", song],
                    ["scan", tmp_path, "-o", tmp_path / "é.csv", "-j", "1", "--json"]):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "stonekey", *command],
            cwd=ROOT, capture_output=True, env=environment, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "é" in done.stdout.decode("utf-8")
    assert [result.path for result in read_results(tmp_path / "é.csv")] == [song]
