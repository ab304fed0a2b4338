"""GTZAN keys: Lerch's key labels for the GTZAN genre collection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stonekey.data.manifest import Track
from stonekey.evaluation.datasets.common import (
    SourceFile,
    audio_by_id,
    labelled_track,
)
from stonekey.evaluation.datasets.dataset import Dataset
from stonekey.keys import Key

_REPOSITORY = "https://github.com/alexanderlerch/gtzan_key"
_SUFFIX = ".lerch.txt"


def label_text(number: str) -> str:
    """Return the key for a label number as text.

    Labels count semitones up from A: 0 to 11 major, 12 to 23 minor; -1 is a modulation or unknown.
    Anything else comes back as text that names the label but is not a key.
    """
    if number == "-1":
        return "unknown"
    if not (number.isascii() and number.isdigit() and int(number) < 24):
        return f"label {number}"
    mode, tonic = divmod(int(number), 12)
    return str(Key((tonic + 9) % 12, "minor" if mode else "major"))


def read_tracks(root: Path, verify: bool) -> Iterator[Track]:
    """Yield the tracks of ``genres/GENRE/GENRE.NNNNN.lerch.txt``, with their genre."""
    labels = sorted(root.rglob(f"*{_SUFFIX}"))
    if not labels:
        return
    audio = audio_by_id(root, lambda path: path.stem)
    for path in labels:
        name = path.name[: -len(_SUFFIX)]
        number = next(iter(path.read_text("utf-8", errors="replace").split()), "")
        metadata = {"genre": name.split(".")[0]}
        yield labelled_track(name, label_text(number), audio.get(name), f"{path}, line 1", metadata)


GTZAN = Dataset(
    name="gtzan",
    title="GTZAN keys",
    tracks=837,
    labels=(SourceFile(f"gtzan_key/genres/*/*{_SUFFIX}", _REPOSITORY),),
    label_licence="MIT",
    audio_licence="none stated; commercial recordings, for research",
    how_to_get=(
        f"Labels: a clone of {_REPOSITORY}. Audio: the GTZAN genre collection (genres.tar.gz, md5 "
        "5b3d6dddb579ab49814ab86dba69e7c7; mirdata's gtzan_genre knows where), unpacked under the "
        "root. Files are found by name, as in blues.00000.wav (or .au and others). mirdata has no "
        "key labels for it."
    ),
    reference=f"Lerch, GTZAN key labels, 2013, {_REPOSITORY}",
    reader=read_tracks,
)
