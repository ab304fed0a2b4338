"""A file that crashes, blocks or bloats a worker of a library scan affects no other file."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from cli_tools import music

from stonekey.library import ScanError, read_results, scan

GOOD = ("a.wav", "m.wav", "noise-1.wav", "z.wav")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return music(tmp_path_factory.mktemp("clip") / "clip.wav", "D major", 1.0)


def library(folder: Path, clip: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(clip, folder / name)
    return folder


@pytest.mark.parametrize("workers", [1, 3])
def test_a_crash_or_a_hang_costs_one_file(tmp_path: Path, clip: Path, workers: int) -> None:
    bad = ("segfault-1.wav", "segfault-2.wav", "exit-1.wav", "hang-1.wav", "stuck-1.wav")
    folder = library(tmp_path / "music", clip, *GOOD, *bad)
    summary = scan(
        [folder], tmp_path / "keys.csv", workers=workers, timeout=5.0,
        estimator="scan_estimators:Fragile",
    )  # fmt: skip
    assert {path.name: error for path, error in summary.failed} == {
        "segfault-1.wav": "the worker process crashed (SIGSEGV)",
        "segfault-2.wav": "the worker process crashed (SIGSEGV)",
        "exit-1.wav": "the worker process ended with code 3",
        "hang-1.wav": "took longer than 5 s",
        "stuck-1.wav": "took longer than 5 s",
    }
    rows = {result.path.name: result for result in read_results(tmp_path / "keys.csv")}
    assert set(rows) == {*GOOD, *bad}
    assert {rows[name].key for name in GOOD} == {"D major"}
    assert all(rows[name].error and rows[name].size for name in bad)
    # They are known now, so none is tried again without --retry-failed.
    again = scan([folder], tmp_path / "keys.csv", estimator="scan_estimators:Fragile")
    assert (again.analysed, again.kept, len(again.failed)) == (0, 9, 5)
    (folder / "hang-1.wav").unlink()
    (folder / "stuck-1.wav").unlink()
    healed = scan([folder], tmp_path / "keys.csv", retry_failed=True, prune=True)
    assert (healed.analysed, healed.failed, healed.keys) == (3, [], {"D major": 7})
    assert len(read_results(tmp_path / "keys.csv")) == 7


def test_faults_of_the_machine_are_tried_again(tmp_path: Path, clip: Path) -> None:
    names = ("denied-1.wav", "crowded-1.wav", "starved-1.wav", "killed-1.wav")
    folder = library(tmp_path / "music", clip, "a.wav", *names)
    output = tmp_path / "keys.csv"
    first = scan([folder], output, workers=1, estimator="scan_estimators:Fragile")
    assert {path.name: error for path, error in first.failed} == {
        "denied-1.wav": "Permission denied",
        "crowded-1.wav": "Too many open files",
        "starved-1.wav": "not enough memory",
        "killed-1.wav": "the worker process crashed (SIGKILL, perhaps out of memory)",
    }
    (tmp_path / ".keys.csv.a1_b2c3d").write_text("of a killed run")
    again = scan([folder], output, workers=1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["keys.csv", "music"]
    assert (again.analysed, again.kept, again.failed) == (4, 1, [])
    assert again.keys == {"D major": 5}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched on Linux")
def test_too_much_memory_costs_one_file(tmp_path: Path, clip: Path) -> None:
    folder = library(tmp_path / "music", clip, *GOOD, "greedy-1.wav")
    summary = scan(
        [folder], tmp_path / "keys.jsonl", workers=2, max_memory=0.6,
        estimator="scan_estimators:Fragile",
    )  # fmt: skip
    assert [(path.name, error) for path, error in summary.failed] == [
        ("greedy-1.wav", "needed more than 0.6 GB of memory")
    ]
    assert summary.keys == {"D major": 4}


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        ("scan_estimators:broken", "no such device"),
        ("scan_estimators:crashing", "ended with code 9"),
        ("scan_estimators:missing", "has no attribute 'missing'"),
    ],
)
def test_workers_that_cannot_start_end_the_run(
    tmp_path: Path, clip: Path, estimator: str, reason: str
) -> None:
    folder = library(tmp_path / "music", clip, *GOOD)
    with pytest.raises(ScanError, match=f"workers cannot start: .*{reason}"):
        scan([folder], tmp_path / "keys.csv", workers=2, estimator=estimator)
    assert read_results(tmp_path / "keys.csv") == []


def children() -> set[str]:
    """Child processes that this one has not waited for."""
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may end while we look
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(stat.parent.name)
    return found


def test_an_early_stop_keeps_what_is_done_and_leaves_no_process(tmp_path: Path, clip: Path) -> None:
    names = [f"slow-{number}.wav" for number in range(12)]
    folder = library(tmp_path / "music", clip, *names)
    seen: list[str] = []
    before = children()
    summary = scan(
        [folder], tmp_path / "keys.csv", workers=2, estimator="scan_estimators:Fragile",
        on_result=lambda path, error: seen.append(path.name), stop=lambda: len(seen) >= 3,
    )  # fmt: skip
    assert summary.interrupted
    assert sorted(result.path.name for result in read_results(tmp_path / "keys.csv")) == sorted(
        seen
    )
    assert children() <= before  # every worker has been waited for
    rest = scan([folder], tmp_path / "keys.csv", estimator="scan_estimators:Fragile")
    assert (rest.analysed, rest.kept, rest.interrupted) == (12 - len(seen), len(seen), False)


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    for settings in (
        {"notation": "solfa"}, {"min_confidence": 2.0}, {"timeout": 0.0}, {"workers": 0},
        {"overlap": 1.0}, {"max_memory": -1.0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(settings))):
            scan([tmp_path], tmp_path / "keys.csv", **settings)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        scan([tmp_path / "nowhere"], tmp_path / "keys.csv")
    assert list(tmp_path.iterdir()) == []
