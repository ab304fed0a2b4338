"""``stonekey predict``: the keys of files and folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from stonekey.cli.common import (
    Device,
    Force,
    Interrupt,
    Model,
    Overlap,
    PublishedSegments,
    Threads,
    check_output,
    fail,
    say,
    told_errors,
)
from stonekey.keys import NOTATIONS
from stonekey.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from stonekey.estimator import KeyEstimator
    from stonekey.results import FileResult, Layout

FORMATS = ("table", "tsv", "json", "jsonl", "csv", "npz")
SUFFIXES = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".npz": "npz",
    ".tsv": "tsv", ".txt": "tsv",
}  # fmt: skip


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|FOLDER", help="Recordings; folders are searched."),
    ],
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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.")
    ] = None,
    force: Force = False,
    notation: Annotated[
        str, typer.Option("--notation", "-n", help=f"{', '.join(NOTATIONS)}.")
    ] = "musical",
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="List the K most probable keys.", metavar="K"),
    ] = None,
    extension: Annotated[
        list[str] | None,
        typer.Option("--extension", "-e", help="In folders take only these, such as mp3."),
    ] = None,
    overlap: Overlap = 0.0,
    published_segments: PublishedSegments = False,
    device: Device = "cpu",
    backend: Annotated[str, typer.Option(help="auto, onnx or torch.")] = "auto",
    threads: Threads = None,
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
    check_output(output, force)
    with told_errors():
        from stonekey.estimator import KeyEstimator
        from stonekey.results import FileResult, Layout

        files, unlisted = _find(paths, extension)
        results = [FileResult(path, None, error) for path, error in unlisted]
        estimator = KeyEstimator(
            model,
            device,
            backend=backend,  # type: ignore[arg-type]  # checked by the estimator
            threads=threads,
            overlap=overlap,
            published_segments=published_segments,
        )
        single = len(paths) == 1 and not paths[0].is_dir()
        layout = Layout(estimator.info.name, estimator.class_table, notation, top, single)
        if progress is None:
            to_terminal = output is None and form not in ("table", "npz") and _is_terminal("stdout")
            progress = len(files) > 1 and _is_terminal("stderr") and not to_terminal
        if not files and not unlisted:
            kind = f"{'/'.join(extension)} files" if extension else "audio files"
            say(f"stonekey: no {kind} in {', '.join(_shown(p) for p in paths)}")
        with Interrupt() as interrupt:
            run = _Run(estimator, files, results, interrupt, progress)
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


def _shown(path: Path) -> str:
    from stonekey.audio.errors import display_name
    from stonekey.results import printable

    return printable(display_name(path))


def _find(
    paths: list[Path], extension: list[str] | None
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files to read, and folders that cannot be listed with the reason."""
    from stonekey.audio import find_audio_files

    endings = [e.strip() for given in extension or () for e in given.split(",") if e.strip()]
    unlisted: list[tuple[Path, str]] = []

    def note(folder: Path, error: OSError) -> None:
        unlisted.append((folder, f"cannot be listed: {error.strerror or error}"))

    return find_audio_files(paths, endings or None, note), unlisted


class _Run:
    """Estimates files one after the other; no file's failure ends the run."""

    def __init__(
        self,
        estimator: KeyEstimator,
        files: list[Path],
        first: list[FileResult],
        interrupt: Interrupt,
        progress: bool,
    ) -> None:
        self._estimator = estimator
        self._files = files
        self._first = first
        self._interrupt = interrupt
        self._progress = progress
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
            for path in files:
                estimated = self._estimate(path)
                if estimated is None:
                    return
                self.done += 1
                yield self._told(estimated)
                if self._interrupt.requested:
                    return

    def _estimate(self, path: Path) -> FileResult | None:
        """The file's result, None when interrupted."""
        from stonekey.results import FileResult, reason

        try:
            self._interrupt.working = True
            try:
                return FileResult(path, self._estimator(path))
            except Exception as error:  # one bad file must not end the run, whatever is wrong
                return FileResult(path, None, reason(error))
            finally:
                self._interrupt.working = False
        except KeyboardInterrupt:
            return None

    def _told(self, result: FileResult) -> FileResult:
        if result.error is not None:
            self.failed += 1
            say(f"stonekey: {_shown(result.path)}: {result.error}")
        return result


def _write(results: Iterator[FileResult], form: str, output: Path | None, layout: Layout) -> None:
    from stonekey.checkpoint import write_atomically
    from stonekey.results import WRITERS

    def write(stream: BinaryIO) -> None:
        if form == "table":
            from stonekey.cli.table import write_table

            write_table(results, stream, layout, terminal=output is None)
        else:
            WRITERS[form](results, stream, layout)

    def write_file(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            write(stream)

    if output is not None:
        write_atomically(output, write_file)
        return
    stream: Any = sys.stdout.buffer
    try:
        write(stream)
        stream.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        results.close()  # type: ignore[attr-defined]
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
