"""Manifests in which only a share of the labels is left: for the figure of label efficiency."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stonekey.data.manifest import Manifest, ManifestError, Track
from stonekey.files import write_atomically
from stonekey.keys import NO_KEY, Key


def keep_labels(manifest: Manifest, percent: float, seed: int = 0) -> list[Track]:
    """The tracks of a manifest with ``percent`` of the labels to train with; the rest unlabelled.

    Labels of other splits than ``train`` stay. Which are kept follows from the seed and the tracks'
    ids: a smaller share is part of a larger one.

    Raises:
        ValueError: percent is not above 0 and at most 100.
        ManifestError: there is no label to train with.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"a share of labels must be above 0 and at most 100 %, got {percent:g}")
    labelled = [track for track in manifest if _labelled(track) and _trains(track)]
    if not labelled:
        raise ManifestError(f"{manifest.name}: no label to train with")
    labelled.sort(key=lambda track: hashlib.sha256(f"{seed}\0{track.id}".encode()).digest())
    taken = {track.id for track in labelled[max(1, round(len(labelled) * percent / 100)) :]}
    return [
        replace(track, key=None, keyless=False, probabilities=None) if track.id in taken else track
        for track in manifest
    ]


def _labelled(track: Track) -> bool:
    return track.key is not None or track.keyless or track.probabilities is not None


def _trains(track: Track) -> bool:
    return track.split in (None, "", "train")


def write_manifest(tracks: Sequence[Track], path: Path) -> None:
    """Write tracks as a CSV that `stonekey.data.manifest.read_manifest` reads.

    Paths are relative to its folder where that is possible.
    """
    more = list(dict.fromkeys(name for track in tracks for name in track.metadata))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "key", "split", "group", "probabilities", *more])
    for track in tracks:
        label = NO_KEY if track.keyless else str(track.key or "")
        sure = {str(Key.from_index(i)): p for i, p in enumerate(track.probabilities or ()) if p}
        writer.writerow([
            _from(path.parent, track), label, track.split or "", track.group,
            json.dumps(sure) if sure else "", *(track.metadata.get(name, "") for name in more),
        ])  # fmt: skip
    data = text.getvalue().encode("utf-8", "surrogateescape")
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def _from(folder: Path, track: Track) -> str:
    place = os.path.abspath(track.path or track.id)
    try:
        return Path(os.path.relpath(place, folder)).as_posix()
    except ValueError:  # another drive
        return place
