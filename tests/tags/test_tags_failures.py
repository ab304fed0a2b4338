"""``stonekey tag`` when things go wrong: no space, no permission, kills, changed files."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import ROOT, call
from tag_files import contents, rows, set_key

from stonekey.files import take
from stonekey.keys import Key
from stonekey.tags import TagError, read_key
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import Journal, journal_folder, turn
from stonekey.tags.tagging import Settings, tag_file
from stonekey.tags.writing import ChangedError, rewrite

Capture = pytest.CaptureFixture[str]
KEY = Key.parse("F# minor")


def test_files_that_fail_are_named_and_the_others_written(
    library: Path, tmp_path: Path, capsys: Capture
) -> None:
    (library / "broken.mp3").write_bytes(b"nothing")
    (library / "film.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(50))
    locked = library / "song.flac"
    locked.chmod(0o444)
    before = contents(library)
    assert call("tag", library) == 1
    out, err = capsys.readouterr()
    assert "song.flac: is read-only" in err  # said before anything is written
    assert out.count("would write") == 2
    assert call("tag", library, library / "gone.mp3", "--write", "--format", "json") == 1
    out, err = capsys.readouterr()
    actions = {name: row["action"] for name, row in rows(out).items()}
    assert [name for name, action in actions.items() if action == "written"] == [
        "song.m4a", "v23.mp3",
    ]  # fmt: skip
    assert "song.flac: is read-only" in err
    assert "film.mkv: cannot write tags in this format" in err
    assert "gone.mp3: No such file" in err
    assert "broken.mp3: " in err
    for name in ("broken.mp3", "film.mkv", "song.flac"):
        assert (library / name).read_bytes() == before[name]


@pytest.fixture
def as_nobody(songs: Path) -> Iterator[Path]:
    """A folder outside pytest's private ones, without the rights of root."""
    folder = Path(tempfile.mkdtemp())
    shutil.copy(songs / "v23.mp3", folder)
    root = os.geteuid() == 0
    if root:
        for path in (folder, *folder.iterdir()):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_read_only_folder(as_nobody: Path) -> None:
    path = as_nobody / "v23.mp3"
    as_nobody.chmod(0o555)
    before = path.read_bytes()
    with (
        Journal(as_nobody / "home") as journal,
        pytest.raises(TagError, match=r"v23\.mp3: its folder .* is read-only"),
    ):
        tag_file(path, KEY, 1, Settings(), journal)
    assert contents(as_nobody) == {"v23.mp3": before}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_full_disk(library: Path, capsys: Capture, share: float) -> None:
    """The disk fills up while the file is copied or while its tag grows."""
    path = library / "song.m4a"
    set_key(library / "v23.mp3", "Am")
    before = contents(library)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    tight = int(path.stat().st_size * share)
    arguments = ["tag", path, "--write", "--also", "comment", "--notation", "musical"]
    padded = open_tags(path)
    padded.audio["----:com.apple.iTunes:x"] = [b"x" * 4000]  # fills the padding for tags
    padded.audio.save(path, padding=lambda _: 0)
    before = contents(library)
    tight = int(path.stat().st_size * share)
    resource.setrlimit(resource.RLIMIT_FSIZE, (tight, hard))
    try:
        assert call(*arguments) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "song.m4a: File too large" in capsys.readouterr().err
    assert contents(library) == before
    assert call(*arguments) == 0


def test_a_copy_whose_sound_has_changed_is_thrown_away(library: Path) -> None:
    path = library / "song.flac"
    before = contents(library)

    def damage(copy: Path) -> None:
        data = bytearray(copy.read_bytes())
        data[-1000] ^= 1
        copy.write_bytes(data)

    with pytest.raises(TagError, match="would change its sound"):
        rewrite(path, path.stat(), damage, turn(journal_folder()), lambda _: None)
    assert contents(library) == before


