"""GiantSteps key: two-minute excerpts of electronic dance music from Beatport.

There are two sets of labels. The original 604 come from users' corrections; published scores use
them. GiantSteps+ has 600 of them as revised by Faraldo; mirdata loads those.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stonekey.data.manifest import Track
from stonekey.evaluation.datasets.common import (
    SourceFile,
    edm_advice,
    labelled_track,
    numbered_labels,
    text_file_tracks,
)
from stonekey.evaluation.datasets.dataset import Dataset

_REPOSITORY = "https://github.com/GiantSteps/giantsteps-key-dataset"
_PAPER = "Knees et al., Two data sets for tempo estimation and key detection, ISMIR 2015"
_EXCERPTS = "previews of commercial recordings from Beatport, for research"


def read_tracks(root: Path, verify: bool) -> Iterator[Track]:
    """Yield the tracks of ``annotations/key/ID.LOFI.key``; genres from ``annotations/genre``."""
    # annotations/giantsteps has files with the same names in a different format.
    labels = [path for path in root.rglob("*.LOFI.key") if path.parent.name == "key"]
    for path, name, audio in numbered_labels(root, labels):
        genre = path.parent.parent / "genre" / f"{path.stem}.genre"
        metadata = {"genre": genre.read_text("utf-8").strip()} if genre.is_file() else {}
        label = path.read_text("utf-8", errors="replace").strip()
        yield labelled_track(name, label, audio, f"{path}, line 1", metadata)


GIANTSTEPS = Dataset(
    name="giantsteps",
    title="GiantSteps key",
    tracks=604,
    labels=(SourceFile("annotations/key/*.LOFI.key", _REPOSITORY),),
    label_licence="none stated in the repository",
    audio_licence=_EXCERPTS,
    how_to_get=(
        f"Labels: a clone of {_REPOSITORY} (folder annotations). Audio: its script audio_dl.sh, "
        "which checks every excerpt against the md5 in the folder md5. Files are found by the "
        "number at the start of their name, as in 10089.LOFI.mp3."
    ),
    reference=_PAPER,
    reader=read_tracks,
)

_RECORD = "https://zenodo.org/records/1095691"

GIANTSTEPS_PLUS = Dataset(
    name="giantsteps-plus",
    title="GiantSteps+ key",
    tracks=600,
    labels=(
        SourceFile("keys.zip", f"{_RECORD}/files/keys.zip", "775b7d17e009f5818544cf505b6a96fd"),
        SourceFile(
            "original_metadata.zip",
            f"{_RECORD}/files/original_metadata.zip",
            "54181e0f34c35d9720439750d0b08091",
        ),
    ),
    label_licence="CC BY-SA 4.0",
    audio_licence=_EXCERPTS,
    how_to_get=edm_advice(_RECORD, "8ec9ade888d5a88ce435d7fda031929b", "giantsteps_key"),
    reference=f"{_PAPER}; revised in Faraldo, PhD thesis, UPF 2018",
    reader=lambda root, verify: text_file_tracks(root, ("keys_gs+",)),
    mirdata="giantsteps_key",
)
