"""How fast the HTTP API answers, and whether its memory stays flat.

Starts ``stonekey serve --api`` and sends it synthesised recordings over the loopback interface:
requests per second and latency with 1, 8 and 64 clients, each for a bounded time; then many
uploads of which 5 % are broken, with the memory of the server and its workers on the way. Every
answer is checked: none may be lost or another's. Linux only. Needs the extra "server" and httpx.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import soundfile

from stonekey.audio import SAMPLE_RATE
from stonekey.estimate.backends import load_backend
from stonekey.estimate.estimator import KeyEstimator
from stonekey.files import core_count
from stonekey.keys import Key
from stonekey.synthesis import cadence

CLIENTS = (1, 8, 64)
BROKEN_EVERY = 20  # 5 %


def recordings(folder: Path, seconds: float) -> dict[str, bytes]:
    """A FLAC file in each key."""
    made = {}
    for tonic, mode in itertools.product(range(12), ("major", "minor")):
        key = Key(tonic, mode)
        path = folder / f"{key}.flac"
        soundfile.write(path, cadence(key, seconds=seconds), SAMPLE_RATE)
        made[str(key)] = path.read_bytes()
    return made


@contextmanager
def server(workers: int, queue: int) -> Iterator[tuple[str, int]]:
    """The address and process id of a server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stonekey", "serve", "--api", "--port", "0",
         "--workers", str(workers), "--queue", str(queue)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"http://\S+:\d+", process.stdout.readline())
    try:
        if found is None:
            sys.exit("the server did not start")
        yield found[0], process.pid
    finally:
        process.terminate()
        process.wait()


class Clients:
    """Sends recordings from several threads and checks the answers."""

    def __init__(self, address: str, sounds: dict[str, bytes]) -> None:
        self._address = address
        self._sounds = sounds
        self._keys = list(sounds)
        self._links = threading.local()
        self.statuses: Counter[int] = Counter()
        self.wrong = 0

    def send(self, number: int, broken: bool = False) -> float:
        """Seconds that one request took."""
        if not hasattr(self._links, "client"):
            self._links.client = httpx.Client(base_url=self._address, timeout=120)
        key = self._keys[number % len(self._keys)]
        content = b"not a recording" if broken else self._sounds[key]
        began = time.perf_counter()
        answer = self._links.client.post("/v1/keys", params={"name": str(number)}, content=content)
        seconds = time.perf_counter() - began
        record = answer.json()
        expected = (str(number), None if broken else key)
        self.statuses[answer.status_code] += 1
        self.wrong += (record.get("file"), record.get("key")) != expected
        return seconds

    def many(
        self, count: int, clients: int, limit: float, after: Callable[[int], None] | None = None
    ) -> tuple[list[float], float]:
        """The times of at most ``count`` requests, none begun after ``limit`` s, and their span."""
        numbers = iter(range(count))
        lock = threading.Lock()
        times: list[float] = []
        began = time.perf_counter()

        def work() -> None:
            while time.perf_counter() - began < limit:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                seconds = self.send(number, after is not None and number % BROKEN_EVERY == 7)
                with lock:
                    times.append(seconds)
                    if after is not None:
                        after(len(times))

        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(work) for _ in range(clients)]:
                done.result()
        return times, time.perf_counter() - began


def memory(pid: int) -> tuple[float, float]:
    """Resident megabytes of a process, and of its children together."""

    def resident(one: int) -> float:
        pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return resident(pid), sum(resident(int(child)) for child in children)


def processor(pid: int) -> tuple[float, float]:
    """Processor seconds so far of a process, and of its children together."""

    def spent(one: int) -> float:
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return spent(pid), sum(spent(int(child)) for child in children)


def load(sounds: dict[str, bytes], workers: int, count: int, limit: float) -> None:
    print(f"{'clients':>8}{'requests':>10}{'per second':>12}{'p50 ms':>9}{'p95 ms':>9}"
          "   processor ms for a request: server, workers")  # fmt: skip
    with server(workers, max(CLIENTS)) as (address, pid):
        Clients(address, sounds).many(2 * workers, workers, limit)  # every worker has started
        for clients in CLIENTS:
            sender = Clients(address, sounds)
            before = processor(pid)
            times, span = sender.many(count, clients, limit)
            spent = 1000 * np.subtract(processor(pid), before) / len(times)
            middle, high = 1000 * np.percentile(times, [50, 95])
            print(f"{clients:8}{len(times):10}{len(times) / span:12.1f}{middle:9.0f}{high:9.0f}"
                  f"{spent[0]:12.1f}{spent[1]:8.1f}")  # fmt: skip
            assert sender.statuses == {200: len(times)}, sender.statuses
            assert not sender.wrong


def alone(sounds: dict[str, bytes], workers: int, limit: float) -> None:
    """The same recordings without a server, in as many threads, for comparison."""
    estimator = KeyEstimator(threads=1)
    contents = itertools.cycle(sounds.values())
    end = time.perf_counter() + limit
    counts = [0] * workers

    def work(number: int) -> None:
        while time.perf_counter() < end:
            estimator(next(contents))
            counts[number] += 1

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    print(f"without a server, {workers} threads: {sum(counts) / limit:.1f} per second")


def batching() -> None:
    """Time for a segment when several are given to the network at once."""
    backend = load_backend("stone24", threads=1)
    rng = np.random.default_rng(0)
    x = (0.1 * rng.standard_normal((8, backend.info.front_end.segment_samples))).astype(np.float32)
    session = backend._session  # type: ignore[attr-defined]
    for batch in (1, 2, 4, 8):
        times = []
        for _ in range(max(3, 16 // batch)):
            began = time.perf_counter()
            session.run(None, {"waveform": x[:batch]})
            times.append((time.perf_counter() - began) / batch)
        print(f"batch of {batch}: {1000 * np.median(times):.1f} ms for a segment, one thread")


def endurance(sounds: dict[str, bytes], workers: int, count: int, limit: float) -> None:
    print(f"{'uploads':>8}{'server MB':>11}{'workers MB':>12}")
    with server(workers, max(CLIENTS)) as (address, pid):
        sender = Clients(address, sounds)

        def after(done: int) -> None:
            if done % (count // 10) == 0 or done == 20:
                print(f"{done:8}{memory(pid)[0]:11.0f}{memory(pid)[1]:12.0f}", flush=True)

        times, span = sender.many(count, 8, limit, after)
        print(f"{len(times)} uploads in {span:.0f} s: {dict(sender.statuses)}, "
              f"{sender.wrong} wrong")  # fmt: skip
        assert set(sender.statuses) == {200, 422}
        assert not sender.wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a recording (30)")
    parser.add_argument("--count", type=int, default=300, help="most requests of a row (300)")
    parser.add_argument("--limit", type=float, default=20.0, help="most seconds of a row (20)")
    parser.add_argument("--uploads", type=int, default=2000, help="for the memory (2000)")
    parser.add_argument("--workers", type=int, default=core_count(), help="worker processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sounds = recordings(Path(name), options.seconds)
        size = np.mean([len(sound) for sound in sounds.values()]) / 1e6
        print(f"FLAC of {options.seconds:g} s, {size:.2f} MB; {options.workers} workers on "
              f"{core_count()} cores")  # fmt: skip
        batching()
        alone(sounds, options.workers, options.limit / 2)
        load(sounds, options.workers, options.count, options.limit)
        if options.uploads:
            short = recordings(Path(name), 8.0)
            endurance(short, options.workers, options.uploads, 600.0)


if __name__ == "__main__":
    main()
