"""Shards: written, read, and trained on."""

from __future__ import annotations

import json
import tarfile
from itertools import islice
from pathlib import Path

import pytest
import torch
from data_music import SHORT, write_tracks

from stonekey.data.audio_loader import AudioLoader
from stonekey.data.cache import build_cache
from stonekey.data.manifest import Track
from stonekey.data.shard_index import ShardIndex
from stonekey.data.shards import ShardError, index_shards, open_audio_shards, write_shards
from stonekey.model.settings import FrontEnd

SECONDS = [9.0, 8.0, 6.0, 5.0, 8.5]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[Track]:
    return write_tracks(tmp_path_factory.mktemp("music"), SECONDS, labelled=2)


def test_audio_shards_hold_the_files_as_they_are(tracks: list[Track], tmp_path: Path) -> None:
    report = write_shards(tracks, tmp_path, size=500_000, progress=False)
    assert report.tracks == 5
    assert len(report.shards) > 1
    opened = open_audio_shards(tmp_path)
    assert {track.path for track in opened} == {track.id for track in tracks}
    by_name = {track.path: track for track in opened}
    for track in tracks:
        assert track.path is not None
        assert by_name[track.id].open().read() == track.path.read_bytes()
        assert by_name[track.id].key == track.key


def test_layout_is_that_of_webdataset(tracks: list[Track], tmp_path: Path) -> None:
    shard = write_shards(tracks, tmp_path, seed=None, progress=False).shards[0]
    with tarfile.open(shard) as tar:
        names = tar.getnames()
        stream = tar.extractfile(names[1])
        assert stream is not None
        about = json.loads(stream.read())
    assert names[:4] == ["000000000.wav", "000000000.json", "000000001.wav", "000000001.json"]
    assert about == {"key": "C major", "path": "000.wav", "split": None}


def test_equal_input_gives_equal_bytes(tracks: list[Track], tmp_path: Path) -> None:
    one = write_shards(tracks, tmp_path / "one", progress=False).shards
    two = write_shards(tracks, tmp_path / "two", progress=False).shards
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_loader_of_audio_shards_equals_that_of_files(tracks: list[Track], tmp_path: Path) -> None:
    write_shards(tracks, tmp_path, seed=None, size=500_000, progress=False)
    batches = []
    for source in (tracks, open_audio_shards(tmp_path)):
        with AudioLoader(source, "mix", batch_size=3, front_end=SHORT) as loader:
            batches.append(list(islice(loader, 2)))
    for a, b in zip(*batches, strict=True):
        assert torch.equal(a["audio"], b["audio"])
    assert batches[0][1]["keymode"] == batches[1][1]["keymode"]


def test_list_of_places_is_kept_and_renewed(tracks: list[Track], tmp_path: Path) -> None:
    first = write_shards(tracks[:3], tmp_path, seed=None, progress=False).shards[0]
    assert len(open_audio_shards(tmp_path)) == 3
    assert [p.name for p in tmp_path.glob(".*.json")] == [".shard-000000.tar.index.json"]
    assert len(open_audio_shards([first])) == 3
    first.unlink()
    write_shards(tracks, tmp_path, progress=False)
    assert len(open_audio_shards(tmp_path)) == 5


def test_unreadable_recordings_are_reported(tracks: list[Track], tmp_path: Path) -> None:
    gone = Track(id="gone.wav", path=tmp_path / "gone.wav", present=False)
    report = write_shards([*tracks, gone], tmp_path / "s", progress=False)
    assert report.tracks == 5
    assert report.failed == [("gone.wav", "No such file or directory")]


def test_shards_that_cannot_be_used_are_named(tracks: list[Track], tmp_path: Path) -> None:
    shard = write_shards(tracks, tmp_path / "a", progress=False).shards[0]
    with pytest.raises(ShardError, match="there are shards already"):
        write_shards(tracks[1:], tmp_path / "a", progress=False)
    with pytest.raises(ShardError, match="not transforms"):
        index_shards(tmp_path / "a", SHORT)
    broken = tmp_path / "broken.tar"
    broken.write_bytes(shard.read_bytes()[:100_000])
    with pytest.raises(ShardError, match=r"broken\.tar: not a whole tar file"):
        open_audio_shards([broken])
    with pytest.raises(ShardError, match="no shards"):
        open_audio_shards([])
    with pytest.raises(ShardError, match="no tracks"):
        write_shards([], tmp_path / "b")
    cached = build_cache(tracks[:1], tmp_path / "c", SHORT, workers=1, progress=False).tracks
    write_shards(cached, tmp_path / "v", front_end=SHORT, progress=False)
    with pytest.raises(ShardError, match="front end with other fmin"):
        ShardIndex.load(tmp_path / "v", FrontEnd(fmin=26.0))
    with pytest.raises(ShardError, match="holds transforms, not audio"):
        open_audio_shards(tmp_path / "v")
