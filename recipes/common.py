"""What the recipes share: their options, and running an evaluation with a progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stonekey.audio import AudioError
from stonekey.estimate.settings import EstimatorSettings
from stonekey.evaluation.report import Report
from stonekey.evaluation.run import Data, evaluate, is_predictions, load_data, named
from stonekey.evaluation.terminal import check_tracks, progress_watch, show
from stonekey.files import cache_folder
from stonekey.model.checkpoint import CheckpointError
from stonekey.text import log

Dataset = Annotated[
    str | None, typer.Option(help="Published data set: fmakv2 is the paper's, with new labels.")
]
Root = Annotated[Path | None, typer.Option(help="Folder with the data set's labels and audio.")]
Manifest = Annotated[
    Path | None, typer.Option(help="CSV (path, key) in place of a published data set.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")]
Force = Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")]
OtherLabels = Annotated[
    bool,
    typer.Option(
        "--allow-other-labels",
        help="Read another version of a data set's label file than the published one.",
    ),
]
Note = Annotated[str | None, typer.Option(help="Remark on the labels, printed beside the scores.")]
Published = Annotated[
    bool,
    typer.Option(
        "--published-segments/--whole-tracks",
        help="Cut as the published inference does, or use the whole track.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, or a torch device such as cuda.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of known outputs; default: the user's cache folder.")
]


@dataclass(frozen=True)
class Options:
    """The options of every recipe."""

    dataset: str | None
    root: Path | None
    manifest: Path | None
    output: Path
    force: bool
    note: str | None
    published_segments: bool
    device: str
    cache: Path | None
    other_labels: bool

    def data(self) -> Data:
        """The reference keys; exits where there are none or the output is in the way."""
        if (self.dataset is None) == (self.manifest is None):
            fail("give either --dataset fmakv2 --root DIR or --manifest FILE")
        if self.output.is_dir() and any(self.output.iterdir()) and not self.force:
            fail(f"{self.output} is not empty; --force writes into it")
        return load_data(
            self.dataset, self.root, self.manifest, note=self.note, verify=not self.other_labels
        )


def fail(message: str) -> NoReturn:
    """Say what is wrong with the arguments or the data, and exit."""
    log(message)
    raise typer.Exit(2)


def score(options: Options, systems: Sequence[str]) -> Report:
    """Score models and files of predictions (``NAME=...``), and print the tables."""
    try:
        data = options.data()
        check_tracks(data.manifest, not all(is_predictions(named(text)[1]) for text in systems))
        report = evaluate(
            data,
            systems,
            EstimatorSettings(published_segments=options.published_segments, device=options.device),
            cache=options.cache or cache_folder() / "predictions",
            watch=progress_watch(None),
        )
    except (AudioError, CheckpointError, ValueError, OSError) as error:
        fail(str(error))
    show(report)
    return report


def finish(report: Report, written: Path) -> None:
    """Name what was written; exit code 1 where a track has no answer because of an error."""
    typer.echo(f"written: {written}")
    if report.failed:
        raise typer.Exit(1)
