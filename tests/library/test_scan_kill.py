"""Library scans that are killed, interrupted, run twice at once, or have many files."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import ROOT, music, run

from stonekey.library import Result, StoreError, read_results
from stonekey.synthesis import Key, cadence, write_wav

# `STONEKEY_SCAN_FILES=2000` runs it at a realistic size.
MANY = int(os.environ.get("STONEKEY_SCAN_FILES", "160"))
BROKEN_EVERY = 20
FILES = 60
SUFFIXES = [
    "csv",
    "sqlite",
    *(pytest.param(suffix, marks=pytest.mark.slow) for suffix in ("jsonl", "parquet")),
]


def make_library(folder: Path, count: int) -> list[str]:
    """Make ``count`` clips in all keys, every twentieth broken; returns the names of those."""
    folder.mkdir()
    clips = [cadence(Key.from_index(index), seconds=1.0) for index in range(24)]
    broken = []
    for number in range(count):
        path = folder / f"{number // 100}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        write_wav(path, clips[number % 24])
        if number % BROKEN_EVERY == BROKEN_EVERY - 1:
            broken.append(path.name)
            # Empty, not audio, or with the wrong suffix.
            kind = len(broken) % 3
            path.write_bytes(
                [b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"<html>not found</html>"][kind]
            )
    return broken


@pytest.fixture(scope="module")
def music_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library") / "music"
    make_library(folder, FILES - 1)
    music(folder / "hang.wav", "C major", 1.0)  # the last; see `start`
    return folder


@pytest.fixture(scope="module")
def undisturbed(music_folder: Path) -> set[Result]:
    output = music_folder.parent / "undisturbed.jsonl"
    assert run("scan", music_folder, "-o", output).returncode == 1
    return set(read_results(output))


def start(folder: Path, output: Path, *options: str) -> subprocess.Popen[str]:
    """Start the command with one worker, which hangs on the last file, ``hang.wav``."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "from stonekey.cli import main\n"
        "from stonekey.library import scan\n"
        "scan.__kwdefaults__['estimator'] = 'scan_estimators:Fragile'\n"
        "main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "scan", folder, "-o", output, "-j", "1", *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def written(output: Path) -> int:
    try:
        return len(read_results(output))
    except StoreError:  # not there yet
        return 0


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_killed_at_random_times_it_goes_on(
    music_folder: Path, undisturbed: set[Result], tmp_path: Path, suffix: str
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    output = tmp_path / f"keys.{suffix}"
    rng = random.Random(suffix)
    had = 0
    for attempt in range(3):
        process = start(music_folder, output)
        if attempt == 0:  # at any time, even before the first result
            time.sleep(rng.uniform(0, 0.8))
        else:
            enough = min(had + rng.randint(1, 20), FILES - 1)
            wait_for(lambda: written(output) >= enough)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.communicate()
        results = written(output)
        assert results >= had, "results were lost"
        had = results
    assert 0 < had < len(undisturbed) == FILES
    last = run("scan", music_folder, "-o", output, "--json")
    assert last.returncode == 1, last.stderr
    told = json.loads(last.stdout)
    assert (told["kept"], told["analysed"]) == (had, len(undisturbed) - had)
    found = read_results(output)
    assert len(found) == len(undisturbed)
    assert set(found) == undisturbed
    leftovers = {path.name for path in tmp_path.iterdir()} - {output.name, f".{output.name}.lock"}
    assert leftovers == set()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_killed_run_leaves_no_worker_behind(music_folder: Path, tmp_path: Path) -> None:
    process = start(music_folder, tmp_path / "keys.csv")
    wait_for(lambda: written(tmp_path / "keys.csv") == FILES - 1)  # the worker hangs now
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    workers = [pid for task in tasks for pid in task.read_text().split()]
    assert len(workers) == 1
    process.kill()
    process.communicate()

    def ended() -> bool:
        try:
            return not Path(f"/proc/{workers[0]}/cmdline").read_bytes()  # not yet waited for
        except OSError:
            return True

    wait_for(ended)


def test_a_killed_change_of_model_loses_nothing(
    music_folder: Path, undisturbed: set[Result], tmp_path: Path
) -> None:
    """The old rows stay until new ones replace them."""
    shutil.copy(music_folder.parent / "undisturbed.jsonl", tmp_path / "keys.jsonl")
    output = tmp_path / "keys.jsonl"
    process = start(music_folder, output, "--model", "template12")
    wait_for(lambda: any(result.model == "template12" for result in read_results(output)))
    process.kill()
    process.communicate()
    half = read_results(output)
    assert {result.path for result in half} == {result.path for result in undisturbed}
    assert {result.model for result in half} == {"stone24", "template12"}
    assert run("scan", music_folder, "-o", output, "--model", "template12").returncode == 1
    found = read_results(output)
    assert len(output.read_text().splitlines()) == len(found) == len(undisturbed)
    assert {result.model for result in found} == {"template12"}


def test_ctrl_c_keeps_what_is_done(
    music_folder: Path, undisturbed: set[Result], tmp_path: Path
) -> None:
    output = tmp_path / "keys.csv"
    process = start(music_folder, output)
    wait_for(lambda: written(output) > 0)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "interrupted; run the same command again to resume" in errors
    assert "Traceback" not in errors
    had = written(output)
    assert f"{FILES} files: {had} analysed" in out
    assert 0 < had < FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.csv"]
    assert run("scan", music_folder, "-o", output).returncode == 1
    assert set(read_results(output)) == undisturbed


def test_two_runs_on_one_output(
    music_folder: Path, undisturbed: set[Result], tmp_path: Path
) -> None:
    output = tmp_path / "keys.csv"
    (tmp_path / "link.csv").symlink_to(output)  # another name for the same file
    first = start(music_folder, output)
    wait_for(lambda: written(output) > 0)
    second = run("scan", music_folder, "-o", tmp_path / "link.csv")
    assert second.returncode == 1
    assert second.stderr == f"stonekey: {output}: another run is writing it\n"
    assert first.poll() is None
    first.kill()
    first.communicate()
    assert run("scan", music_folder, "-o", tmp_path / "link.csv").returncode == 1
    assert set(read_results(output)) == undisturbed
    assert (tmp_path / "link.csv").is_symlink()


def test_many_files_some_of_them_broken(tmp_path: Path) -> None:
    broken = make_library(tmp_path / "music", MANY)
    # One second is often too short for the default model to be sure.
    output = tmp_path / "keys.sqlite"
    done = run("scan", tmp_path / "music", "-o", output, "--json", "-m", "template")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    print(f"{MANY} files in {told['seconds']:.1f} s")
    assert (told["files"], told["analysed"]) == (MANY, MANY)
    assert sorted(Path(entry["path"]).name for entry in told["failed"]) == sorted(broken)
    assert len(broken) == MANY // BROKEN_EVERY
    assert all(name in done.stderr for name in broken)
    results = read_results(tmp_path / "keys.sqlite")
    assert len(results) == len({result.path for result in results}) == MANY
    assert {result.path.name for result in results if result.error} == set(broken)
    right = [
        result
        for result in results
        if result.key == str(Key.from_index(int(result.path.stem) % 24))
    ]
    assert len(right) == MANY - len(broken)
    assert sum(told["keys"].values()) == len(right)


def test_tagged_files_are_left_out_when_asked(tmp_path: Path) -> None:
    mutagen, id3 = map(pytest.importorskip, ("mutagen.wave", "mutagen.id3"))
    pytest.importorskip("stonekey.tags")
    folder = tmp_path / "music"
    folder.mkdir()
    music(folder / "plain.wav", "D major", 1.0)
    for text in ("Am", "8A - 6", "o", "All", "INVALID", "-"):
        path = music(folder / f"{text}.wav", "E minor", 1.0)
        tagged = mutagen.WAVE(path)
        tagged.add_tags()
        tagged.tags.add(id3.TKEY(text=[text]))
        tagged.save()
    output = tmp_path / "keys.csv"
    told = json.loads(run("scan", folder, "-o", output, "--skip-tagged", "--json").stdout)
    assert (told["tagged"], told["off_key"], told["analysed"]) == (2, 1, 4)
    reported = {
        result.path.stem: [w for w in result.warnings if "tags" in w]
        for result in read_results(output)
    }
    assert reported == {
        "plain": [],
        **{t: [f"the key in its tags is none: '{t}'"] for t in ("All", "INVALID", "-")},
    }
    assert json.loads(run("scan", folder, "-o", output, "--json").stdout)["analysed"] == 3
