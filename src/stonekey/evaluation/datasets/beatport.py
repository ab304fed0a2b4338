"""Beatport EDM key: 1 486 two-minute excerpts of electronic dance music.

Excerpts with several keys have an unusable label, those with none are keyless; both keep their
label as a problem.
"""

from __future__ import annotations

from stonekey.evaluation.datasets.common import SourceFile, edm_advice, text_file_tracks
from stonekey.evaluation.datasets.dataset import Dataset

_RECORD = "https://zenodo.org/records/1101082"

BEATPORT = Dataset(
    name="beatport",
    title="Beatport EDM key",
    tracks=1486,
    labels=(
        SourceFile("keys.zip", f"{_RECORD}/files/keys.zip", "939abc05f36121badfac4087241ac172"),
        SourceFile(
            "original_metadata.zip",
            f"{_RECORD}/files/original_metadata.zip",
            "bb3e3ac1fe5dee7600ef2814accdf8f8",
        ),
    ),
    label_licence="CC BY-SA 4.0",
    audio_licence="previews of commercial recordings from Beatport, for research",
    how_to_get=edm_advice(_RECORD, "f490ee6c23578482d6fcfa11b82636a1", "beatport_key"),
    reference="Faraldo, Tonality Estimation in Electronic Dance Music, PhD thesis, UPF 2018",
    reader=lambda root, verify: text_file_tracks(root, ("keys",)),
    mirdata="beatport_key",
)
