"""A worker process: estimates one file after the other for `stonekey.library.pool`.

It speaks JSON lines: on standard input the settings, then a path a line; on its first
standard output ``{"model": name}`` when it is ready, then an answer for each path. Anything
that a decoder prints goes elsewhere.
"""

from __future__ import annotations

import errno
import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stonekey.audio.deadline import time_limit
from stonekey.estimate.result import KeyEstimate
from stonekey.text import json_text

_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EAGAIN", "EDQUOT", "EMFILE", "ENFILE", "ENOENT", "ENOMEM", "ENOSPC", "ESTALE",
    )
    if hasattr(errno, name)
)  # fmt: skip
# Beyond the limit that the parent keeps: only a worker without a parent gets this far.
ORPHAN_SECONDS = 10.0


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know.

    Attributes:
        model: path of the model's file.
        estimator: "module:name" of what is called with the model and the options of
            `stonekey.estimate.estimator.KeyEstimator`, and gives an estimator like it.
        options: these options.
        skip_tagged: leave out files that have a key in their tags.
        timeout: seconds a file may take; None for a limit by its size.
    """

    model: str
    estimator: str
    options: dict[str, Any]
    skip_tagged: bool
    timeout: float | None

    def limit(self, path: Path) -> float:
        """Seconds that this file may take."""
        return time_limit(path) if self.timeout is None else self.timeout


def main() -> None:
    """Serve until standard input ends."""
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    requests = sys.stdin.buffer

    def send(answer: dict[str, Any]) -> None:
        data = json_text(answer, ascii=True).encode() + b"\n"
        while data:
            data = data[os.write(channel, data) :]

    try:
        settings = WorkerSettings(**json.loads(requests.readline()))
        try:
            module, name = settings.estimator.split(":")
            make = getattr(import_module(module), name)
            estimator = make(settings.model, **settings.options)
        except Exception as error:  # told by the parent, whatever it is
            send({"error": str(error) or type(error).__name__})
            return
        send({"model": estimator.info.name})
        os.dup2(nowhere, 2)
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        for line in requests:
            path = Path(json.loads(line))
            # Ends this process even where a decoder never gives control back to Python.
            faulthandler.dump_traceback_later(
                settings.limit(path) + ORPHAN_SECONDS, exit=True, file=nowhere
            )
            send(_answer(path, estimator, settings.skip_tagged))
            faulthandler.cancel_dump_traceback_later()
    except (BrokenPipeError, KeyboardInterrupt):  # the parent is gone
        os._exit(1)


def _end_with(parent: int) -> None:
    """End this process when its parent was killed, be it in the middle of a file."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _answer(
    path: Path, estimator: Callable[[Path], KeyEstimate], skip_tagged: bool
) -> dict[str, Any]:
    from stonekey.text import reason

    answer: dict[str, Any] = {}
    try:
        # Before it is read: if it changes meanwhile, the next run sees that.
        status = path.stat()
        answer.update(size=status.st_size, mtime=status.st_mtime)
        if skip_tagged and (tag := _tagged_key(path)):
            return {**answer, "tag": tag}
        estimate = estimator(path)
    except Exception as error:  # one bad file must not end the run, whatever is wrong
        return {**answer, "error": reason(error), "passing": passing(error)}
    return {
        **answer,
        "label": estimate.label and str(estimate.label),
        "confidence": round(estimate.confidence, 4),
        "duration": round(estimate.duration, 3),
        "tuning": None if estimate.tuning is None else round(estimate.tuning, 1),
        "warnings": list(estimate.warnings),
    }


def passing(error: BaseException) -> bool:
    """Whether the machine is at fault, or somebody's settings, and not what the file holds."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or (isinstance(seen, OSError) and seen.errno in _PASSING):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _tagged_key(path: Path) -> str | None:
    from stonekey.tags import read_key

    try:
        found = read_key(path)
    except Exception:  # damaged tags are no reason to leave a file out
        return None
    return str(found) if found else None
