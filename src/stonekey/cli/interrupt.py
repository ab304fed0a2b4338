"""Ctrl-C that ends a run even where Python cannot see it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE = 10.0  # seconds between Ctrl-C and the end of a process that does not end by itself


@contextmanager
def surely_interrupted(last_words: Callable[[], int], grace: float = GRACE) -> Iterator[None]:
    """End the process some seconds after Ctrl-C if it is still in the block by then.

    Ctrl-C raises KeyboardInterrupt as ever, but only between two steps of the interpreter. A
    process that waits for another inside a library does not get there, and two that were
    interrupted at an unlucky moment wait for each other. The signal itself is seen at once: its
    number goes to a socket, at the other end of which a thread waits.

    Args:
        last_words: called by that thread before the end; returns the exit code.
        grace: seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    left = threading.Event()

    def watch() -> None:
        while number := ours.recv(1):  # nothing once the other end is closed
            if number[0] == signal.SIGINT and not left.wait(grace):
                os._exit(last_words())

    previous = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(previous)
        theirs.close()
        watcher.join()
        ours.close()
