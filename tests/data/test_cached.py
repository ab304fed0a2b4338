"""Cached tracks in columns: the same tracks, in a part of the memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data_music import SHORT

from stonekey.data.cached import CachedTrack, CachedTracks, CachedTracksBuilder
from stonekey.data.loaders import CachedLoader
from stonekey.keys import Key

UNSURE = tuple(float(p) for p in np.arange(24) / 276)
TRACKS = [
    CachedTrack("/music/a.mp3", "/cache/aa/1.npy", 128, 900, 460_000, key=Key.parse("F# minor")),
    CachedTrack("/music/\udcff.mp3", "/cache/pack-0.npy", 2**40, 900, 2**33, cents=-50.0),
    CachedTrack("/music/b.mp3", "/cache/pack-0.npy", 128, 7, 4000, keyless=True, group="noise"),
    CachedTrack("/music/c.mp3", "/cache/pack-0.npy", 9, 900, 460_000, probabilities=UNSURE),
]


def test_columns_hold_the_same_tracks(tmp_path: Path) -> None:
    columns = CachedTracks.of(TRACKS)
    assert list(columns) == TRACKS
    assert columns == TRACKS
    assert (columns[-1], columns[1:3]) == (TRACKS[-1], TRACKS[1:3])
    with pytest.raises(IndexError):
        columns[4]
    columns.save(tmp_path / "tracks.npz")
    assert list(CachedTracks.load(tmp_path / "tracks.npz")) == TRACKS
    assert list(CachedTracks.of([])) == []


def test_a_million_tracks_take_less_than_half_of_what_they_took() -> None:
    number = 5_000
    CachedLoader(TRACKS[1:2], front_end=SHORT).batch_plan(0)  # imports what it needs
    tracemalloc.start()
    try:
        builder = CachedTracksBuilder()
        for i in range(number):
            path = f"/mnt/music/artist{i // 100:06d}/album/track{i:07d}.mp3"
            builder.append(CachedTrack(path, f"/mnt/cache/ab/{i:032x}.npy", 128, 9000, 500_000 + i))
        tracks = builder.build()
        del builder
        loader = CachedLoader(tracks, batch_size=2, front_end=SHORT)
        loader.batch_plan(0)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # An object and its texts took over 500 bytes, and the loader's lists another 110.
    assert kept / number < 300
