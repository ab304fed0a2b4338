"""``stonekey evaluate``: score models and other tools' predictions against reference keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import AsJson, ShowProgress, exit_on_error, fail, needs_extra, one_of
from stonekey.cli.options import with_settings
from stonekey.cli.output import check_folder
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import echo, json_text, log


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
    other_labels: Annotated[
        bool,
        typer.Option(
            "--allow-other-labels",
            help="Read another version of a data set's label file than the published one.",
        ),
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="Score only this split of the manifest.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the report and figures to this folder."),
    ] = None,
    figures: Annotated[
        list[str] | None,
        typer.Option(
            help="Write the figures as pdf or svg too; may be repeated.", metavar="FORMAT"
        ),
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
    report.md, tracks.csv and figures, which need matplotlib (the extra "eval"). Model
    outputs are kept: the same command is fast the second time, and resumes after an interruption.
    Tracks without audio, without a label or with a label that is not a key are counted and left
    out; a track that cannot be read counts as wrong.

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
    for form in figures or ():
        one_of("--figures", form, ("png", "pdf", "svg"))
    if output is not None:
        check_figures()
    with exit_on_error():
        from stonekey.evaluation.run import evaluate as run
        from stonekey.evaluation.run import is_predictions, load_data, named
        from stonekey.evaluation.terminal import (
            NothingToScoreError,
            check_tracks,
            log_failures,
            progress_watch,
            show,
        )
        from stonekey.files import cache_folder

        reads = [Path(named(text)[1]) for text in predictions or ()]
        check_folder(output, force, [*reads, *([manifest] if manifest else [])])
        for text in model or ():
            if is_predictions(named(text)[1]):
                fail(f"{text} is not a model: pass it to --predictions")
        for text in predictions or ():
            if not is_predictions(named(text)[1]):
                fail(f"{text}: predictions must be a .csv or .tsv file")
        data = load_data(
            dataset, root, manifest, split=split, note=note, verify=not other_labels,
            through="mirdata" if mirdata else "files",
        )  # fmt: skip
        try:
            check_tracks(data.manifest, needs_audio=bool(model))
            report = run(
                data,
                [*(model or ()), *(predictions or ())],
                settings,
                cache=cache_folder() / "predictions" if cache is None else cache,
                watch=progress_watch(progress),
                baseline=baseline,
                by=by or (),
            )
        except NothingToScoreError as error:
            fail(str(error), 1)
        except KeyboardInterrupt:
            fail("interrupted; run the same command again to resume", 130)
        if as_json:
            log_failures(report)
            echo(json_text(report.as_dict()))
        else:
            show(report)
        if output is not None:
            from stonekey.evaluation.tables import write_report

            write_report(report, output, figures or ())
            (log if as_json else echo)(f"written: {output / 'report.md'}")
    if report.failed:
        raise typer.Exit(1)


def check_figures() -> None:
    """Exit with the extra to install when matplotlib is missing."""
    with needs_extra("eval"):
        import matplotlib  # noqa: F401
