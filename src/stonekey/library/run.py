"""A run over a library: what is left to do, who does it, what becomes of it."""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from stonekey.audio.tuning import TuneOption, checked_option
from stonekey.keys import NOTATIONS, Key, KeySignature
from stonekey.library.lock import LockedError, locked
from stonekey.library.pool import GIGABYTE, Answer, Pool, WorkerStartError
from stonekey.library.result import Result
from stonekey.library.sources import Found, find
from stonekey.library.store import Store, open_store
from stonekey.library.worker import WorkerSettings
from stonekey.model.registry import DEFAULT_MODEL, find_model
from stonekey.text import one_line

ESTIMATOR = "stonekey.estimate.estimator:KeyEstimator"


class ScanError(RuntimeError):
    """A run that cannot go on, though its settings are right; what is done is kept."""


@dataclass
class Summary:
    """What became of a run.

    Attributes:
        output: the file of results.
        files: how many files the sources hold.
        analysed: how many were analysed now, failures among them.
        kept: how many were known from earlier runs, failures among them.
        tagged: how many were left out because their tags have a key.
        repeated: how many paths were left out because they lead to a file that is in.
        without_key: how many have no key, or none of the confidence asked for.
        failed: files without a result, now or earlier, and folders that could not be listed;
            each with the reason.
        keys: how many files have each key, the commonest first, in the output's notation.
        seconds: how long the run took.
        interrupted: it was stopped before it was done; the same call goes on.
    """

    output: Path
    files: int = 0
    analysed: int = 0
    kept: int = 0
    tagged: int = 0
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
    timeout: float | None = None,
    max_memory: float = 2.0,
    skip_tagged: bool = False,
    min_confidence: float = 0.0,
    notation: str = "musical",
    extensions: Iterable[str] | None = None,
    overlap: float = 0.0,
    published_segments: bool = False,
    tune: TuneOption = "auto",
    device: str = "cpu",
    backend: str = "auto",
    retry_failed: bool = False,
    prune: bool = False,
    estimator: str = ESTIMATOR,
    on_start: Callable[[int, int], object] = lambda todo, kept: None,
    on_result: Callable[[Path, str | None], object] = lambda path, error: None,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Find the keys of all files of a library and write them to ``output`` as they come.

    A run that ends early, killed or not, is continued by the same call. A file is analysed
    again when its size, its modification time, the model or a setting that changes answers
    is another than in the output; rows of files that are not in ``sources`` stay.

    Args:
        sources: folders and files.
        output: ``.csv``, ``.jsonl``, ``.sqlite`` or ``.parquet`` (needs pyarrow).
        model: name or path of a model.
        workers: processes; None for one on each core, or one alone on another device.
        timeout: seconds that a file may take, or its worker is killed; None for a limit by the
            file's size (`stonekey.audio.deadline.time_limit`).
        max_memory: gigabytes (10^9 bytes) of memory that a worker may hold (on Linux).
        skip_tagged: leave out files that have a key in their tags.
        min_confidence: write no key of a lower confidence, 0 to 1.
        notation: how ``key`` is written (`stonekey.keys.NOTATIONS`).
        extensions: endings to look for in folders; None for all known ones.
        overlap: as for `stonekey.KeyEstimator`, like the next four.
        published_segments: see there.
        tune: see there.
        device: see there.
        backend: see there.
        retry_failed: analyse files again that have failed, though they are unchanged.
        prune: drop the rows of files that are not in ``sources``.
        estimator: "module:name" of a replacement for `stonekey.KeyEstimator`, which each
            worker imports and calls alike.
        on_start: called once with how many files are to be analysed and how many are known.
        on_result: called for each analysed file with its path and None or the failure.
        stop: asked all the time; when true, the run ends early.

    Raises:
        ValueError: for a setting out of range.
        FileNotFoundError: when a source does not exist.
        CheckpointError: when the model cannot be had.
        StoreError: when the output is another kind of file or cannot be written.
        ScanError: when another run has the output, or workers cannot start.
    """
    began = time.monotonic()
    if notation not in NOTATIONS:
        raise ValueError(f"notation must be one of {', '.join(NOTATIONS)}, got {notation!r}")
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence must be 0 to 1, got {min_confidence}")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be at least 0 and below 1, got {overlap}")
    if (timeout is not None and timeout <= 0) or max_memory <= 0:
        raise ValueError("timeout and max_memory must be above 0")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    # Through a link to the output itself, so that the link stays one.
    path = Path(os.path.realpath(Path(output).expanduser()))
    store = open_store(path)
    weights = find_model(model)  # fetched here, once
    settings = WorkerSettings(
        str(weights.absolute()),
        estimator,
        {
            "device": device,
            "backend": backend,
            "threads": 1,
            "overlap": overlap,
            "published_segments": published_segments,
            "tune": checked_option(tune),
            "timeout": timeout,
        },
        skip_tagged,
        timeout,
    )
    run = _Run(
        store,
        Summary(path),
        _fingerprint(weights, overlap, published_segments, checked_option(tune)),
        notation,
        min_confidence,
    )
    try:
        with locked(path.with_name(f".{path.name}.lock")):
            _sweep(path)
            found = find(sources, extensions)
            try:
                todo = run.plan(found, retry_failed, prune)
                on_start(len(todo), run.summary.kept)
                if todo:
                    count = workers or (_cores() if device == "cpu" else 1)
                    with Pool(count, settings, max_memory * GIGABYTE) as pool:
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
    run.summary.seconds = time.monotonic() - began
    return run.summary


def _sweep(path: Path) -> None:
    """Remove what `write_atomically` left of a killed run; the lock is held."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        left.unlink(missing_ok=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fingerprint(weights: Path, *settings: object) -> str:
    from stonekey.model.checkpoint import sha256

    text = f"{sha256(weights)} {settings!r}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Run:
    """The results of a run while it goes on."""

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
        """Bring the output into shape for this run; returns the files to analyse."""
        todo = set(found.files)
        for result in self.store.read(ours=True):
            status = found.files.get(result.path)
            if status is None:
                if prune:
                    continue
            elif status != (result.size, result.mtime):
                continue  # of no worth any more
            elif self._holds(result) and not (retry_failed and result.error is not None):
                todo.discard(result.path)
            # A row of another model is replaced only when the new one is there.
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
        """Whether an unchanged file's result is what an analysis would give."""
        if result.fingerprint != self._fingerprint:
            return False
        return not result.withheld or (result.confidence or 0.0) < self._minimum

    def take(self, path: Path, model: str, status: tuple[int, float], answer: Answer) -> str | None:
        """Write a worker's answer; returns why there is no result, or None."""
        self.left -= 1
        if "tag" in answer:
            self.summary.tagged += 1
            return None
        self.summary.analysed += 1
        error = answer.get("error")
        result = Result(
            path,
            size=answer.get("size", status[0]),
            mtime=answer.get("mtime", status[1]),
            model=one_line(model),
            # Without one the file is tried again in the next run.
            fingerprint="" if answer.get("passing") else self._fingerprint,
            confidence=answer.get("confidence"),
            duration=answer.get("duration"),
            tuning=answer.get("tuning"),
            error=None if error is None else one_line(error),
            warnings=tuple(map(one_line, answer.get("warnings", ()))),
        )
        if text := answer.get("label"):
            label = KeySignature.parse(text) if "/" in text else Key.parse(text)
            result = result.with_label(label, self._notation, self._minimum)
        self._superseded = self._superseded or path in self._results
        self._results.pop(path, None)
        self._results[path] = result
        self.store.append(result)
        return result.error

    def finish(self) -> None:
        """Leave one row a file."""
        if self._superseded:
            self.store.rewrite(self._results.values())
        if not self.summary.interrupted:
            self.store.finish()

    def summarise(self, found: Found) -> None:
        """Count the results of the run's files, whether they are of today or not."""
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
