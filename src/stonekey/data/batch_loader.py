"""What the loaders share: the plan of the batches, the thread that works ahead, the state.

Modes:

- ``selfsupervised``: two segments of each track;
- ``supervised``: one segment of each labelled track, and its label;
- ``mix``: batches of the two kinds in turn, self-supervised first.

A batch is a function of the seed and its number: threads work ahead, but neither they nor
the number of processes change what comes. ``state_dict`` is of the last batch that was handed out.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from stonekey.data.segments import Draw, TrackStream, check_share

Mode = Literal["selfsupervised", "supervised", "mix"]
MODES = ("selfsupervised", "supervised", "mix")
AHEAD = 4  # Batches that are made before they are asked for.
Batch = dict[str, Any]


class DataError(ValueError):
    """A data set from which nothing can be trained; the message says what is missing."""


class _Ahead:
    """A thread that makes batches ``start``, ``start + 1``, ... before they are asked for."""

    def __init__(self, make: Callable[[int], Any], start: int, ahead: int) -> None:
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=_fill, args=(make, start, self._queue, self._stop), daemon=True
        )
        self._thread.start()

    def take(self) -> Any:
        batch, error = self._queue.get()
        if error is not None:
            raise error
        return batch

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def _fill(make: Callable[[int], Any], step: int, out: queue.Queue, stop: threading.Event) -> None:
    while not stop.is_set():
        entry: tuple[Any, BaseException | None]
        try:
            entry = (make(step), None)
        except BaseException as error:  # Raised again where the batch is taken.
            entry = (None, error)
        while not stop.is_set():
            try:
                out.put(entry, timeout=0.1)
                break
            except queue.Full:
                continue
        if entry[1] is not None:
            return
        step += 1


@dataclass(frozen=True)
class Plan:
    """Which items make up batch number ``step``: see `batch_plan`."""

    supervised: bool
    draws: tuple[Draw, ...]


class BatchLoader:
    """Base of the loaders.

    An iterator without end. A subclass makes batch number ``step`` in `make`.
    """

    def __init__(
        self,
        sizes: dict[bool, int],
        mode: Mode,
        batch_size: int,
        seed: int,
        rank: int,
        world: int,
        fingerprint: Iterable[str],
        ahead: int = AHEAD,
    ) -> None:
        """``sizes``: tracks of the self-supervised (False) and supervised (True) stream."""
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        check_share(rank, world)
        self.mode = mode
        self.batch_size = batch_size
        self.rank, self.world = rank, world
        kinds = {"selfsupervised": [False], "supervised": [True], "mix": [False, True]}[mode]
        for kind in kinds:
            if not sizes[kind]:
                raise DataError("no track has a label" if kind else "no track is long enough")
        self.streams = {kind: TrackStream(sizes[kind], seed, int(kind)) for kind in kinds}
        digest = hashlib.sha256()
        for number, text in enumerate(fingerprint):
            digest.update((("\0" if number else "") + text).encode("utf-8", "surrogateescape"))
        self.identity = {
            "mode": mode,
            "batch_size": batch_size,
            "seed": seed,
            "world": world,
            "data": digest.hexdigest()[:16],
        }
        self._ahead_of = ahead
        self._ahead: _Ahead | None = None
        self._finalizer: weakref.finalize | None = None
        self._step = 0

    def batch_plan(self, step: int) -> Plan:
        """The items of batch ``step`` for this rank.

        The ranks' batches of a step are, interleaved, the batch that one process with
        ``world`` times the batch size would have.
        """
        kind = self.mode == "supervised" or (self.mode == "mix" and step % 2 == 1)
        batch = step // 2 if self.mode == "mix" else step
        start = batch * self.batch_size
        share = self.streams[kind].share(start, self.rank, self.world)
        return Plan(kind, tuple(next(share) for _ in range(self.batch_size)))

    def make(self, step: int) -> Batch:
        """Batch number ``step``, in the thread that works ahead."""
        raise NotImplementedError

    def finish(self, batch: Batch) -> Batch:
        """What is left to do where the batch is taken."""
        return batch

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._ahead is None:
            # The thread must not keep the loader alive, or it would never end.
            self._ahead = _Ahead(_weakly(self), self._step, self._ahead_of)
            self._finalizer = weakref.finalize(self, self._ahead._stop.set)
        try:
            batch = self.finish(self._ahead.take())
        except BaseException:
            self.close()  # The next call tries the same batch again.
            raise
        self._step += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The place in the stream, and what it is the place in: plain values."""
        return {"step": self._step, **self.identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state: the next batch is the one that would have come.

        Raises:
            ValueError: when the state is of other data, or of another seed, mode, batch size or
                number of processes.
        """
        for name, value in self.identity.items():
            if state.get(name) != value:
                raise ValueError(
                    f"the loader's state is of another run: {name} was {state.get(name)}, "
                    f"is {value}"
                )
        self.close()
        self._step = int(state["step"])

    def close(self) -> None:
        """Stop the thread; the next batch starts it again."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _weakly(loader: BatchLoader) -> Callable[[int], Any]:
    reference = weakref.ref(loader)

    def make(step: int) -> Any:
        alive = reference()
        if alive is None:
            raise StopIteration
        return alive.make(step)

    return make
