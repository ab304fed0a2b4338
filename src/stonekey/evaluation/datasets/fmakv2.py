"""FMAK: 5 489 tracks of the Free Music Archive, with keys by one expert annotator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stonekey.data.manifest import ManifestError, Track, read_rows
from stonekey.evaluation.datasets.common import (
    SourceFile,
    audio_by_id,
    find_label_file,
    labelled_track,
)
from stonekey.evaluation.datasets.dataset import Dataset

LABELS_V2 = SourceFile(
    "fmakv2.csv",
    "https://zenodo.org/records/12759100/files/fmakv2.csv",
    "3b2d16784ffbda850c8ddf0519478bfd",
)
LABELS_V1 = SourceFile(
    "fma_keys_metadata.csv",
    "https://zenodo.org/records/10719860/files/fma_keys_metadata.csv",
    "d80a03bc8659edc60e335bd7f6bdf12a",
)
_AUDIO = (
    "Audio: unpack the ten zip files of https://zenodo.org/records/10719860, or fma_large or "
    "fma_full of the FMA data set, anywhere under the root. Files are found by their FMA track "
    "number, as in 000/000010.mp3."
)
_AUDIO_LICENCE = "per track, chosen by the artist (Free Music Archive)"
_REFERENCE = "Wong and Hernandez, FMAK: a dataset of key and mode annotations, ISMIR 2023"


def fma_number(path: Path) -> str | None:
    """Return the FMA track number in a file name, without leading zeros, or None."""
    return str(int(path.stem)) if path.stem.isascii() and path.stem.isdigit() else None


def read_tracks(root: Path, source: SourceFile, verify: bool) -> Iterator[Track]:
    """Yield the tracks of a label file with columns ``track_id`` and ``key_and_mode``.

    Raises:
        ManifestError: a column is missing, or a track number is not a number.
    """
    labels = find_label_file(root, source, verify)
    audio = audio_by_id(root, fma_number)
    for line, row in read_rows(labels):
        where = f"{labels}, line {line}"
        if "track_id" not in row or "key_and_mode" not in row:
            raise ManifestError(f"{labels}: expected columns track_id and key_and_mode")
        number, label = row.pop("track_id"), row.pop("key_and_mode")
        if not (number.isascii() and number.isdigit()):
            raise ManifestError(f"{where}: not an FMA track number: {number!r}")
        name = str(int(number))
        yield labelled_track(name, label, audio.get(name), where, row, line)


FMAKV2 = Dataset(
    name="fmakv2",
    title="FMAKv2",
    tracks=5489,
    labels=(LABELS_V2,),
    label_licence="CC BY 4.0",
    audio_licence=_AUDIO_LICENCE,
    how_to_get=f"Labels: {LABELS_V2.name} from {LABELS_V2.url}. {_AUDIO}",
    reference=f"{_REFERENCE}; second version of the labels, Zenodo record 12759100",
    reader=lambda root, verify: read_tracks(root, LABELS_V2, verify),
)

FMAK = Dataset(
    name="fmak",
    title="FMAK v1",
    tracks=5489,
    labels=(LABELS_V1,),
    label_licence="CC BY 4.0",
    audio_licence=_AUDIO_LICENCE,
    how_to_get=f"Labels: {LABELS_V1.name} from {LABELS_V1.url}. {_AUDIO}",
    reference=f"{_REFERENCE}; Zenodo record 10719860",
    reader=lambda root, verify: read_tracks(root, LABELS_V1, verify),
    mirdata="fma_keys",
)