def test_a_file_changed_meanwhile_is_left_alone(library: Path) -> None:
    path = library / "song.flac"
    status = path.stat()

    def meanwhile(copy: Path) -> None:
        set_key(path, "Am")

    with pytest.raises(ChangedError, match="changed while it was being tagged"):
        rewrite(path, status, meanwhile, turn(journal_folder()), lambda _: None)
    assert open_tags(path).text("key") == "Am"
    assert len(list(library.iterdir())) == 3


def test_killed_before_the_copy_replaces_the_file(library: Path) -> None:
    path = library / "song.flac"
    before = path.read_bytes()
    program = (
        "import os, signal, sys\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from stonekey.cli import main\n"
        "main(['tag', sys.argv[1], '--write'])\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    left = [p.name for p in library.iterdir() if p.name.startswith(".stonekey-")]
    assert len(left) == 1  # hidden, so the next run takes it for no recording
    with (library / left[0]).open("rb") as stream:  # locked, as by a process that is working on it
        take(stream.fileno())
        assert call("tag", "--undo", "--yes") == 0  # in the journal, but the run ended before it
        assert (library / left[0]).exists()
    assert path.read_bytes() == before
    assert call("tag", library, "--write") == 0
    assert read_key(path) == KEY
    assert len(list(library.iterdir())) == 3  # the copy is gone


@pytest.mark.parametrize("rubbish", [b"\x00\xff\n", b"{}\n", b"[[[[\n", b'{"path": 3}\n', b"cut"])
def test_undo_of_a_journal_with_a_rubbish_line(
    library: Path, capsys: Capture, rubbish: bytes
) -> None:
    assert call("tag", library, "--write") == 0
    [journal] = journal_folder().glob("*.jsonl")
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    with journal.open("ab") as stream:
        stream.write(rubbish)
    torn = not rubbish.endswith(b"\n")
    assert call("tag", "--undo", "--yes") == (0 if torn else 1)
    assert ("1 damaged line," in capsys.readouterr().err) is not torn
    assert {read_key(path) for path in library.iterdir()} == {None}
    assert len(entries) == 3
    left = [path.read_bytes() for path in journal_folder().iterdir() if path.suffix != ".undone"]
    assert left == ([] if torn else [rubbish])


def test_two_runs_at_once(library: Path) -> None:
    for i in range(4):
        shutil.copy(library / "v23.mp3", library / f"{i}.mp3")
    command = [sys.executable, "-m", "stonekey", "tag", library, "--write", "--format", "json"]
    runs = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
        for _ in range(2)
    ]
    outputs = [rows(run.communicate(timeout=600)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert {read_key(path) for path in library.iterdir()} == {KEY}
    assert len(list(library.iterdir())) == 7
    for name in outputs[0]:
        assert "written" in {output[name]["action"] for output in outputs}
    journals = len(list(journal_folder().glob("*.jsonl")))
    assert [call("tag", "--undo", "--yes") for _ in range(journals)] == [0] * journals
    assert {read_key(path) for path in library.iterdir()} == {None}


def test_undo_leaves_files_changed_since(library: Path, capsys: Capture) -> None:
    assert call("tag", library, "--write") == 0
    changed, gone = library / "v23.mp3", library / "song.flac"
    set_key(changed, "Am")
    aside = gone.rename(gone.with_suffix(".away"))
    assert call("tag", "--undo", "--yes") == 1
    err = capsys.readouterr().err
    assert "v23.mp3: changed since; --force" in err
    assert "song.flac: No such file" in err
    assert open_tags(changed).text("key") == "Am"
    assert read_key(library / "song.m4a") is None
    aside.rename(gone)
    assert call("tag", "--undo", "--yes", "--force") == 0  # what is left of that run
    assert {read_key(path) for path in library.iterdir()} == {None}


def test_undo_waits_for_the_run_to_end(library: Path, capsys: Capture) -> None:
    with Journal(journal_folder()) as journal:
        tag_file(library / "v23.mp3", KEY, 1, Settings(), journal)
        assert call("tag", "--undo", "--yes") == 2
        assert "still writing" in capsys.readouterr().err
    assert call("tag", "--undo", "--yes") == 0
