"""A data set of keys: what it is, where it comes from, how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from stonekey.data.manifest import Manifest, Track, build_manifest
from stonekey.evaluation.datasets.common import DatasetError, SourceFile


@dataclass(frozen=True)
class Dataset:
    """A published data set of keys.

    Attributes:
        name: what ``--dataset`` takes.
        title: name for tables.
        tracks: number of usable tracks when everything is there, as published.
        labels: the label files and where they come from.
        label_licence, audio_licence: what may be done with them.
        how_to_get: how to lay out a root that :meth:`load` can read.
        reference: paper or record to cite.
        reader: reads the tracks from a root; second argument: whether to check the md5.
        mirdata: name of mirdata's loader for the same labels, None where it has none.
    """

    name: str
    title: str
    tracks: int
    labels: tuple[SourceFile, ...]
    label_licence: str
    audio_licence: str
    how_to_get: str
    reference: str
    reader: Callable[[Path, bool], Iterable[Track]]
    mirdata: str | None = None

    def load(self, root: Path | str, *, verify: bool = True, through: str = "files") -> Manifest:
        """Read labels under ``root`` and look for the audio there by the data set's own ids.

        Args:
            root: folder holding the label files and, anywhere below it, the audio.
            verify: refuse a label file whose md5 is not the published one.
            through: ``files`` reads the published label files; ``mirdata`` goes through mirdata's
                loader, with ``root`` as its data home (mirdata and its index must be installed).

        Returns:
            Every labelled or annotated track; those whose audio is not found have ``present``
            false, those without a usable label a ``problem``.

        Raises:
            DatasetError: no label file, another md5, or mirdata has no loader or no index.
            ManifestError: a label file that cannot be read.
        """
        root = Path(root)
        if not root.is_dir():
            raise DatasetError(f"{self.title}: no folder {root}")
        if through == "mirdata":
            from stonekey.evaluation.datasets.through_mirdata import mirdata_tracks

            if self.mirdata is None:
                raise DatasetError(f"{self.title}: mirdata has no loader for it")
            tracks = list(mirdata_tracks(self.mirdata, root))
        elif through == "files":
            tracks = list(self.reader(root, verify))
        else:
            raise ValueError(f"through must be 'files' or 'mirdata', got {through!r}")
        if not tracks:
            raise DatasetError(f"{self.title}: no labels under {root}. {self.how_to_get}")
        return build_manifest(self.title, tracks)
