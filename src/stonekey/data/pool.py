"""Worker processes that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def worker_pool(
    workers: int, start: Callable[..., object] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """A pool of so many processes, each of which first calls ``start(*arguments)``.

    They are spawned, not forked: torch's threads and a decoder's locks do not survive a fork.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _begin, (start, arguments))


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
