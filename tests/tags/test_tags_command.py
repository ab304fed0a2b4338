"""``stonekey tag``: what it says, what it leaves alone, and what happens when things go wrong."""

from __future__ import annotations

import csv
import io
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
from cli_tools import ROOT, call, music
from tag_files import make

from stonekey.files import take
from stonekey.keys import Key
from stonekey.tags import TagError, read_key
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import Journal, journal_folder, turn
from stonekey.tags.tagging import Settings, tag_file
from stonekey.tags.writing import ChangedError, rewrite

Capture = pytest.CaptureFixture[str]
KEY = Key.parse("F# minor")


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for name in ("v23.mp3", "song.flac", "song.m4a"):
        make(folder / name, "F# minor", 5)
    return folder


@pytest.fixture
def library(songs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(songs, tmp_path / "library"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(text: str) -> dict[str, dict[str, object]]:
    return {Path(record["file"]).name: record for record in json.loads(text)}


def set_key(path: Path, text: str) -> None:
    tags = open_tags(path)
    tags.set(tags.fields("key")[0], text)
    tags.save()


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
    assert out.count("kept") == 1


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
        "from pathlib import Path\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
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
