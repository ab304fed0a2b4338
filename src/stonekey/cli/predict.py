"""``stonekey predict``: estimate the keys of files and folders."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stonekey.cli.common import (
    Extension,
    Force,
    Interrupt,
    Model,
    Notation,
    Output,
    Recordings,
    at_hand,
    exit_on_error,
    fail,
)
from stonekey.cli.options import with_settings
from stonekey.cli.output import (
    check_output,
    chosen_format,
    format_option,
    open_output,
    same_place,
)
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.output.progress import PATIENCE
from stonekey.output.recordings import RECORDINGS
from stonekey.text import counted, log, reason, shown

if TYPE_CHECKING:
    from stonekey.estimate.estimator import KeyEstimator
    from stonekey.output.progress import FilesBar
    from stonekey.output.records import FileResult


@with_settings()
def predict(
    *,
    paths: Annotated[list[Path], Recordings],
    model: Model = DEFAULT_MODEL,
    format: Annotated[
        str | None, format_option(RECORDINGS, "table on a terminal, else tsv")
    ] = None,
    output: Output = None,
    force: Force = False,
    notation: Notation = "musical",
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Show the K most probable keys.", metavar="K"),
    ] = None,
    extension: Extension = None,
    settings: EstimatorSettings,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=1, help="Number of files to analyse in parallel.", metavar="N"
        ),
    ] = 1,
    progress: Annotated[
        bool | None,
        typer.Option(
            "--progress/--no-progress",
            help="Show a progress bar on standard error; by default on a terminal, for several "
            "files or a long one.",
        ),
    ] = None,
) -> None:
    """Print the key of each recording.

    Prints a table on a terminal, and otherwise one line per file: file, key and confidence,
    separated by tabs. Each appears as soon as its file is done. With --format json, a single FILE
    gives an object; several files or a folder give an array. FILE may be - for standard input.

    Exit code: 0 when all files were read, 1 when some were not (each has its "error" in the
    output, and is named on standard error unless both end up in the same place), 2 for bad
    usage, 130 after Ctrl-C, which keeps the results so far.

    For example:

      stonekey song.mp3

      stonekey album/ --notation camelot --top 3

      stonekey music/ -e flac --format jsonl --output keys.jsonl
    """
    default = "table" if _is_terminal("stdout") else "tsv"
    form = chosen_format(RECORDINGS, format, output, default)
    if form.name == "npz" and output is None and _is_terminal("stdout"):
        fail("--format npz is binary; give --output FILE.npz")
    check_output(output, force, reads=paths, model=model)
    with exit_on_error():
        from stonekey.estimate.estimator import KeyEstimator
        from stonekey.output.records import FileResult, Layout

        files, unlisted = _find(paths, extension)
        results = [FileResult(path, None, error) for path, error in unlisted]
        if jobs > 1 and settings.threads is None:
            settings = replace(settings, threads=1)
        estimator = KeyEstimator(model, settings=settings)
        single = len(paths) == 1 and files == paths
        layout = Layout(
            estimator.info.name, estimator.class_table, notation, top, files, single,
            output is None,
        )  # fmt: skip
        told = output is None and form.name != "npz" and same_place(sys.stdout, sys.stderr)
        if not files and not unlisted:
            kind = f"{'/'.join(extension)} files" if extension else "audio files"
            log(f"stonekey: no {kind} in {', '.join(shown(p) for p in paths)}")
        with Interrupt() as interrupt:
            run = _Run(estimator, files, results, interrupt, jobs, told)
            if progress or (progress is None and _is_terminal("stderr")):
                run.show_progress(0.0 if progress or len(files) > 1 else PATIENCE)
            with (
                closing(run.results()) as estimated,
                open_output(output, guarded=form.name != "table") as stream,
            ):
                form.write(estimated, stream, layout)
    if interrupt.requested:
        log(f"stonekey: interrupted: {run.done} of {counted(len(files), 'file')} done")
        raise typer.Exit(130)
    if run.failed or not files:
        raise typer.Exit(1)


def _is_terminal(name: str) -> bool:
    stream = getattr(sys, name)
    return stream is not None and stream.isatty()


def _find(
    paths: list[Path], extension: list[str] | None
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files to read, and folders that cannot be listed, each with the reason."""
    from stonekey.audio.files import find_audio_files, listing_problem

    unlisted: list[tuple[Path, str]] = []

    def note(folder: Path, error: OSError) -> None:
        unlisted.append((folder, listing_problem(error)))

    return find_audio_files(paths, extension, note), unlisted


class _Run:
    """Analyses files, ``jobs`` in parallel; one bad file does not end the run.

    ``told``: results and standard error end up in the same place.
    """

    def __init__(
        self,
        estimator: KeyEstimator,
        files: list[Path],
        first: list[FileResult],
        interrupt: Interrupt,
        jobs: int,
        told: bool,
    ) -> None:
        self._estimator = estimator
        self._files = files
        self._first = first
        self._interrupt = interrupt
        self._jobs = jobs
        self._told = told
        self._bar: FilesBar | None = None
        self.failed = 0
        self.done = 0

    def show_progress(self, patience: float) -> None:
        """Show a progress bar after ``patience`` seconds."""
        from stonekey.output.progress import FilesBar

        self._bar = FilesBar(len(self._files), patience)
        if self._jobs == 1 or len(self._files) == 1:
            self._estimator.watch = self._bar.heard

    def results(self) -> Generator[FileResult, None, None]:
        """Earlier results, then those of the files in order, until interrupted."""
        for result in self._first:
            yield self._logged(result)
        with self._bar or nullcontext():
            estimates = (partial(self._estimate, path) for path in self._files)
            for wait in estimates if self._jobs == 1 else self._submitted():
                try:
                    self._interrupt.working = True
                    result = wait()
                except KeyboardInterrupt:
                    return
                finally:
                    self._interrupt.working = False
                self.done += 1
                if self._bar:
                    self._bar.advance()
                with self._bar.aside() if self._bar else nullcontext():
                    yield self._logged(result)
                if self._interrupt.requested:
                    return

    def _submitted(self) -> Iterator[Callable[[], FileResult]]:
        """Keep ``jobs`` threads busy: decoding and the network release the GIL."""
        from concurrent.futures import Future, ThreadPoolExecutor

        pool = ThreadPoolExecutor(self._jobs)
        waiting: deque[Future[FileResult]] = deque()
        try:
            for path in self._files:
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
            with at_hand(path) as file:
                return FileResult(path, self._estimator(file))
        except Exception as error:  # one bad file must not end the run, whatever is wrong
            return FileResult(path, None, reason(error))

    def _logged(self, result: FileResult) -> FileResult:
        if result.error is not None:
            self.failed += 1
            if not self._told:
                log(f"stonekey: {shown(result.path)}: {result.error}")
        return result
