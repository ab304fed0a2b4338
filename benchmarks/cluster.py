"""A scan on a local Ray cluster against one by the local pool: same table, time for each file.

Writes short files, some of them broken, and scans them with both engines, taking turns. With
--kill, one of the Ray scan's actors is killed on the way.

    python benchmarks/cluster.py --files 2000 --seconds 1 --kill
    python benchmarks/cluster.py --files 60 --seconds 210 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray
import soundfile

from stonekey.keys import Key
from stonekey.library import read_results, scan
from stonekey.synthesis import cadence


def write_files(folder: Path, number: int, seconds: float) -> None:
    for i in range(min(number, 24)):
        music = cadence(Key.from_index(i), seconds=seconds, seed=i).astype(np.float32)
        soundfile.write(folder / f"{i:05d}.mp3", np.stack([music, music], axis=1), 22050)
    for i in range(24, number):
        shutil.copy(folder / f"{i % 24:05d}.mp3", folder / f"{i:05d}.mp3")
    for i in range(0, number, 50):
        (folder / f"{i:05d}.mp3").write_bytes(b"broken")


def kill_an_actor() -> None:
    """Kill an actor of the Ray scan, as the system does when memory runs out."""
    found = subprocess.run(
        ["pgrep", "-f", "stonekey.library.worker"], capture_output=True, text=True, check=True
    )
    for process in map(int, found.stdout.split()):
        parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        if b"ray::" in Path(f"/proc/{parent}/cmdline").read_bytes():
            os.kill(parent, signal.SIGKILL)
            print(f"killed the actor {parent}", flush=True)
            return


def run(folder: Path, output: Path, engine: str, kill: bool) -> tuple[float, float]:
    """Seconds of the scan, and of each file between the first part's answers and the last."""
    times: list[float] = []

    def done(path: Path, error: str | None) -> None:
        times.append(time.perf_counter())
        if kill and len(times) == 20:
            kill_an_actor()

    began = time.perf_counter()
    scan([folder], output, engine=engine, on_result=done)
    whole = time.perf_counter() - began
    # An actor answers for several files at once.
    later = sum(moment > times[0] + 0.02 for moment in times)
    return whole, (times[-1] - times[0]) / later


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=60, help="how many (60)")
    parser.add_argument("--seconds", type=float, default=210.0, help="length of each (210)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds (1)")
    parser.add_argument("--kill", action="store_true", help="kill an actor on the way")
    arguments = parser.parse_args()
    began = time.perf_counter()
    ray.init(log_to_driver=False, logging_level="error")
    print(f"ray {ray.__version__}: {time.perf_counter() - began:.1f} s to start", flush=True)
    equal = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "music")
        folder.mkdir()
        write_files(folder, arguments.files, arguments.seconds)
        each: dict[str, list[float]] = {"local": [], "ray": []}
        for number in range(arguments.rounds):
            tables = []
            for engine, values in each.items():
                output = Path(name, f"{engine}{number}.csv")
                kill = arguments.kill and engine == "ray"
                whole, one = run(folder, output, engine, kill)
                values.append(one)
                tables.append(sorted(read_results(output), key=lambda row: row.path))
                print(f"{engine}: {whole:.1f} s, {1e3 * one:.1f} ms a file", flush=True)
            equal = equal and tables[0] == tables[1]
        print(f"the same table: {equal}")
    local, cluster = (min(values) for values in each.values())
    print(f"ray takes {cluster / local:.3f} times as long for a file")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"peak memory of the driver: {peak:.0f} MB")
    ray.shutdown()
    return int(not equal)


if __name__ == "__main__":
    sys.exit(main())
