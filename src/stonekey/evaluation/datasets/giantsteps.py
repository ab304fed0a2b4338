"""GiantSteps key: two-minute excerpts of electronic dance music from Beatport.

Two label sets: the original 604 excerpts, keys taken from users' corrections, which published
scores are given on; and GiantSteps+, 600 of them revised by Faraldo, which mirdata loads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stonekey.data.manifest import Track
from stonekey.evaluation.datasets.common import (
    SourceFile,
    audio_by_id,
    labelled_track,
    leading_number,
    text_file_tracks,
)
from stonekey.evaluation.datasets.dataset import Dataset

_REPOSITORY = "https://github.com/GiantSteps/giantsteps-key-dataset"
_PAPER = "Knees et al., Two data sets for tempo estimation and key detection, ISMIR 2015"
_EXCERPTS = "previews of commercial recordings from Beatport, for research"


def read_tracks(root: Path, verify: bool) -> Iterator[Track]:
    """Yield the tracks of ``annotations/key/ID.LOFI.key``, genre from ``annotations/genre``."""
    # annotations/giantsteps has files of the same names in another format.
    labels = sorted(path for path in root.rglob("*.LOFI.key") if path.parent.name == "key")
    if not labels:
        return
    audio = audio_by_id(root, leading_number)
    for path in labels:
        name = leading_number(path)
        if name is None:
            continue
        genre = path.parent.parent / "genre" / f"{path.stem}.genre"
        metadata = {"genre": genre.read_text("utf-8").strip()} if genre.is_file() else {}
        label = path.read_text("utf-8", errors="replace").strip()
        yield labelled_track(name, label, audio.get(name), f"{path}, line 1", metadata)


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
        "number they begin with, as in 10089.LOFI.mp3."
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
    how_to_get=(
        f"keys.zip, original_metadata.zip and audio.zip (md5 8ec9ade888d5a88ce435d7fda031929b) of "
        f"{_RECORD}, unpacked under the root; or mirdata.initialize('giantsteps_key', "
        "data_home=ROOT).download(). Files are found by the number they begin with."
    ),
    reference=f"{_PAPER}; revised in Faraldo, PhD thesis, UPF 2018",
    reader=lambda root, verify: text_file_tracks(root, ("keys_gs+",)),
    mirdata="giantsteps_key",
)
