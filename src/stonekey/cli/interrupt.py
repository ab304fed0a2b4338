"""Ctrl-C that ends a run even while Python cannot handle it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE = 10.0  # seconds a process has to end by itself after Ctrl-C


@contextmanager
def killed_after_interrupt(last_words: Callable[[], int], grace: float = GRACE) -> Iterator[None]:
    """Kill the process ``grace`` seconds after Ctrl-C if it has not left the block by then.

    Ctrl-C still raises KeyboardInterrupt, but only between two bytecodes. A process blocked
    inside a library, waiting for another process, never gets there, and two processes
    interrupted at an unlucky moment wait for each other forever. The signal itself arrives at
    once: its number goes to a socket that a thread reads.

    Args:
        last_words: that thread calls it before it kills the process; returns the exit code.
        grace: seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    left = threading.Event()

    def watch() -> None:
        while number := receiver.recv(1):  # empty once the sender is closed
            if number[0] == signal.SIGINT and not left.wait(grace):
                os._exit(last_words())

    previous = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(previous)
        sender.close()
        watcher.join()
        receiver.close()
