"""A scan on a Ray cluster: one machine's answers, whatever is lost on the way."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_tools import call, music

from stonekey.data.manifest import Track
from stonekey.data.shards import write_shards
from stonekey.library import ScanError, read_results, scan
from stonekey.library.cluster import ClusterError, places, tasks

ray = pytest.importorskip("ray", reason="needs Ray")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs Ray")
# Ray warns of what it will change, and starts processes that outlive a test.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core on this machine, with this process connected."""
    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Nodes import the package, and the estimators of these tests, as they are installed there.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    clip = music(folder / "a.wav", "D major", 1.0)
    music(folder / "b.wav", "F# minor", 1.5)
    (folder / "bad.mp3").write_text("this is no mp3")
    for name in ("segfault-1", "exit-1", "\udcff", *(f"slow-{i:02d}" for i in range(16))):
        shutil.copy(clip, folder / f"{name}.wav")
    return folder


def rows(output: Path) -> list[Any]:
    return sorted(read_results(output), key=lambda result: os.fsencode(result.path))


FRAGILE = {"estimator": "scan_estimators:Fragile"}


@pytest.fixture(scope="module")
def local(album: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    output = tmp_path_factory.mktemp("local") / "keys.csv"
    scan([album], output, **FRAGILE)
    return rows(output)


def test_the_answers_are_those_of_one_machine(
    cluster: Any, album: Path, local: list[Any], tmp_path: Path
) -> None:
    summary = scan([album], tmp_path / "keys.csv", engine="ray", **FRAGILE)
    assert rows(tmp_path / "keys.csv") == local
    assert (summary.analysed, len(summary.failed)) == (len(local), 3)
    again = scan([album], tmp_path / "keys.csv", engine="ray", **FRAGILE)
    assert (again.analysed, again.kept) == (0, len(local))


def test_a_lost_worker_and_a_lost_node_lose_no_file(
    cluster: Any, album: Path, local: list[Any], tmp_path: Path
) -> None:
    node = cluster.add_node(num_cpus=1)
    killed: list[int] = []
    done = 0

    def lose(path: Path, error: str | None) -> None:
        nonlocal done
        done += 1
        if not killed:
            killed.append(kill_an_actor())
        if done == 6:
            cluster.remove_node(node, allow_graceful=False)

    summary = scan([album], tmp_path / "keys.csv", engine="ray", on_result=lose, **FRAGILE)
    assert killed
    assert rows(tmp_path / "keys.csv") == local
    assert summary.analysed == len(local)


def kill_an_actor() -> int:
    """Kill a process that holds a worker, as the system does when memory runs out."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"stonekey.library.worker" in (folder / "cmdline").read_bytes():
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if b"ray::" in Path(f"/proc/{parent}/cmdline").read_bytes():
                    os.kill(parent, signal.SIGKILL)
                    return parent
        except OSError:
            continue
    raise AssertionError("no actor")


def test_a_run_stops_and_resumes(
    cluster: Any, album: Path, local: list[Any], tmp_path: Path
) -> None:
    output = tmp_path / "keys.jsonl"
    stop = threading.Event()
    first = scan(
        [album], output, engine="ray", stop=stop.is_set, on_result=lambda *_: stop.set(), **FRAGILE
    )
    assert first.interrupted
    assert 0 < first.analysed < len(local)
    second = scan([album], output, **FRAGILE)  # here: any engine goes on
    assert (second.kept, second.analysed) == (first.analysed, len(local) - first.analysed)
    assert rows(output) == local


def test_a_model_that_cannot_be_loaded_is_an_error(
    cluster: Any, album: Path, tmp_path: Path
) -> None:
    with pytest.raises(ScanError, match="no such device"):
        scan([album], tmp_path / "k.csv", engine="ray", estimator="scan_estimators:broken")


def test_the_command(cluster: Any, album: Path, tmp_path: Path) -> None:
    assert call("scan", album / "a.wav", "-o", tmp_path / "keys.csv", "--engine", "ray") == 0
    assert [result.key for result in read_results(tmp_path / "keys.csv")] == ["D major"]
    assert call("scan", album, "-o", tmp_path / "keys.csv", "--engine", "mail") == 2


def test_shards_are_written_by_tasks(cluster: Any, album: Path, tmp_path: Path) -> None:
    tracks = [Track(path.name, path) for path in sorted(album.glob("slow*"))]
    for engine in ("ray", "local"):
        report = write_shards(
            tracks, tmp_path / engine, size=100_000, engine=engine, progress=False
        )
        assert (report.tracks, report.failed) == (len(tracks), [])
        assert len(report.shards) > 2
    one, other = (
        [path.read_bytes() for path in sorted((tmp_path / engine).glob("*.tar"))]
        for engine in ("ray", "local")
    )
    assert one == other


def test_actors_share_a_gpu_and_have_a_core_each() -> None:
    assert places({"CPU": 2.0}) == 2
    assert places({"CPU": 64.0, "GPU": 2.0}, gpu=True) == 16
    assert places({"CPU": 4.0, "GPU": 2.0}, gpu=True) == 4
    with pytest.raises(ClusterError, match="no GPU"):
        places({"CPU": 4.0}, gpu=True)


def square(number: int) -> int:
    if number == 13:
        raise ValueError("not this one")
    time.sleep(0.01)
    return number * number


def test_tasks(cluster: Any) -> None:
    assert sorted(tasks(square, range(5))) == [0, 1, 4, 9, 16]
    with pytest.raises(ValueError, match="not this one"):
        list(tasks(square, [13]))
