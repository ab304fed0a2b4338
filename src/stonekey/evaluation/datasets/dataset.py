"""The description of a data set of keys, and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from stonekey.data.manifest import Manifest, Track, build_manifest
from stonekey.evaluation.datasets.common import DatasetError, SourceFile
from stonekey.options import one_of


@dataclass(frozen=True)
class Dataset:
    """A published data set of keys.

    Attributes:
        name: name for ``--dataset``.
        title: name for tables.
        tracks: published number of usable tracks.
        labels: label files and where to get them.
        label_licence, audio_licence: licences in words.
        how_to_get: how to set up a root that :meth:`load` can read.
        reference: paper or record to cite.
        reader: reads the tracks from a root; its second argument says whether to check the md5.
        mirdata: name of mirdata's loader for the same labels; None if it has none.
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
        """Read the labels under ``root`` and find the audio by the data set's ids.

        Args:
            root: folder with the label files and, anywhere below it, the audio.
            verify: refuse a label file whose md5 is not the published one.
            through: ``files`` reads the published label files; ``mirdata`` uses mirdata's loader,
                with ``root`` as its data home (mirdata and its index must be installed).

        Returns:
            All tracks; ``present`` is false for those without audio, and ``problem`` is set for
            those without a usable label.

        Raises:
            ValueError: an unknown ``through``.
            DatasetError: no label file, a different md5, or mirdata has no loader or no index.
            ManifestError: a label file cannot be read.
        """
        one_of("through", through, ("files", "mirdata"))
        root = Path(root)
        if not root.is_dir():
            raise DatasetError(f"{self.title}: no folder {root}")
        if through == "mirdata":
            from stonekey.evaluation.datasets.through_mirdata import mirdata_tracks

            if self.mirdata is None:
                raise DatasetError(f"{self.title}: mirdata has no loader for it")
            tracks = list(mirdata_tracks(self.mirdata, root))
        else:
            tracks = list(self.reader(root, verify))
        if not tracks:
            raise DatasetError(f"{self.title}: no labels under {root}. {self.how_to_get}")
        return build_manifest(self.title, tracks)
