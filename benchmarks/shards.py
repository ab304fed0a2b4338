"""Segments a second of processor time from shards of transforms, and memory of a million tracks.

Writes shards of random transforms of 4 minutes, and reads them from the disk (more of its cache,
likely) or, with --http, from a server on this machine.

    python benchmarks/shards.py --tracks 400 --http
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from stonekey.data.cached import CachedTrack, CachedTracks, CachedTracksBuilder
from stonekey.data.loaders import CachedLoader
from stonekey.data.shard_index import ShardIndex
from stonekey.data.shard_loader import ShardLoader
from stonekey.data.shards import write_shards
from stonekey.model.settings import FrontEnd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from range_server import server

FRAMES = 10_336  # 4 minutes
BATCH, BATCHES = 64, 30


def write(folder: Path, number: int) -> None:
    generator = np.random.default_rng(0)
    tracks = []
    for i in range(8):
        path = folder / f"{i}.npy"
        np.save(path, (0.1 * generator.normal(size=(FRAMES, 99))).astype(np.float16))
        for k in range(i, number, 8):
            tracks.append(CachedTrack(str(k), str(path), 128, FRAMES, FRAMES * 512))
    write_shards(tracks, folder / "shards", size=200_000_000, progress=False)


def read(place: Path, name: str) -> None:
    with ShardLoader(ShardIndex.load(place, FrontEnd()), batch_size=BATCH, buffer=256) as loader:
        next(loader)
        used, began = time.process_time(), time.perf_counter()
        for _ in range(BATCHES):
            next(loader)
        used, passed = time.process_time() - used, time.perf_counter() - began
    segments = 2 * BATCH * BATCHES
    print(f"{name}: {segments / used:.0f} segments a CPU-second, {segments / passed:.0f} a second")


def serve(folder: str) -> None:
    with server(Path(folder)) as running:
        print(running.server_address[1], flush=True)
        running.serve_forever()


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def of_shards(number: int) -> None:
    """Memory of the index of shards of so many tracks, and of an epoch's order."""
    before = resident()
    shard = np.arange(number, dtype=np.int32) // 500
    index = ShardIndex(
        Path("shards"),
        tuple(f"shard-{i:06d}.tar" for i in range(int(shard[-1]) + 1)),
        shard,
        np.arange(number) % 500 * 2_047_488,
        np.full(number, FRAMES, np.int32),
        np.full(number, FRAMES * 512),
        np.arange(number),
        np.full(number, -3, np.int8),
        np.empty((0, 24), np.float32),
    )
    loader = ShardLoader(index, batch_size=2)
    loader._orders[False].epoch(0)
    report("shards", before, number)


def of_cache(stored: Path) -> None:
    """Memory of cached tracks read from a file, and of a loader."""
    before = resident()
    tracks = CachedTracks.load(stored)
    loader = CachedLoader(tracks, batch_size=2)
    loader.batch_plan(0)
    report("cache", before, len(tracks))


def report(name: str, before: float, number: int) -> None:
    # Not ru_maxrss, which a process has from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1e3
    held, most = ((now - before) * 1e6 / number for now in (resident(), peak))
    print(f"{name}: {held:.0f} MB a million tracks, {most:.0f} at the peak", flush=True)


def memory(number: int, folder: Path) -> None:
    """Both, each in a process of its own."""
    builder = CachedTracksBuilder()
    for i in range(number):
        path = f"/mnt/music/artist{i // 100:06d}/album/track{i:07d}.mp3"
        file = f"/mnt/cache/0123456789abcdef/{i % 256:02x}/{i:032x}.npy"
        builder.append(CachedTrack(path, file, 128, FRAMES, FRAMES * 512))
    stored = folder / "tracks.npz"
    builder.build().save(stored)
    for what in ("--of-shards", str(number)), ("--of-cache", str(stored)):
        subprocess.run([sys.executable, __file__, *what], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=400, help="how many to write (400)")
    parser.add_argument("--http", action="store_true", help="also read them over HTTP")
    parser.add_argument("--memory", type=int, default=500_000, help="how many to index (500000)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--of-shards", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--of-cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve)
    if arguments.of_shards:
        return of_shards(arguments.of_shards)
    if arguments.of_cache:
        return of_cache(arguments.of_cache)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), arguments.tracks)
        read(Path(name, "shards"), "disk")
        if arguments.http:
            # In a process of its own, so that its time is not counted.
            command = [sys.executable, __file__, "--serve", str(Path(name, "shards"))]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                read(Path(f"http://127.0.0.1:{server.stdout.readline().strip()}"), "HTTP")
                server.terminate()
        memory(arguments.memory, Path(name))
    return None


if __name__ == "__main__":
    main()
