"""Estimators for library scans that fail in the ways that bad files make decoders fail."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from stonekey.audio.errors import UnreadableError
from stonekey.estimate.estimator import KeyEstimator
from stonekey.estimate.result import KeyEstimate


class Fragile:
    """The real estimator, except for files with certain names."""

    def __init__(self, model: str, **options: Any) -> None:
        self._real = KeyEstimator(model, **options)
        self.info = self._real.info

    def __call__(self, path: Path) -> KeyEstimate:
        kind = path.stem.split("-")[0]
        if kind == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif kind == "exit":
            os._exit(3)
        elif kind == "hang":
            time.sleep(1000)
        elif kind == "stuck":  # without returning to Python
            ctypes.PyDLL(None).sleep(1000)
        elif kind == "greedy":
            held = []
            while True:
                held.append(b"x" * 10_000_000)
        elif kind == "noise":
            os.write(1, b"a decoder's chatter\n" * 10_000)
            os.write(2, b"a decoder's chatter\n" * 10_000)
        elif kind == "denied":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        elif kind == "crowded":
            cause = OSError(errno.EMFILE, "Too many open files")
            raise UnreadableError(path, "Too many open files") from cause
        elif kind == "starved":
            raise MemoryError
        elif kind == "killed":  # as the system does when memory runs out
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "slow":
            time.sleep(0.3)
        return self._real(path)


def broken(model: str, **options: Any) -> Fragile:
    raise RuntimeError("no such device")


def crashing(model: str, **options: Any) -> Fragile:
    os._exit(9)
