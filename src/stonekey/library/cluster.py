"""Work on a Ray cluster: what `stonekey.library.pool` does on one machine, and plain tasks.

Each actor of Ray Data takes one core and has one worker process of `stonekey.library.pool`, so a
file is treated as on one machine: same answers, same limits, same words for what failed. Ray starts
an actor that is lost again, elsewhere if its node is gone, and repeats what it had not answered.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from stonekey.files import sha256
from stonekey.library.pool import POLL_SECONDS, Answer, Seat, WorkerStartError
from stonekey.library.worker import WorkerSettings
from stonekey.text import json_text, to_install

# Files that an actor gets at once: few, so that little work is repeated; more for long lists, since
# each part costs the driver a few milliseconds.
FEW, MANY, PARTS = 4, 64, 50_000
# Actors on one GPU: each decodes on its own core, and decoding takes most of the time.
GPU_SHARES = 8

Item = TypeVar("Item")
Made = TypeVar("Made")


class ClusterError(RuntimeError):
    """Ray is missing, or what runs on it ended with an error."""


@contextmanager
def cluster() -> Iterator[Any]:
    """Ray, connected to the cluster of ``RAY_ADDRESS`` or one running or started here.

    Raises:
        ClusterError: there is no Ray, or no such cluster.
    """
    # Send no usage statistics, and keep Ray's log out of the command's messages.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError:
        raise ClusterError(f"the engine ray needs Ray: {to_install('ray')}") from None
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        except Exception as error:
            raise ClusterError(f"no Ray cluster: {error}") from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def places(resources: Mapping[str, float], gpu: bool = False) -> int:
    """How many actors a cluster has room for.

    Raises:
        ClusterError: it has none.
    """
    room = int(resources.get("CPU", 0))
    if gpu:
        room = min(room, int(resources.get("GPU", 0) * GPU_SHARES))
    if not room:
        raise ClusterError(f"the cluster has no {'GPU' if gpu else 'core'} to work on")
    return room


class ClusterPool:
    """Like `stonekey.library.pool.Pool`, on a cluster.

    Args:
        count: the most actors; None for one on each core, if ``settings`` name a GPU at most
            `GPU_SHARES` on each.
        settings: of the workers. Nodes that do not have the model's file get it.
        max_memory: limit on the resident memory of each worker in bytes.
    """

    def __init__(self, count: int | None, settings: WorkerSettings, max_memory: float) -> None:
        self._count = count
        self._settings = settings
        self._max_memory = max_memory

    def __enter__(self) -> ClusterPool:
        self._context = cluster()
        self._ray = self._context.__enter__()
        self._ended = threading.Event()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        self._context.__exit__(*error)

    def run(
        self, files: Iterable[Path], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Path, str, Answer]]:
        """See `stonekey.library.pool.Pool.run`; also raises ClusterError."""
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._pump, args=(list(files), done), daemon=True).start()
        while not stop():
            try:
                item = done.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            for path, model, answer in zip(*item.values(), strict=True):
                yield Path(os.fsdecode(path)), model, json.loads(answer)

    def _pump(self, files: list[Path], done: queue.SimpleQueue[Any]) -> None:
        """Put the columns of each part that is done into a queue, at the end None or an error."""
        try:
            for part in self._parts(files):
                if self._ended.is_set():
                    return
                if failed := next(filter(None, part.pop("failed")), None):
                    raise WorkerStartError(failed)
                done.put(part)
            done.put(None)
        except (WorkerStartError, ClusterError) as error:
            done.put(error)
        except Exception as error:  # Ray's errors have no narrower base class
            done.put(ClusterError(f"the cluster: {error}"))

    def _parts(self, files: list[Path]) -> Iterator[dict[str, list[Any]]]:
        import pyarrow
        import ray.data

        # Not on the standard error of a command, between its messages.
        for name in ("ray.data", "ray"):
            logging.getLogger(name).setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        gpu = self._settings.options.get("device", "cpu") != "cpu"
        most = self._count or places(self._ray.cluster_resources(), gpu)
        size = min(MANY, max(FEW, len(files) // PARTS))
        parts = [
            pyarrow.table({"path": [os.fsencode(path) for path in files[first : first + size]]})
            for first in range(0, len(files), size)
        ]
        most = min(most, len(parts))
        model = Path(self._settings.model)
        data = ray.data.from_arrow(parts).map_batches(
            _Actor,
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=most, max_size=most),
            num_cpus=1,
            num_gpus=1 / GPU_SHARES if gpu else 0,
            fn_constructor_args=(
                asdict(self._settings),
                self._max_memory,
                (sha256(model), model.read_bytes()),
            ),
        )
        for table in data.iter_batches(batch_size=None, batch_format="pyarrow"):
            columns: dict[str, list[Any]] = table.to_pydict()  # type: ignore[union-attr]
            yield columns


class _Actor:
    """Answers for a part of the files; it keeps its worker process, and so the model."""

    def __init__(
        self, settings: dict[str, Any], max_memory: float, model: tuple[str, bytes]
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        work = WorkerSettings(**settings)
        place = Path(work.model)
        if not place.is_file() or sha256(place) != model[0]:
            place = Path(self._folder.name, place.name)
            place.write_bytes(model[1])
        self._seat = Seat(replace(work, model=str(place)), max_memory)
        threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self, part: Any) -> Any:
        import pyarrow

        paths = part["path"].to_pylist()
        answers, failed = [], ""
        try:
            answers = [json_text(self._seat.ask(os.fsdecode(path)), ascii=True) for path in paths]
        except WorkerStartError as error:
            failed = str(error)
        rows = {"path": paths, "model": [self._seat.model] * len(paths)}
        answers += ["{}"] * (len(paths) - len(answers))
        return pyarrow.table({**rows, "answer": answers, "failed": [failed] * len(paths)})

    def _watch(self) -> None:
        while True:
            self._seat.watch()
            threading.Event().wait(POLL_SECONDS)


def tasks(
    function: Callable[[Item], Made], items: Sequence[Item], workers: int | None = None
) -> Iterator[Made]:
    """Yield ``function(item)`` for each item as they come, each a task on one core of a cluster.

    A task that is lost with its worker or node is done again, three times.

    Raises:
        ClusterError: no cluster, or a task that is lost again and again. What a function raises
            itself comes as it is.
    """
    with cluster() as ray:
        remote = ray.remote(num_cpus=1, max_retries=3)(function)
        waiting = iter(items)
        running: list[Any] = []
        while True:
            # Two for each core, so that none waits for the next.
            for item in waiting:
                running.append(remote.remote(item))
                if len(running) >= (workers or 2 * places(ray.cluster_resources())):
                    break
            if not running:
                return
            (done,), running = ray.wait(running, num_returns=1)
            try:
                yield ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                raise ClusterError(f"the cluster: {error}") from error
