"""A worker process of `stonekey.library.pool`, and the one that estimates a library's files.

It speaks JSON lines. Standard input has the settings, then one request a line; of a library's
worker, a path. Standard output has ``{"model": name}`` once the model is loaded, then one answer
for each request. Anything that decoders print is discarded.
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
from typing import Any, ClassVar, Protocol

from stonekey.audio.deadline import time_limit
from stonekey.estimate.result import KeyEstimate
from stonekey.files import local_copy
from stonekey.keys import NO_KEY, Key, non_key
from stonekey.tags import read_key
from stonekey.text import json_text, reason

# Errors that are likely to go away, whatever is in the file.
_TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EAGAIN", "EDQUOT", "EMFILE", "ENFILE", "ENOENT", "ENOMEM", "ENOSPC", "ESTALE",
    )
    if hasattr(errno, name)
)  # fmt: skip
# On top of the parent's own limit: only a worker without a parent gets this far.
ORPHAN_SECONDS = 10.0


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker.

    Attributes:
        model: path of the model's file.
        estimator: "module:name" of a callable that takes the model and ``options`` and returns an
            estimator, like `stonekey.estimate.estimator.KeyEstimator`.
        options: keyword arguments for it.
        skip_tagged: leave out files that have a key in their tags, or "off key".
        timeout: limit for one file in seconds; None for a limit by its size.
    """

    model: str
    estimator: str
    options: dict[str, Any]
    skip_tagged: bool
    timeout: float | None

    program: ClassVar[str] = __name__

    def limit(self, path: str) -> float:
        """Seconds that this file may take."""
        return time_limit(path) if self.timeout is None else self.timeout


class Server(Protocol):
    """What answers the requests; ``model`` is the name of its model."""

    model: str

    def limit(self, request: Any) -> float:
        """Seconds that the answer may take."""
        ...

    def answer(self, request: Any) -> dict[str, Any]:
        """The answer to a request; it raises nothing."""
        ...


def main() -> None:
    """Estimate the files of a library."""
    serve(_Library)


def serve(prepare: Callable[[dict[str, Any]], Server]) -> None:
    """Answer requests until standard input ends.

    Args:
        prepare: makes what answers from the settings; its error is the reason not to start.
    """
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    requests = sys.stdin.buffer

    def send(answer: dict[str, Any]) -> None:
        data = json_text(answer, ascii=True).encode() + b"\n"
        while data:
            data = data[os.write(channel, data) :]

    try:
        try:
            server = prepare(json.loads(requests.readline()))
        except Exception as error:  # of any kind: the parent reports it
            send({"error": str(error) or type(error).__name__})
            return
        send({"model": server.model})
        os.dup2(nowhere, 2)
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        for line in requests:
            request = json.loads(line)
            # Ends this process even if a decoder never returns to Python.
            faulthandler.dump_traceback_later(
                server.limit(request) + ORPHAN_SECONDS, exit=True, file=nowhere
            )
            send(server.answer(request))
            faulthandler.cancel_dump_traceback_later()
    except (BrokenPipeError, KeyboardInterrupt):  # the parent is gone
        os._exit(1)


class _Library:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = WorkerSettings(**settings)
        module, name = self._settings.estimator.split(":")
        make = getattr(import_module(module), name)
        self._estimator = make(self._settings.model, **self._settings.options)
        self.model = self._estimator.info.name
        self.limit = self._settings.limit

    def answer(self, path: str) -> dict[str, Any]:
        return _answer(Path(path), self._estimator, self._settings.skip_tagged)


def _end_with(parent: int) -> None:
    """End this process soon after its parent is killed, even in the middle of a file."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _answer(
    path: Path, estimator: Callable[[Path], KeyEstimate], skip_tagged: bool
) -> dict[str, Any]:
    try:
        with local_copy(path) as copy:
            return _answer_here(copy, estimator, skip_tagged, copy is path)
    except Exception as error:  # only the copying raises
        return {"error": reason(error), "transient": True}


def _answer_here(
    path: Path, estimator: Callable[[Path], KeyEstimate], skip_tagged: bool, original: bool
) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    try:
        # Look before reading: if the file changes meanwhile, the next run notices.
        status = path.stat()
        if original:
            answer.update(size=status.st_size, mtime=status.st_mtime)
        tagged = _tagged(path) if skip_tagged else None
        if isinstance(tagged, Key):
            return {**answer, "tagged": str(tagged)}
        if tagged is not None and non_key(tagged) == NO_KEY:
            return {**answer, "tagged": None}
        estimate = estimator(path)
    except Exception as error:  # of any kind: one bad file must not end the run
        return {**answer, "error": reason(error), "transient": _is_transient(error)}
    answer.update(estimate.to_dict(top=0))
    if tagged is not None:
        answer["warnings"].append(f"the key in its tags is none: {tagged!r}")
    return answer


def _is_transient(error: BaseException) -> bool:
    """Whether the machine or its settings are to blame, rather than the contents of the file."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return True
        if isinstance(seen, OSError) and seen.errno in _TRANSIENT:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _tagged(path: Path) -> Key | str | None:
    try:
        return read_key(path)
    except Exception:  # damaged tags are no reason to leave a file out
        return None
