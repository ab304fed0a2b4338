"""Load data and systems by name, and score them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from stonekey.data.manifest import Manifest, read_manifest
from stonekey.estimate.settings import EstimatorSettings
from stonekey.evaluation.other_tools import read_predictions
from stonekey.evaluation.predictions import (
    Watch,
    model_name,
    predict_tracks,
    unwatched,
)
from stonekey.evaluation.report import Report, build_report, check_request


@dataclass(frozen=True)
class Data:
    """The manifest of reference keys, and their source and date in words."""

    manifest: Manifest
    labels: str


def load_data(
    dataset: str | None = None,
    root: Path | None = None,
    manifest: Path | None = None,
    *,
    split: str | None = None,
    note: str | None = None,
    verify: bool = True,
    through: str = "files",
) -> Data:
    """Read a published data set under ``root``, or a manifest.

    Args:
        dataset: name of a published data set.
        root: folder of the data set, or the folder that a manifest's paths are relative to.
        manifest: manifest file, instead of a data set.
        split: only use this split.
        note: remark on the labels, printed with every score.
        verify: refuse a published label file with a different checksum.
        through: "files" reads the data set's label files, "mirdata" uses mirdata's loader.

    Raises:
        ValueError: neither or both of data set and manifest, a data set without root, or data
            that cannot be read.
    """
    if (dataset is None) == (manifest is None):
        raise ValueError("give either a data set and its root, or a manifest")
    if dataset is not None:
        from stonekey.evaluation.datasets import DATASETS, load_dataset

        if root is None:
            raise ValueError(f"data set {dataset} needs root, the folder of its labels and audio")
        data = load_dataset(dataset, root, verify=verify, through=through)
        labels = f"{data.name}: {DATASETS[dataset].reference}"
        if not verify:
            labels += ", in a version that was not checked"
    else:
        assert manifest is not None
        data = read_manifest(manifest, root, unusable=True)
        labels = _origin(manifest)
    if split is not None:
        data = data.select(split)
        labels += f", split {split}"
    return Data(data, f"{labels}; {note}" if note else labels)


def _origin(manifest: Path) -> str:
    if not manifest.is_file():
        return str(manifest)
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    date = datetime.fromtimestamp(manifest.stat().st_mtime, timezone.utc).date()
    return f"{manifest} (file of {date}, sha256 {digest})"


def named(text: str) -> tuple[str | None, str]:
    """Split ``NAME=WHAT``; an existing path has no name, even if it contains a ``=``."""
    name, sign, what = text.partition("=")
    if sign and name.strip() and what and not os.path.lexists(text):
        return name.strip(), what
    return None, text


def is_predictions(what: str) -> bool:
    """Whether this is a file of predictions rather than a model."""
    return what.lower().endswith((".csv", ".tsv"))


def evaluate(
    data: Data,
    systems: Sequence[str],
    settings: EstimatorSettings | None = None,
    *,
    cache: Path | None = None,
    watch: Watch = unwatched,
    baseline: str | None = None,
    by: Sequence[str] = (),
) -> Report:
    """Score models and files of predictions on the same tracks.

    If there is a model, this scores the tracks with a key and audio. Predictions need no audio, so
    without a model it scores all tracks with a key.

    Args:
        data: reference keys.
        systems: models (name or path) and files of predictions (``.csv``, ``.tsv``), each also as
            ``NAME=...``.
        settings: settings of the models' estimators.
        cache: folder that keeps the models' outputs.
        watch: called with the tracks to run a model on, for a progress bar.
        baseline, by: see :func:`stonekey.evaluation.report.build_report`.

    Raises:
        ValueError: see `build_report` and `read_predictions`.
        CheckpointError: a model cannot be loaded.
    """
    settings = settings or EstimatorSettings()
    chosen = [(name, what, is_predictions(what)) for name, what in map(named, systems)]
    with_models = not all(predictions for _, _, predictions in chosen)
    tracks = data.manifest.usable if with_models else data.manifest.labelled
    names: list[str] = []
    for name, what, predictions in chosen:
        own = Path(what).stem if predictions else model_name(what)
        names.append(name or _free(own, names))
    # Models may take hours, so check everything else first.
    check_request(data.manifest, tracks, names, baseline, by)
    done = {
        name: read_predictions(what, tracks, name=name)
        for name, (_, what, predictions) in zip(names, chosen, strict=True)
        if predictions
    }
    for name, (_, what, predictions) in zip(names, chosen, strict=True):
        if not predictions:
            done[name] = predict_tracks(what, tracks, settings, name=name, cache=cache, watch=watch)
    return build_report(
        data.manifest,
        tracks,
        [done[name] for name in names],
        baseline=baseline,
        by=by,
        labels=data.labels,
        settings=settings.identity if with_models else {},
    )


def _free(name: str, taken: Sequence[str]) -> str:
    number, free = 2, name
    while free in taken:
        number, free = number + 1, f"{name} ({number})"
    return free
