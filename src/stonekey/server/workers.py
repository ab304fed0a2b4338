"""The worker processes of the server, shared by all requests in the order of their coming."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from anyio import CapacityLimiter, to_thread

from stonekey.library.pool import POLL_SECONDS, Seat, WorkerStartError
from stonekey.output.records import FileResult
from stonekey.server.worker import Analysis, AnalysisSettings

# The mean time of an analysis forgets most of the past in so many files.
_MEMORY = 20
_LONGEST_RETRY = 60


class UnavailableError(RuntimeError):
    """No worker can take the file: the server ends, or workers do not start."""


class Workers:
    """Processes that analyse files; a context manager that leaves none behind.

    Args:
        count: number of processes.
        settings: settings of each.
        max_memory: limit on the resident memory of each in bytes.

    Attributes:
        problem: why the last worker did not start; None if it did.
    """

    def __init__(self, count: int, settings: AnalysisSettings, max_memory: float) -> None:
        self.count = count
        self.problem: str | None = None
        self._seats = [Seat(settings, max_memory) for _ in range(count)]
        self._free: SimpleQueue[Seat] = SimpleQueue()
        self._limiter: CapacityLimiter | None = None
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._watch, daemon=True)]
        self._seconds = 1.0

    def __enter__(self) -> Workers:
        """Start them.

        Raises:
            WorkerStartError: the first cannot start; the message says why.
        """
        self._threads[0].start()
        try:
            self._seats[0].start()  # before the others, to report a model that cannot load once
        except BaseException:
            self.__exit__()
            raise
        self._free.put(self._seats[0])
        for seat in self._seats[1:]:
            self._threads.append(threading.Thread(target=self._start, args=(seat,), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            while thread.is_alive():
                self.stop()
                thread.join(POLL_SECONDS)
        for seat in self._seats:
            seat.close()

    def stop(self) -> None:
        """Kill them; what they were at raises UnavailableError, and so does what comes."""
        self._ending.set()
        for seat in self._seats:
            seat.kill()

    @property
    def waiting(self) -> int:
        """Number of files that wait for a worker."""
        return 0 if self._limiter is None else self._limiter.statistics().tasks_waiting

    @property
    def busy(self) -> int:
        """Number of workers that have a file."""
        return 0 if self._limiter is None else int(self._limiter.borrowed_tokens)

    @property
    def retry_after(self) -> int:
        """Whole seconds after which those that wait now should have had their turn."""
        seconds = self._seconds * (self.waiting + self.busy) / self.count
        return min(_LONGEST_RETRY, max(1, math.ceil(seconds)))

    async def analyse(self, path: Path, name: str, asked: Analysis) -> dict[str, Any]:
        """The JSON record of a file, as of ``stonekey FILE --format json``.

        Cancelling takes it out of the queue; a file that a worker has is finished first.

        Args:
            path: the file.
            name: what the record calls it.
            asked: how to analyse it.

        Raises:
            UnavailableError: no worker can take it.
        """
        if self._limiter is None:  # it belongs to the event loop
            self._limiter = CapacityLimiter(self.count)
        request = {"path": str(path), **asdict(asked)}
        answer = await to_thread.run_sync(self._ask, request, limiter=self._limiter)
        record: dict[str, Any] | None = answer.get("record")
        if record is None:
            record = FileResult(Path(), None, answer["error"]).as_dict(asked.model)
        return {**record, "file": name}

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        seat = self._free.get()
        began = time.monotonic()
        try:
            if self._ending.is_set():
                raise UnavailableError("the server is ending")
            answer = seat.ask(request)
            if self._ending.is_set() and "error" in answer:
                raise UnavailableError("the server is ending")
            self.problem = None
            self._seconds += (time.monotonic() - began - self._seconds) / _MEMORY
            return answer
        except WorkerStartError as error:
            self.problem = str(error)
            raise UnavailableError(f"no worker can start: {error}") from error
        finally:
            self._free.put(seat)

    def _start(self, seat: Seat) -> None:
        try:
            seat.start()
        except WorkerStartError as error:
            self.problem = str(error)
        self._free.put(seat)

    def _watch(self) -> None:
        while not self._ending.wait(POLL_SECONDS):
            for seat in self._seats:
                seat.watch()
