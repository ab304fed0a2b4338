"""``stonekey evaluate``: score models and other tools' predictions against reference keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stonekey.cli.common import (
    AsJson,
    ShowProgress,
    echo,
    exit_on_error,
    fail,
    log,
    needs_extra,
)
from stonekey.cli.options import with_settings
from stonekey.cli.output import check_folder
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from stonekey.data.manifest import Manifest, Track
    from stonekey.evaluation.predictions import Watch
    from stonekey.evaluation.report import Report

# The columns that fit a terminal; report.md has all of them.
_SHOWN = ("system", "outputs", "N", "MIREX", "MIREX, ascending fifths only", "KSEA", "accuracy",
          "mode", "tonic", "ECE", "correct", "fifth")  # fmt: skip


@with_settings()
def evaluate(
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help='Model, or "NAME=MODEL"; may be repeated.', metavar="MODEL"
        ),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            "-p",
            help="Another tool's predictions, a CSV (path, key, confidence), or "
            '"NAME=FILE"; may be repeated.',
            metavar="FILE",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Published data set, such as fmakv2, fmak, giantsteps or gtzan."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder with the data set's labels and audio.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV (path, key, ...) instead of a published data set.")
    ] = None,
    mirdata: Annotated[
        bool, typer.Option("--mirdata", help="Read the data set with mirdata.")
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="Score only this split of the manifest.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the report and figures to this folder."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder even if it is not empty.")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(help="System to compare the others with; by default the first.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Also score each value of this manifest column; may be repeated.", metavar="COLUMN"
        ),
    ] = None,
    note: Annotated[
        str | None, typer.Option(help="Remark on the labels, printed with the scores.")
    ] = None,
    settings: EstimatorSettings,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps model outputs; by default in the user's cache."),
    ] = None,
    progress: ShowProgress = None,
    as_json: AsJson = False,
) -> None:
    """Score models and other tools' predictions side by side.

    Prints the scores with confidence intervals. --output DIR also writes report.json,
    report.md, tracks.csv and figures, which need matplotlib: pip install "stonekey[eval]".
    Model outputs are kept: the same command is fast the second time, and resumes after an
    interruption. Unlabelled tracks and those without audio are counted and left out; a track
    that cannot be read counts as wrong.

    Exit code: 0 when every track got an answer, 1 when some did not or none can be scored, 2 for
    bad usage, 130 after Ctrl-C.

    For example:

      stonekey evaluate --dataset fmakv2 --root fmak/ -m template -o report/

      stonekey evaluate --manifest keys.csv -m mine=best.onnx -p madmom.csv
    """
    if not (model or predictions):
        model = [DEFAULT_MODEL]
    if (dataset is None) == (manifest is None):
        fail("give either --dataset NAME --root DIR or --manifest FILE")
    check_folder(output, force)
    if output is not None:
        check_figures()
    with exit_on_error():
        from stonekey.evaluation.run import evaluate as run
        from stonekey.evaluation.run import is_predictions, load_data, named
        from stonekey.files import cache_folder

        for text in model or ():
            if is_predictions(named(text)[1]):
                fail(f"{text} is not a model: pass it to --predictions")
        for text in predictions or ():
            if not is_predictions(named(text)[1]):
                fail(f"{text}: predictions must be a .csv or .tsv file")
        data = load_data(
            dataset, root, manifest, split=split, note=note,
            through="mirdata" if mirdata else "files",
        )  # fmt: skip
        check_tracks(data.manifest, needs_audio=bool(model))
        try:
            report = run(
                data,
                [*(model or ()), *(predictions or ())],
                settings,
                cache=cache_folder() / "predictions" if cache is None else cache,
                watch=progress_watch(progress),
                baseline=baseline,
                by=by or (),
            )
        except KeyboardInterrupt:
            fail("interrupted; run the same command again to resume", 130)
        if as_json:
            log_failures(report)
            echo(json_text(report.as_dict()))
        else:
            show(report)
        if output is not None:
            from stonekey.evaluation.tables import write_report

            write_report(report, output)
            (log if as_json else echo)(f"written: {output / 'report.md'}")
    if report.failed:
        raise typer.Exit(1)


def check_figures() -> None:
    """Exit with the extra to install when matplotlib is missing."""
    with needs_extra("eval"):
        import matplotlib  # noqa: F401


def check_tracks(manifest: Manifest, needs_audio: bool) -> None:
    """Report on standard error what will not be scored; exit when nothing can be."""
    counts = manifest.counts()
    if not (manifest.usable if needs_audio else manifest.labelled):
        found = ", ".join(f"{count} {what}" for what, count in counts.items())
        fail(f"{manifest.name}: no track can be scored ({found})", 1)
    skipped = {
        "without audio": counts["missing"] if needs_audio else 0,
        "unlabelled": counts["unlabelled"],
        "listed twice": counts["duplicates"],
    }
    if any(skipped.values()):
        found = ", ".join(f"{count} {what}" for what, count in skipped.items() if count)
        log(f"stonekey: not scored: {found} (of {counts['tracks']} distinct tracks)")


def progress_watch(wanted: bool | None) -> Watch:
    """A progress bar over the tracks; for None, only when standard error is a terminal."""
    from stonekey.evaluation.predictions import unwatched

    if wanted or (wanted is None and sys.stderr.isatty()):
        from stonekey.cli.progress import tracked

        def watch(name: str, tracks: Sequence[Track]) -> AbstractContextManager[Iterator[Track]]:
            if not tracks:
                return unwatched(name, tracks)
            log(f"{name}: {len(tracks)} tracks to analyse")
            return tracked(tracks)

        return watch
    return unwatched


def log_failures(report: Report) -> None:
    """Report on standard error the tracks that could not be read."""
    for system in report.systems:
        for track, error in system.failures:
            log(f"stonekey: {system.name}: {track}: {error}")


def show(report: Report) -> None:
    """Print a report's tables; report failures on standard error."""
    from stonekey.evaluation.tables import data_lines, group_rows, key_rows, signature_rows

    log_failures(report)
    for line in data_lines(report):
        echo(line)
    if rows := key_rows(report):
        print_table("24 keys", rows)
    print_table("12 key signatures", signature_rows(report))
    for column in report.by:
        print_table(f"By {column}", group_rows(report, column), every=True)


def print_table(title: str, rows: list[list[str]], every: bool = False) -> None:
    """Print a header and rows; without ``every`` only the columns that fit a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    chosen = [
        i for i, name in enumerate(rows[0]) if every or name in _SHOWN or name.startswith("against")
    ]
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160)
    short = {"MIREX, ascending fifths only": "ascending only"}
    cells = [[short.get(row[i], row[i]) for i in chosen] for row in rows]
    needed = sum(max(map(len, column)) + 2 for column in zip(*cells, strict=True))
    if needed > console.width:  # put intervals and p on their own lines
        cells = [[c.replace(" [", "\n[").replace("], p", "],\np") for c in row] for row in cells]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in cells[0]:
        table.add_column(
            Text(printable(name, keep="\n")),
            justify="left" if name == cells[0][0] else "right",
            overflow="fold",
        )
    for row in cells[1:]:
        table.add_row(*(Text(printable(cell, keep="\n")) for cell in row))
    echo(f"\n{title}")
    console.print(table)
