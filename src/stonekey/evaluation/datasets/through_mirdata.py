"""Tracks from mirdata's loaders.

mirdata knows where every file lies through an index that it downloads once. It brings librosa, so
it is imported only here; audio is decoded by stonekey all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stonekey.data.manifest import Track
from stonekey.evaluation.datasets.common import DatasetError, labelled_track, leading_number


def mirdata_tracks(loader: str, data_home: Path) -> Iterator[Track]:
    """Yield the tracks of a mirdata data set, under the ids that the label files use.

    Args:
        loader: mirdata's name of the data set.
        data_home: where mirdata keeps it.

    Raises:
        DatasetError: mirdata is not installed, or its index or labels are not downloaded.
    """
    try:
        import mirdata
    except ImportError as error:
        raise DatasetError("mirdata is not installed: pip install 'stonekey[mirdata]'") from error
    dataset = mirdata.initialize(loader, data_home=str(data_home))
    advice = f"mirdata.initialize({loader!r}, data_home={str(data_home)!r}).download()"
    try:
        for track in dataset.load_tracks().values():
            yield _track(track)
    except FileNotFoundError as error:
        raise DatasetError(f"mirdata's {loader} is not all there, run {advice}: {error}") from error


def _track(track: Any) -> Track:
    audio = Path(track.audio_path) if track.audio_path else None
    key = "|".join(track.key) if isinstance(track.key, list) else str(track.key or "")
    if mode := getattr(track, "mode", None):
        key = f"{key} {mode}"
    # The EDM collections are numbered by mirdata itself: their own number begins the file name.
    numbered = leading_number(audio) if audio is not None and hasattr(track, "keys_path") else None
    name = numbered or track.track_id
    metadata = {"mirdata_id": track.track_id}
    if getattr(track, "metadata_path", None) and Path(track.metadata_path).is_file():
        metadata["genre"] = ", ".join(track.genres["genres"])
    return labelled_track(name, key, audio, f"mirdata track {track.track_id}", metadata)
