"""Published data sets of keys: where to get them, and how to read their labels and audio."""

from __future__ import annotations

from pathlib import Path

from stonekey.data.manifest import Manifest
from stonekey.evaluation.datasets.beatport import BEATPORT
from stonekey.evaluation.datasets.common import DatasetError, SourceFile
from stonekey.evaluation.datasets.dataset import Dataset
from stonekey.evaluation.datasets.fmakv2 import FMAK, FMAKV2
from stonekey.evaluation.datasets.giantsteps import GIANTSTEPS, GIANTSTEPS_PLUS
from stonekey.evaluation.datasets.gtzan import GTZAN

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (FMAKV2, FMAK, GIANTSTEPS, GIANTSTEPS_PLUS, GTZAN, BEATPORT)
}

__all__ = ["DATASETS", "Dataset", "DatasetError", "SourceFile", "load_dataset"]


def load_dataset(
    name: str, root: Path | str, *, verify: bool = True, through: str = "files"
) -> Manifest:
    """Load the data set called ``name`` from ``root``; see :meth:`Dataset.load`.

    Raises:
        DatasetError: unknown data set, or it is not under ``root``.
    """
    if name not in DATASETS:
        raise DatasetError(f"no data set {name!r}; there are {', '.join(sorted(DATASETS))}")
    return DATASETS[name].load(root, verify=verify, through=through)
