"""A run over a library: find what is left to do, let workers do it, write the results."""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stonekey.estimate.settings import EstimatorSettings
from stonekey.files import LockedError, core_count, hidden_name, locked, sha256
from stonekey.keys import NOTATIONS
from stonekey.library.base import Store
from stonekey.library.cluster import ClusterError, ClusterPool
from stonekey.library.pool import GIGABYTE, Answer, Pool, WorkerStartError
from stonekey.library.result import ESSENTIAL, Result, path_text
from stonekey.library.sources import Found, find
from stonekey.library.store import open_store
from stonekey.library.worker import WorkerSettings
from stonekey.model.registry import DEFAULT_MODEL, find_model
from stonekey.options import one_of
from stonekey.text import is_address, one_line

ENGINES = ("local", "ray")
ESTIMATOR = "stonekey.estimate.estimator:KeyEstimator"


class ScanError(RuntimeError):
    """A run cannot continue although its settings are valid; finished results are kept."""


@dataclass
class Summary:
    """The outcome of a run.

    Attributes:
        output: the output file.
        files: number of files in the sources.
        analysed: number of files analysed in this run, including failures.
        kept: number of files known from earlier runs, including failures.
        tagged: number of files left out because their tags have a key.
        off_key: number of files left out because their tags say that they have none.
        repeated: number of paths left out because they lead to a file already in the list.
        without_key: number of files without a key, or with one below the confidence asked for.
        failed: files that failed, in this run or earlier, and folders that could not be listed,
            each with the reason.
        keys: number of files in each key, in the output's notation, most common first.
        seconds: duration of the run.
        interrupted: whether the run was stopped early; the same call continues it.
    """

    output: Path
    files: int = 0
    analysed: int = 0
    kept: int = 0
    tagged: int = 0
    off_key: int = 0
    repeated: int = 0
    without_key: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False


def scan(
    sources: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    workers: int | None = None,
    max_memory: float = 2.0,
    skip_tagged: bool = False,
    min_confidence: float = 0.0,
    notation: str = "musical",
    extensions: Iterable[str] | None = None,
    settings: EstimatorSettings | None = None,
    retry_failed: bool = False,
    prune: bool = False,
    engine: str = "local",
    estimator: str = ESTIMATOR,
    on_start: Callable[[int, int], object] = lambda todo, kept: None,
    on_result: Callable[[Path, str | None], object] = lambda path, error: None,
    stop: Callable[[], bool] = lambda: False,
    **options: Any,
) -> Summary:
    """Find the keys of all files in a library and write each to ``output`` once it is known.

    The same call continues a run that ended early, even one that was killed. A file is analysed
    again only if its size, its modification time, the model or a setting that changes answers
    differs from the output. Rows of files outside ``sources`` stay.

    Args:
        sources: folders and files, lists of files, addresses (`stonekey.library.sources.find`).
        output: ``.csv``, ``.jsonl``, ``.sqlite`` or ``.parquet`` (needs pyarrow); without a
            suffix a folder of Parquet files, on a disk or at an address for fsspec.
        model: name or path of a model.
        workers: number of processes; None for one per core, or for one if the device is not a CPU.
        max_memory: limit on a worker's memory in gigabytes (10^9 bytes; enforced on Linux).
        skip_tagged: leave out files that have a key in their tags, or "off key".
        min_confidence: write no key below this confidence, 0 to 1.
        notation: how to write ``key`` (`stonekey.keys.NOTATIONS`).
        extensions: file extensions to look for in folders; None for all known ones.
        settings: settings of the estimator, except ``threads`` (1) and ``min_confidence``. A
            worker is killed when a file takes longer than ``timeout``.
        retry_failed: analyse files that failed again, even if they have not changed.
        prune: drop rows of files outside ``sources``.
        engine: "local", or "ray" for a Ray cluster (`stonekey.library.cluster`), where ``workers``
            is the most of them, by default one for each core of the cluster.
        estimator: "module:name" of a replacement for `stonekey.KeyEstimator`, which each
            worker imports and calls in the same way.
        on_start: called once with the number of files to analyse and of those already known.
        on_result: called for each analysed file with its path and its error, or None.
        stop: polled several times a second; the run ends early once it returns true.
        options: settings by name, such as ``fast=True``; they override ``settings``.

    Raises:
        ValueError: a setting is out of range.
        FileNotFoundError: a source does not exist.
        CheckpointError: the model cannot be loaded.
        StoreError: the output is another kind of file or cannot be written.
        ScanError: another run is writing the output, or the workers cannot start.
    """
    began = time.monotonic()
    one_of("notation", notation, NOTATIONS)
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence must be 0 to 1, got {min_confidence}")
    ours = {"threads": 1, "min_confidence": 0.0}
    settings = replace(settings or EstimatorSettings(), **{**options, **ours})
    if max_memory <= 0:
        raise ValueError("max_memory must be above 0")
    one_of("engine", engine, ENGINES)
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    # Follow a link to the real output, so that it stays a link.
    path = Path(output)
    if not is_address(path):
        path = Path(os.path.realpath(path.expanduser()))
    store = open_store(path)
    weights = find_model(model)  # here, so that workers need not fetch it
    work = WorkerSettings(
        str(weights.absolute()), estimator, asdict(settings), skip_tagged, settings.timeout
    )
    run = _Run(store, Summary(path), _fingerprint(weights, settings), notation, min_confidence)
    try:
        with _alone(path):
            found = find(sources, extensions)
            try:
                todo = run.plan(found, retry_failed, prune)
                on_start(len(todo), run.summary.kept)
                if todo:
                    with _pool(engine, workers, work, max_memory * GIGABYTE) as pool:
                        for file, name, answer in pool.run(todo, stop):
                            on_result(file, run.take(file, name, found.files[file], answer))
                run.summary.interrupted = stop() and run.left > 0
                run.finish()
            finally:
                store.close()
            run.summarise(found)
    except LockedError as error:
        raise ScanError(f"{path}: another run is writing it") from error
    except WorkerStartError as error:
        raise ScanError(f"the workers cannot start: {error}") from error
    except ClusterError as error:
        raise ScanError(str(error)) from error
    run.summary.seconds = time.monotonic() - began
    return run.summary


