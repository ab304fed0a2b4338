"""Worker processes, so that a bad file can crash a worker but not the run.

Each worker is a child process with a pipe, and a thread of the parent that waits for its answers.
One more thread kills workers that exceed their time or memory. When a worker dies, the answer for
its file is the reason, and a new worker takes the next file.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

from stonekey.text import json_text

POLL_SECONDS = 0.1
START_SECONDS = 300.0
GIGABYTE = 10**9

Answer = dict[str, Any]


class Work(Protocol):
    """Settings of workers, a dataclass of JSON values."""

    # Module whose ``main`` a worker process runs.
    program: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def limit(self, request: Any) -> float:
        """Seconds that the answer to a request may take."""
        ...


class WorkerStartError(RuntimeError):
    """A worker process ended before its first file."""


class Worker:
    """One child process, ready after `start`.

    Args:
        settings: settings to send it.
        max_memory: limit on its resident memory in bytes.
    """

    def __init__(self, settings: Work, max_memory: float) -> None:
        self._limit = START_SECONDS
        self._max_memory = max_memory
        self._lock = threading.Lock()
        self._since: float | None = None
        self._reason: str | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # open while the process runs
        paths = [os.path.abspath(entry) for entry in sys.path]
        start = f"import sys; sys.path[:] = {paths!r}; "
        # Each worker has one core, so numerical libraries get one thread.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-c", start + f"from {settings.program} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **one},
            # So that Ctrl-C in the terminal reaches only the parent.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows
        )
        self._settings = settings
        self.model = ""

    def start(self) -> None:
        """Wait until the model is loaded.

        Raises:
            WorkerStartError: it cannot be loaded; the message says why.
        """
        answer = self._ask(asdict(self._settings))
        if "model" not in answer:
            raise WorkerStartError(answer["error"])
        self.model = str(answer["model"])

    def ask(self, request: Any) -> Answer:
        """The worker's answer to a JSON value, or ``{"error": reason}`` if the worker dies."""
        self._limit = self._settings.limit(request)
        return self._ask(request)

    def _ask(self, request: object) -> Answer:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            self._since = time.monotonic()
        line = b""
        try:
            stdin.write(json_text(request, ascii=True).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except OSError:
            pass  # the process ended before it read the request
        with self._lock:
            self._since = None
        if line.endswith(b"\n"):
            answer: Answer = json.loads(line)
            return answer
        if self._reason:
            return {"error": self._reason}
        error = self._exit_reason()
        return {"error": error, "transient": self._process.returncode == -9}

    def _exit_reason(self) -> str:
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            out_of_memory = ", perhaps out of memory" if name == "SIGKILL" else ""
            return f"the worker process crashed ({name}{out_of_memory})"
        if code > 0xFFFF:  # how Windows says it
            return f"the worker process crashed (0x{code:08X})"
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"the worker process ended with code {code}" + (f": {words[-1]}" if words else "")

    def watch(self) -> None:
        """Kill the process if it exceeds its time or memory."""
        with self._lock:
            if self._since is None or self._reason:
                return
            if time.monotonic() - self._since > self._limit:
                self._reason = f"took longer than {self._limit:g} s"
            elif self._memory() > self._max_memory:
                self._reason = f"needed more than {self._max_memory / GIGABYTE:g} GB of memory"
            else:
                return
            self._process.kill()

    def usable(self) -> bool:
        """Whether the process runs and has at least half of its memory left for the next file."""
        return (
            self._reason is None
            and self._process.poll() is None
            and self._memory() < self._max_memory / 2
        )

    def _memory(self) -> int:
        """Resident memory in bytes; 0 on systems without ``/proc``."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """Kill the process; a thread waiting for its answer gets an error."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            with contextlib.suppress(OSError):  # flushing a request that it never read
                stream.close()


class Seat:
    """One worker at a time, replaced when it has died or holds much memory."""

    def __init__(self, settings: Work, max_memory: float) -> None:
        self._settings = settings
        self._max_memory = max_memory
        self._worker: Worker | None = None
        self.model = ""

    def start(self) -> None:
        """Make sure that a worker is ready for a file.

        Raises:
            WorkerStartError: it cannot start; the message says why.
        """
        if self._worker is not None and not self._worker.usable():
            self._worker.close()
            self._worker = None
        if self._worker is None:
            self._worker = Worker(self._settings, self._max_memory)
            self._worker.start()
            self.model = self._worker.model

    def ask(self, request: Any) -> Answer:
        """See `Worker.ask`; also raises as `start`."""
        self.start()
        assert self._worker is not None
        return self._worker.ask(request)

    def watch(self) -> None:
        """See `Worker.watch`."""
        if (worker := self._worker) is not None:
            worker.watch()

    def kill(self) -> None:
        """See `Worker.kill`."""
        if (worker := self._worker) is not None:
            worker.kill()

    def close(self) -> None:
        """End the worker."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()


class Pool:
    """Workers for a list of files; a context manager that leaves no process behind.

    Args:
        count: maximum number of workers.
        settings: settings for each worker.
        max_memory: limit on the resident memory of each worker in bytes.
    """

    def __init__(self, count: int, settings: Work, max_memory: float) -> None:
        self._count = count
        self._settings = settings
        self._max_memory = max_memory
        self._todo: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Path, Answer] | Exception | None] = queue.SimpleQueue()
        self._seats: set[Seat] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def __enter__(self) -> Pool:
        self._threads.append(threading.Thread(target=self._watch, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            while thread.is_alive():  # it may just be starting another worker
                for seat in list(self._seats):
                    seat.kill()
                thread.join(POLL_SECONDS)
        for seat in list(self._seats):
            self._end(seat)

    def run(
        self, files: Iterable[Path], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Path, str, Answer]]:
        """Yield each file with the model's name and the answer, as workers finish.

        Ends early once ``stop`` returns true; it is polled several times a second.

        Raises:
            WorkerStartError: a worker cannot start; the message says why.
        """
        for path in files:
            self._todo.put(path)
        first = self._seat()
        first.start()  # before the others, to report a model that cannot load just once
        serving = max(1, min(self._count, self._todo.qsize()))
        for number in range(serving):
            given = first if number == 0 else self._seat()
            thread = threading.Thread(target=self._serve, args=(given,), daemon=True)
            self._threads.append(thread)
            thread.start()
        while serving and not stop():
            try:
                item = self._done.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                serving -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                path, answer = item
                yield path, first.model, answer

    def _seat(self) -> Seat:
        seat = Seat(self._settings, self._max_memory)
        self._seats.add(seat)
        return seat

    def _serve(self, seat: Seat) -> None:
        """Give files to a seat until there are none."""
        try:
            while not self._stopping.is_set():
                try:
                    path = self._todo.get_nowait()
                except queue.Empty:
                    break
                self._done.put((path, seat.ask(os.fspath(path))))
        except Exception as error:
            self._done.put(error)
        finally:
            self._end(seat)
            self._done.put(None)

    def _end(self, seat: Seat) -> None:
        self._seats.discard(seat)
        seat.close()

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            for seat in list(self._seats):
                seat.watch()
