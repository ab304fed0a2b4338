"""``stonekey scan``: the keys of a music library, in a run that can be stopped and goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stonekey.cli.common import (
    Backend,
    Device,
    Extension,
    Interrupt,
    Model,
    Notation,
    Overlap,
    PublishedSegments,
    ShowProgress,
    Timeout,
    Tune,
    WriteConfidence,
    fail,
    say,
    tell,
    told_errors,
)
from stonekey.keys import NOTATIONS
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import json_text, shown

if TYPE_CHECKING:
    from stonekey.library.run import Summary

LISTED = 20  # failures named in the summary
BAR = 40  # columns of the longest bar of the histogram


def scan(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER|FILE|PLAYLIST",
            help="Folders are searched to any depth.",
            readable=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File of results: .csv, .jsonl, .sqlite or .parquet. A run that finds it "
            "there goes on from it.",
        ),
    ],
    model: Model = DEFAULT_MODEL,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, metavar="N", help="Processes; default: cores."),
    ] = None,
    timeout: Timeout = None,
    max_memory: Annotated[
        float, typer.Option(help="Memory that a worker may hold (on Linux).", metavar="GB")
    ] = 2.0,
    skip_tagged: Annotated[
        bool, typer.Option("--skip-tagged", help="Leave out files with a key in their tags.")
    ] = False,
    min_confidence: WriteConfidence = 0.0,
    notation: Notation = "musical",
    extension: Extension = None,
    overlap: Overlap = 0.0,
    published_segments: PublishedSegments = False,
    tune: Tune = "auto",
    device: Device = "cpu",
    backend: Backend = "auto",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try unchanged files again that have failed.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Drop rows of files that are not found any more."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as a JSON object.")
    ] = False,
    progress: ShowProgress = None,
) -> None:
    """Write the keys of a music library to a file, going on where an earlier run stopped.

    Results are written as they come. After Ctrl-C, a crash or a power cut the same command
    goes on; files of which size, modification time and model are unchanged are not analysed
    again. A file that crashes its worker, takes too long or too much memory is reported, and
    the run goes on.

    Exit code: 0 when all files have a result, 1 when some have none (each is named on
    standard error and has its "error" in the output), 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey scan ~/Music --output keys.csv

      stonekey scan ~/Music /media/dj -o keys.sqlite --workers 4 --skip-tagged

      stonekey scan ~/Music -o keys.jsonl -n camelot --min-confidence 0.5
    """
    if notation not in NOTATIONS:
        fail(f"--notation must be one of {', '.join(NOTATIONS)}, got '{notation}'")
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    with told_errors(), Interrupt() as interrupt, ExitStack() as stack:
        from stonekey.audio.tuning import checked_option
        from stonekey.library.run import ScanError
        from stonekey.library.run import scan as run
        from stonekey.library.store import StoreError

        ticks: list[Iterator[Any]] = []

        def start(todo: int, kept: int) -> None:
            if kept:
                say(f"stonekey: {kept} files are known, {todo} to analyse")
            if progress and todo:
                from stonekey.cli.progress import tracked

                # Taking an element marks the one before as done.
                ticks.append(iter(stack.enter_context(tracked(range(todo)))))
                next(ticks[0])

        def told(path: Path, error: str | None) -> None:
            if error is not None:
                say(f"stonekey: {shown(path)}: {error}")
            for tick in ticks:
                next(tick, None)

        try:
            summary = run(
                sources,
                output,
                model=model,
                workers=workers,
                timeout=timeout,
                max_memory=max_memory,
                skip_tagged=skip_tagged,
                min_confidence=min_confidence,
                notation=notation,
                extensions=_endings(extension),
                overlap=overlap,
                published_segments=published_segments,
                tune=checked_option(tune),
                device=device,
                backend=backend,
                retry_failed=retry_failed,
                prune=prune,
                on_start=start,
                on_result=told,
                stop=lambda: interrupt.requested,
            )
        except ScanError as error:
            fail(str(error), 1)
        except StoreError as error:
            # Before the first result it is the choice of file that is wrong.
            fail(str(error), 1 if "cannot be written" in str(error) else 2)
    tell(json_text(_as_json(summary)) if as_json else _text(summary))
    if summary.interrupted:
        say("stonekey: interrupted; the same command goes on from here")
        raise typer.Exit(130)
    if summary.failed or not summary.files:
        raise typer.Exit(1)


def _endings(given: list[str] | None) -> list[str] | None:
    return [e.strip() for one in given or () for e in one.split(",") if e.strip()] or None


def _as_json(summary: Summary) -> dict[str, Any]:
    from stonekey.library.result import path_text

    failed = [{"path": path_text(path), "error": error} for path, error in summary.failed]
    return {**vars(summary), "output": path_text(summary.output), "failed": failed}


def _text(summary: Summary) -> str:
    """The summary for people: counts, failures, histogram."""
    rate = summary.analysed / summary.seconds if summary.seconds else 0.0
    counts = [
        f"{summary.files} files: {summary.analysed} analysed in {summary.seconds:.0f} s "
        f"({rate:.3g} a second), {summary.kept} known before",
        f"{sum(summary.keys.values())} with a key, {summary.without_key} without",
    ]
    others: list[tuple[int, Callable[[int], str]]] = [
        (summary.tagged, lambda n: f"{n} left out: their tags have a key"),
        (summary.repeated, lambda n: f"{n} links to files that are in"),
        (len(summary.failed), lambda n: f"{n} failed:"),
    ]
    counts += [tell(number) for number, tell in others if number]
    counts += [f"  {shown(path)}: {error}" for path, error in summary.failed[:LISTED]]
    if len(summary.failed) > LISTED:
        counts.append(f"  and {len(summary.failed) - LISTED} more, in the column error")
    width = max(map(len, summary.keys), default=0)
    most = max(summary.keys.values(), default=1)
    for key, number in summary.keys.items():
        bar = "#" * max(1, round(BAR * number / most))
        counts.append(f"  {key:<{width}}  {number:>6}  {bar}")
    counts.append(f"written to {shown(summary.output)}")
    return "\n".join(counts)
