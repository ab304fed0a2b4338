"""Worker processes that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from stonekey.files import core_count

Item = TypeVar("Item")
Made = TypeVar("Made")


def worker_pool(
    workers: int, start: Callable[..., object] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """A pool of so many processes, each of which first calls ``start(*arguments)``.

    They are spawned, not forked: torch's threads and a decoder's locks do not survive a fork.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _begin, (start, arguments))


def mapped(
    function: Callable[[Item], Made],
    items: Sequence[Item],
    workers: int | None,
    engine: str = "local",
    title: str = "",
) -> Iterator[Made]:
    """Yield ``function(item)`` for each item, as they come.

    Args:
        function: of a module; where several processes work, torch has one thread in each.
        items: what is given to it.
        workers: processes, by default one per core; 1 works in this one. On a cluster, the most
            tasks at once, by default as many as there is room for.
        engine: "local", or "ray" for the tasks of a Ray cluster.
        title: of a progress bar; none without.

    Raises:
        BrokenProcessPool: a worker process died.
    """
    made: Iterable[Made]
    if engine == "ray":
        from stonekey.library.cluster import tasks

        made = tasks(function, items, workers)
    else:
        workers = min(workers or core_count(), len(items))
        made = map(function, items) if workers <= 1 else _in_processes(function, items, workers)
    if title and items:
        from rich.console import Console
        from rich.progress import track

        made = track(made, title, len(items), console=Console(stderr=True))
    yield from made


def _in_processes(
    function: Callable[[Item], Made], items: Sequence[Item], workers: int
) -> Iterator[Made]:
    pool = worker_pool(workers, _one_thread)
    try:
        for future in as_completed([pool.submit(function, item) for item in items]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _begin(start: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if start is not None:
        start(*arguments)


def _die_with_parent() -> None:
    """Leave no process behind when the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
