"""``stonekey scan``: estimate the keys of a music library, in a run that can be resumed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stonekey.cli.common import (
    Engine,
    Extension,
    Interrupt,
    Model,
    Notation,
    ShowProgress,
    WriteConfidence,
    exit_on_error,
    fail,
    output_kept,
)
from stonekey.cli.options import with_settings
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import counted, echo, json_text, log, shown

if TYPE_CHECKING:
    from stonekey.library.run import Summary

LISTED = 20  # failures named in the summary
BAR = 40  # columns of the longest bar of the histogram


@with_settings("threads", "min_confidence")
def scan(
    *,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER|FILE|LIST|ADDRESS",
            help="Recordings, playlists and folders, searched to any depth; lists of files (.txt, "
            ".csv, .parquet); addresses such as s3://bucket/music.",
            readable=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File for the results: .csv, .jsonl, .sqlite or .parquet; without a suffix, a "
            "folder of Parquet files. If it exists, the scan resumes from it.",
        ),
    ],
    model: Model = DEFAULT_MODEL,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-j", min=1, metavar="N", help="Worker processes; by default one per core."
        ),
    ] = None,
    engine: Engine = "local",
    max_memory: Annotated[
        float, typer.Option(help="Memory limit of a worker (Linux only).", metavar="GB")
    ] = 2.0,
    skip_tagged: Annotated[
        bool,
        typer.Option("--skip-tagged", help="Skip files that already have a key in their tags."),
    ] = False,
    min_confidence: WriteConfidence = 0.0,
    notation: Notation = "musical",
    extension: Extension = None,
    settings: EstimatorSettings,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry files that failed before.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Drop the rows of files that are not in the folders given."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as a JSON object.")
    ] = False,
    progress: ShowProgress = None,
) -> None:
    """Write the keys of a music library to a file, resuming earlier runs.

    Results are written as they arrive. After Ctrl-C, a crash or a power cut, run the same
    command again: it analyses only new and changed files (by size, modification time and
    model). A file that crashes its worker, or takes too long or too much memory, is reported,
    and the scan continues.

    Exit code: 0 when all files have a result, 1 when some have none (each is named on
    standard error, with its "error" in the output), 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey scan ~/Music --output keys.csv

      stonekey scan ~/Music /media/dj -o keys.sqlite --workers 4 --skip-tagged

      stonekey scan ~/Music -o keys.jsonl -n camelot --min-confidence 0.5
    """
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    with exit_on_error(), Interrupt() as interrupt, ExitStack() as stack:
        from stonekey.audio.spelling import AsGiven
        from stonekey.library.base import StoreError, StoreWriteError
        from stonekey.library.run import ScanError
        from stonekey.library.run import scan as run

        ticks: list[Iterator[Any]] = []
        named = AsGiven(sources)

        def start(todo: int, kept: int) -> None:
            if kept:
                log(f"stonekey: {counted(kept, 'file')} already known, {todo} to analyse")
            if progress and todo:
                from stonekey.output.progress import tracked

                # Taking an item marks the previous one as done.
                ticks.append(iter(stack.enter_context(tracked(range(todo)))))
                next(ticks[0])

        def finish(path: Path, error: str | None) -> None:
            if error is not None:
                log(f"stonekey: {shown(named(path))}: {error}")
            for tick in ticks:
                next(tick, None)

        stack.enter_context(output_kept(engine))
        try:
            summary = run(
                sources,
                output,
                model=model,
                workers=workers,
                engine=engine,
                max_memory=max_memory,
                skip_tagged=skip_tagged,
                min_confidence=min_confidence,
                notation=notation,
                extensions=extension,
                settings=settings,
                retry_failed=retry_failed,
                prune=prune,
                on_start=start,
                on_result=finish,
                stop=lambda: interrupt.requested,
            )
        except ScanError as error:
            fail(str(error), 1)
        except StoreError as error:
            fail(str(error), 1 if isinstance(error, StoreWriteError) else 2)
    summary.output = output
    summary.failed = [(named(path), error) for path, error in summary.failed]
    echo(json_text(_as_json(summary)) if as_json else _text(summary))
    if not (summary.files or summary.failed):
        log(f"stonekey: no audio files in {', '.join(map(shown, sources))}")
    if summary.interrupted:
        log("stonekey: interrupted; run the same command again to resume")
        raise typer.Exit(130)
    if summary.failed or not summary.files:
        raise typer.Exit(1)


def _as_json(summary: Summary) -> dict[str, Any]:
    from stonekey.library.result import path_text

    failed = [{"path": path_text(path), "error": error} for path, error in summary.failed]
    return {**vars(summary), "output": path_text(summary.output), "failed": failed}


def _text(summary: Summary) -> str:
    """The summary as text: counts, failures and a histogram of the keys."""
    rate = summary.analysed / summary.seconds if summary.seconds else 0.0
    counts = [
        f"{counted(summary.files, 'file')}: {summary.analysed} analysed in {summary.seconds:.0f} s "
        f"({rate:.3g} per second), {summary.kept} already known",
        f"{sum(summary.keys.values())} with a key, {summary.without_key} without",
    ]
    others: list[tuple[int, Callable[[int], str]]] = [
        (summary.tagged, lambda n: f"{n} skipped: their tags have a key"),
        (summary.off_key, lambda n: f'{n} skipped: their tags say "off key"'),
        (summary.repeated, lambda n: f"{counted(n, 'link')} to files already counted"),
        (len(summary.failed), lambda n: f"{n} failed:"),
    ]
    counts += [line(number) for number, line in others if number]
    counts += [f"  {shown(path)}: {error}" for path, error in summary.failed[:LISTED]]
    if len(summary.failed) > LISTED:
        counts.append(f"  and {len(summary.failed) - LISTED} more, in the 'error' column")
    width = max(map(len, summary.keys), default=0)
    most = max(summary.keys.values(), default=1)
    for key, number in summary.keys.items():
        bar = "#" * max(1, round(BAR * number / most))
        counts.append(f"  {key:<{width}}  {number:>6}  {bar}")
    counts.append(f"written to {shown(summary.output)}")
    return "\n".join(counts)
