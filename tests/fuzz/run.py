"""Mutated input by the hundred thousand: each gives a result or a documented error.

    python tests/fuzz/run.py --count 100000 --seed 0 --jobs 2

Children take the inputs in batches; one that crashes, takes too long or too much memory is
known by the input that it was at, and another goes on. The same seed gives the same inputs;
--only NUMBER runs one of them in this process. Exit code 1 when anything was found.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

HANG_SECONDS = 20.0
START_SECONDS = 300.0
MEMORY = 10**9
BATCH = 500
KINDS = ("audio", "tags", "model", "header", "playlist", "results", "manifest")
ADDRESSES = 6 * 10**9  # virtual memory, of which libraries reserve much more than they use


class Inputs:
    """The inputs of a seed: the past failures first, then mutations of the others."""

    def __init__(self, seed: int, kinds: Sequence[str], folder: Path) -> None:
        from seeds import make_seeds, past_failures

        self._seed = seed
        self._fixed = [one for one in past_failures() if not kinds or one.kind in kinds]
        self._seeds = make_seeds(folder, kinds or KINDS)

    def make(self, number: int) -> tuple[str, str, bytes]:
        """Kind, name and bytes of an input."""
        from mutate import mutate

        if number < len(self._fixed):
            one = self._fixed[number]
            return one.kind, one.name, one.data
        rng = Random(f"{self._seed} {number}")
        one = self._seeds[number % len(self._seeds)]
        same = [other for other in self._seeds if other.kind == one.kind]
        return one.kind, one.name, mutate(one, same, rng)


def try_one(inputs: Inputs, number: int, folder: Path) -> str:
    """What became of an input: its kind, then "result", the error, or in capitals what is wrong."""
    from targets import TARGETS

    kind, name, data = inputs.make(number)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / name
        path.write_bytes(data)
        target, allowed = TARGETS[kind]
        try:
            target(path)
            return f"{kind} result"
        except allowed as error:
            if "\n" in str(error) or not str(error).isprintable():
                return f"{kind} UNPRINTABLE {str(error)!r}"
            return f"{kind} {type(error).__name__}"
        except BaseException:
            lines = traceback.format_exc().strip().splitlines()
            return f"{kind} EXCEPTION {name}: {' | '.join(line.strip() for line in lines[-7:])}"


def child(options: argparse.Namespace) -> None:
    """Run inputs start to stop; for each a line when it begins and one when it is done."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    warnings.simplefilter("ignore")
    channel = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        inputs = Inputs(options.seed, options.kinds, folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what decoders have to say
        for number in range(*options.range):
            os.write(channel, f"at {number}\n".encode())
            told = try_one(inputs, number, folder)
            held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if held > MEMORY:
                told = f"{told.split()[0]} MEMORY {held / 1e9:.1f} GB: {told}"
            os.write(channel, f"done {number} {told}\n".encode("utf-8", "replace"))
            if held > MEMORY:
                break  # the next one is measured anew


class Child:
    """A process at work on a range of inputs."""

    def __init__(self, options: argparse.Namespace, start: int, stop: int) -> None:
        command = [sys.executable, __file__, "--seed", str(options.seed), "--kinds",
                   ",".join(options.kinds), "--range", str(start), str(stop)]  # fmt: skip
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, **one}, start_new_session=True
        )
        self.next, self.stop, self.over = start, stop, False
        self._since, self._started, self._rest = time.monotonic(), False, b""

    def lines(self) -> Iterator[tuple[int, str]]:
        """Inputs that are done by now, and what became of them."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            word, _, rest = line.decode("utf-8", "replace").partition(" ")
            self._since, self._started = time.monotonic(), True
            if word == "done":
                number, _, told = rest.partition(" ")
                self.next = int(number) + 1
                yield int(number), told
        if not data:
            yield from self._ended()

    def watch(self) -> Iterator[tuple[int, str]]:
        """The input that the process hangs at, which ends it."""
        if time.monotonic() - self._since > (HANG_SECONDS if self._started else START_SECONDS):
            os.killpg(self.process.pid, signal.SIGKILL)
            self._close()
            if self.next >= self.stop:  # all is done, and only the end takes long
                return
            number, self.next = self.next, self.next + 1
            yield number, f"? HANG longer than {HANG_SECONDS:g} s"

    def _ended(self) -> Iterator[tuple[int, str]]:
        code = self._close()
        if not self._started:
            raise RuntimeError(f"the process for {self.next} to {self.stop} did not start ({code})")
        if code and self.next < self.stop:
            how = signal.Signals(-code).name if code < 0 else f"code {code}"
            number, self.next = self.next, self.next + 1
            yield number, f"? CRASH {how}"

    def _close(self) -> int:
        assert self.process.stdout is not None
        self.over = True
        code = self.process.wait()
        self.process.stdout.close()
        return code


def run(options: argparse.Namespace) -> Counter[str]:
    """All inputs; prints what should not be as it comes. Returns how often each outcome came."""
    todo = [(at, min(at + BATCH, options.count)) for at in range(0, options.count, BATCH)][::-1]
    counts: Counter[str] = Counter()
    children: list[Child] = []
    began = time.monotonic()
    try:
        _all(options, todo, children, counts, began)
    except KeyboardInterrupt:  # what is done counts
        for one in children:
            os.killpg(one.process.pid, signal.SIGKILL)
    return counts


def _all(
    options: argparse.Namespace,
    todo: list[tuple[int, int]],
    children: list[Child],
    counts: Counter[str],
    began: float,
) -> None:
    while todo or children:
        while todo and len(children) < options.jobs:
            children.append(Child(options, *todo.pop()))
        streams = {one.process.stdout: one for one in children}
        ready = select.select(list(streams), [], [], 1.0)[0]
        for one in list(children):
            told = one.lines() if one.process.stdout in ready else one.watch()
            for number, outcome in told:
                counts[" ".join(outcome.split()[:2])] += 1
                if outcome.split()[1].isupper():
                    print(f"{number}: {outcome}", flush=True)
            if one.over:
                children.remove(one)
                if one.next < one.stop:
                    todo.append((one.next, one.stop))
        if options.minutes and time.monotonic() - began > 60 * options.minutes:
            todo.clear()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--minutes", type=float, default=0, help="begin no more batches after these"
    )
    parser.add_argument(
        "--kinds", type=lambda text: [kind for kind in text.split(",") if kind], default=[],
        help=f"only these of {','.join(KINDS)}",
    )  # fmt: skip
    parser.add_argument("--only", type=int, help="one input, in this process")
    parser.add_argument("--save", type=Path, help="with --only: write the input to this folder")
    parser.add_argument("--range", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.range:
        child(options)
        return 0
    if options.only is not None:
        with tempfile.TemporaryDirectory() as work:
            inputs = Inputs(options.seed, options.kinds, Path(work))
            kind, name, data = inputs.make(options.only)
            if options.save:
                options.save.mkdir(parents=True, exist_ok=True)
                (options.save / f"{options.only}-{name}").write_bytes(data)
            print(kind, name, len(data), try_one(inputs, options.only, Path(work)))
        return 0
    began = time.monotonic()
    counts = run(options)
    for outcome, number in sorted(counts.items()):
        print(f"{number:>8}  {outcome}")
    print(f"{counts.total():>8}  inputs in {time.monotonic() - began:.0f} s")
    return int(any(outcome.split()[1].isupper() for outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