def _pool(engine: str, workers: int | None, work: WorkerSettings, memory: float) -> Any:
    if engine == "ray":
        return ClusterPool(workers, work, memory)
    default = core_count() if work.options["device"] == "cpu" else 1
    return Pool(workers or default, work, memory)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the output's lock; an address has none."""
    if is_address(path):
        yield
        return
    with locked(path.with_name(hidden_name(path, "lock")), path):
        _sweep(path)
        yield


def _sweep(path: Path) -> None:
    """Delete files that a killed run left from `write_atomically`; call it with the lock held."""
    for left in path.parent.glob(f"{glob.escape(hidden_name(path))}????????"):
        left.unlink(missing_ok=True)


def _fingerprint(weights: Path, settings: EstimatorSettings) -> str:
    known = list(settings.identity.items())
    # The first three have no names, so that old fingerprints stay valid.
    values = (*(value for _, value in known[:3]), *known[3:])
    text = f"{sha256(weights)} {values!r}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Run:
    """The results of a run in progress."""

    def __init__(
        self, store: Store, summary: Summary, fingerprint: str, notation: str, minimum: float
    ) -> None:
        self.store = store
        self.summary = summary
        self.left = 0
        self._fingerprint = fingerprint
        self._notation = notation
        self._minimum = minimum
        self._results: dict[Path, Result] = {}
        self._superseded = False

    def plan(self, found: Found, retry_failed: bool, prune: bool) -> list[Path]:
        """Update the rows from earlier runs; returns the files to analyse."""
        todo = set(found.files)
        for result in self.store.read(strict=True):
            status = found.files.get(result.path)
            if status is None:
                if prune:
                    continue
            elif status != (result.size, result.mtime):
                continue  # stale: the file has changed
            elif self._holds(result) and not (retry_failed and result.error is not None):
                todo.discard(result.path)
            # A row from another model or settings stays until the new one replaces it.
            self._results[result.path] = result.with_label(
                result.label, self._notation, self._minimum
            )
        self.store.rewrite(self._results.values())
        self.left = len(todo)
        self.summary.files = len(found.files)
        self.summary.kept = len(found.files) - len(todo)
        self.summary.repeated = found.repeated
        return [path for path in found.files if path in todo]

    def _holds(self, result: Result) -> bool:
        """Whether analysing an unchanged file again would give the same result."""
        if result.fingerprint != self._fingerprint:
            return False
        return not result.withheld or (result.confidence or 0.0) < self._minimum

    def take(self, path: Path, model: str, status: tuple[int, float], answer: Answer) -> str | None:
        """Write a worker's answer; returns the error in it, or None."""
        self.left -= 1
        if "tagged" in answer:
            self.summary.tagged += answer["tagged"] is not None
            self.summary.off_key += answer["tagged"] is None
            return None
        self.summary.analysed += 1
        record = {**dict.fromkeys(ESSENTIAL), "size": status[0], "mtime": status[1], **answer}
        record["path"] = path_text(path)
        record["model"] = one_line(model)
        # Without a fingerprint, the next run tries the file again.
        record["fingerprint"] = "" if answer.get("transient") else self._fingerprint
        record["error"] = one_line(answer.get("error") or "")
        record["warnings"] = list(map(one_line, answer.get("warnings", ())))
        result = Result.from_dict(record)
        result = result.with_label(result.label, self._notation, self._minimum)
        self._superseded = self._superseded or path in self._results
        self._results.pop(path, None)
        self._results[path] = result
        self.store.append(result)
        return result.error

    def finish(self) -> None:
        """Leave one row for each file, and complete the output."""
        if self._superseded:
            self.store.rewrite(self._results.values())
        if not self.summary.interrupted:
            self.store.finish()

    def summarise(self, found: Found) -> None:
        """Count the results of all files in the sources, from this run and earlier ones."""
        summary = self.summary
        summary.failed += found.problems
        counts: Counter[str] = Counter()
        for path in found.files:
            result = self._results.get(path)
            if result is None or result.fingerprint not in (self._fingerprint, ""):
                continue
            if result.error is not None:
                summary.failed.append((path, result.error))
            elif result.key is None:
                summary.without_key += 1
            else:
                counts[result.key] += 1
        summary.keys = dict(counts.most_common())
