"""Read data sets with mirdata's loaders.

mirdata finds every file through an index, which it downloads once. It imports librosa, so only this
module imports mirdata; stonekey still decodes the audio itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stonekey.data.manifest import Track
from stonekey.evaluation.datasets.common import DatasetError, labelled_track, leading_number
from stonekey.text import to_install


def mirdata_tracks(loader: str, data_home: Path) -> Iterator[Track]:
    """Yield the tracks of a mirdata data set, with the ids of the label files.

    Args:
        loader: mirdata's name for the data set.
        data_home: folder in which mirdata keeps it.

    Raises:
        DatasetError: mirdata is not installed, or its index or the labels are missing.
    """
    try:
        import mirdata
    except ImportError as error:
        raise DatasetError(f"mirdata is not installed: {to_install('mirdata')}") from error
    dataset = mirdata.initialize(loader, data_home=str(data_home))
    advice = f"mirdata.initialize({loader!r}, data_home={str(data_home)!r}).download()"
    try:
        for track in dataset.load_tracks().values():
            yield _track(track)
    except FileNotFoundError as error:
        raise DatasetError(f"mirdata's {loader} is incomplete, run {advice}: {error}") from error


def _track(track: Any) -> Track:
    audio = Path(track.audio_path) if track.audio_path else None
    key = "|".join(track.key) if isinstance(track.key, list) else str(track.key or "")
    if mode := getattr(track, "mode", None):
        key = f"{key} {mode}"
    # mirdata numbers the EDM collections itself; their own number is at the start of the file name.
    numbered = leading_number(audio) if audio is not None and hasattr(track, "keys_path") else None
    name = numbered or track.track_id
    metadata = {"mirdata_id": track.track_id}
    if getattr(track, "metadata_path", None) and Path(track.metadata_path).is_file():
        metadata["genre"] = ", ".join(track.genres["genres"])
    return labelled_track(name, key, audio, f"mirdata track {track.track_id}", metadata)
