"""``stonekey predict``: the keys of files and folders."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from stonekey.cli.common import (
    Backend,
    Device,
    Extension,
    Force,
    Interrupt,
    Model,
    Notation,
    Output,
    Overlap,
    PublishedSegments,
    Recordings,
    Threads,
    Timeout,
    Tune,
    fail,
    say,
    told_errors,
)
from stonekey.cli.output import check_output, write_result
from stonekey.keys import NOTATIONS
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import reason, shown

if TYPE_CHECKING:
    from stonekey.estimate.estimator import KeyEstimator
    from stonekey.output.records import FileResult, Layout

FORMATS = ("table", "tsv", "json", "jsonl", "csv", "npz")
SUFFIXES = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".npz": "npz",
    ".tsv": "tsv", ".txt": "tsv",
}  # fmt: skip


def predict(
    paths: Annotated[list[Path], Recordings],
    model: Model = DEFAULT_MODEL,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help=f"{', '.join(FORMATS)}. By default from the suffix of --output, else table on "
            "a terminal and tsv otherwise.",
        ),
    ] = None,
    output: Output = None,
    force: Force = False,
    notation: Notation = "musical",
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="List the K most probable keys.", metavar="K"),
    ] = None,
    extension: Extension = None,
    overlap: Overlap = 0.0,
    published_segments: PublishedSegments = False,
    tune: Tune = "auto",
    device: Device = "cpu",
    backend: Backend = "auto",
    threads: Threads = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=1, help="Files estimated at the same time.", metavar="N"),
    ] = 1,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Hear only a few segments of each file: 2 to 3 times faster."),
    ] = False,
    min_confidence: Annotated[
        float, typer.Option(help='An answer less sure than this is "no key".')
    ] = 0.0,
    min_clarity: Annotated[
        float | None,
        typer.Option(
            help='What is less clear has "no key"; 0: always answer; default: the model\'s.'
        ),
    ] = None,
    timeout: Timeout = None,
    progress: Annotated[
        bool | None,
        typer.Option(
            "--progress/--no-progress",
            help="Progress bar on standard error; by default for several files on a terminal.",
        ),
    ] = None,
) -> None:
    """Print the key of each recording.

    On a terminal a table; otherwise one line a file, tab-separated: file, key, confidence.
    With --format json a single FILE gives one object, several files or a folder an array.

    Exit code: 0 when all files were read, 1 when some were not (each is named on standard
    error and has its "error" in the output), 2 for bad usage, 130 after Ctrl-C, with the
    results so far.

    For example:

      stonekey song.mp3

      stonekey album/ --notation camelot --top 3

      stonekey music/ -e flac --format jsonl --output keys.jsonl
    """
    form = _format(format, output)
    if notation not in NOTATIONS:
        fail(f"--notation must be one of {', '.join(NOTATIONS)}, got '{notation}'")
    check_output(output, force, reads=paths)
    with told_errors():
        from stonekey.audio.tuning import checked_option
        from stonekey.estimate.estimator import KeyEstimator
        from stonekey.output.records import FileResult, Layout

        files, unlisted = _find(paths, extension)
        results = [FileResult(path, None, error) for path, error in unlisted]
        estimator = KeyEstimator(
            model,
            device,
            backend=backend,  # type: ignore[arg-type]  # checked by the estimator
            threads=threads or (1 if jobs > 1 else None),
            overlap=overlap,
            published_segments=published_segments,
            fast=fast,
            tune=checked_option(tune),
            min_confidence=min_confidence,
            min_clarity=min_clarity,
            timeout=timeout,
        )
        single = len(paths) == 1 and files == paths
        layout = Layout(estimator.info.name, estimator.class_table, notation, top, single)
        if progress is None:
            to_terminal = output is None and form not in ("table", "npz") and _is_terminal("stdout")
            progress = len(files) > 1 and _is_terminal("stderr") and not to_terminal
        if not files and not unlisted:
            kind = f"{'/'.join(extension)} files" if extension else "audio files"
            say(f"stonekey: no {kind} in {', '.join(shown(p) for p in paths)}")
        with Interrupt() as interrupt:
            run = _Run(estimator, files, results, interrupt, progress, jobs)
            _write(run.results(), form, output, layout)
    if interrupt.requested:
        say(f"stonekey: interrupted: {run.done} of {len(files)} files done")
        raise typer.Exit(130)
    if run.failed or not files:
        raise typer.Exit(1)


def _format(name: str | None, output: Path | None) -> str:
    if name is None and output is not None:
        name = SUFFIXES.get(output.suffix.lower())
        if name is None:
            fail(f"{output}: no format goes with this suffix; give --format")
    elif name is None:
        name = "table" if _is_terminal("stdout") else "tsv"
    if name not in FORMATS:
        fail(f"--format must be one of {', '.join(FORMATS)}, got '{name}'")
    if name == "npz" and output is None and _is_terminal("stdout"):
        fail("--format npz is binary: give --output FILE.npz")
    return name


def _is_terminal(name: str) -> bool:
    stream = getattr(sys, name)
    return stream is not None and stream.isatty()


def _find(
    paths: list[Path], extension: list[str] | None
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files to read, and folders that cannot be listed with the reason."""
    from stonekey.audio.files import find_audio_files, listing_problem

    endings = [e.strip() for given in extension or () for e in given.split(",") if e.strip()]
    unlisted: list[tuple[Path, str]] = []

    def note(folder: Path, error: OSError) -> None:
        unlisted.append((folder, listing_problem(error)))

    return find_audio_files(paths, endings or None, note), unlisted


class _Run:
    """Estimates files, ``jobs`` at the same time; no file's failure ends the run."""

    def __init__(
        self,
        estimator: KeyEstimator,
        files: list[Path],
        first: list[FileResult],
        interrupt: Interrupt,
        progress: bool,
        jobs: int,
    ) -> None:
        self._estimator = estimator
        self._files = files
        self._first = first
        self._interrupt = interrupt
        self._progress = progress
        self._jobs = jobs
        self.failed = 0
        self.done = 0

    def results(self) -> Iterator[FileResult]:
        for result in self._first:
            yield self._told(result)
        with ExitStack() as stack:
            files: Iterable[Path] = self._files
            if self._progress:
                from stonekey.cli.progress import tracked

                files = stack.enter_context(tracked(self._files))
            for result in self._estimated(files):
                self.done += 1
                yield self._told(result)
                if self._interrupt.requested:
                    return

    def _estimated(self, files: Iterable[Path]) -> Iterator[FileResult]:
        """The files' results in their order, up to an interruption."""
        if self._jobs == 1:
            waits: Iterator[Callable[[], FileResult]] = (partial(self._estimate, p) for p in files)
        else:
            waits = self._submitted(files)
        try:
            for wait in waits:
                self._interrupt.working = True
                try:
                    result = wait()
                finally:
                    self._interrupt.working = False
                yield result
        except KeyboardInterrupt:
            return

    def _submitted(self, files: Iterable[Path]) -> Iterator[Callable[[], FileResult]]:
        """Keep ``jobs`` threads busy; decoding and the network let them run side by side."""
        from concurrent.futures import Future, ThreadPoolExecutor

        pool = ThreadPoolExecutor(self._jobs)
        waiting: deque[Future[FileResult]] = deque()
        try:
            for path in files:
                waiting.append(pool.submit(self._estimate, path))
                if len(waiting) > 2 * self._jobs:
                    yield waiting.popleft().result
            while waiting:
                yield waiting.popleft().result
        finally:
            pool.shutdown(cancel_futures=True)

    def _estimate(self, path: Path) -> FileResult:
        from stonekey.output.records import FileResult

        try:
            return FileResult(path, self._estimator(path))
        except Exception as error:  # one bad file must not end the run, whatever is wrong
            return FileResult(path, None, reason(error))

    def _told(self, result: FileResult) -> FileResult:
        if result.error is not None:
            self.failed += 1
            say(f"stonekey: {shown(result.path)}: {result.error}")
        return result


def _write(results: Iterator[FileResult], form: str, output: Path | None, layout: Layout) -> None:
    from stonekey.output.records import WRITERS

    def write(stream: BinaryIO) -> None:
        try:
            if form == "table":
                from stonekey.cli.table import write_table

                write_table(results, stream, layout, terminal=output is None)
            else:
                WRITERS[form](results, stream, layout)
        finally:
            results.close()  # type: ignore[attr-defined]

    write_result(write, output, guarded=form != "table")
