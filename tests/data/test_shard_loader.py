"""Shards of transforms: built in parts, read from a disk, HTTP and an object store, trained on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from data_music import SHORT, write_tracks
from object_store import bucket  # noqa: F401
from range_server import Ranges, served

from stonekey.data import shard_loader
from stonekey.data.batch_loader import DataError
from stonekey.data.cached import CachedTrack
from stonekey.data.loaders import scale
from stonekey.data.manifest import Track
from stonekey.data.segments import segment_frames
from stonekey.data.shard_index import ShardError, ShardIndex
from stonekey.data.shard_loader import ShardLoader
from stonekey.data.shards import write_shards
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd

FRAMES = segment_frames(SHORT)
NUMBER = 23


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> list[CachedTrack]:
    """Tracks whose every cell is their number / 64, so that a segment tells its track."""
    folder = tmp_path_factory.mktemp("arrays")
    tracks = []
    for i in range(NUMBER):
        frames = 2 * FRAMES + 5 * i
        path = folder / f"{i}.npy"
        np.save(path, np.full((frames, 99), i / 64, np.float16))
        key = Key.from_index(i) if i % 3 == 0 else None
        tracks.append(CachedTrack(str(i), str(path), 128, frames, frames * 512, key=key))
    return tracks


@pytest.fixture(scope="module")
def folder(cached: list[CachedTrack], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of about five of them."""
    folder = tmp_path_factory.mktemp("shards")
    report = write_shards(cached, folder, front_end=SHORT, size=350_000, progress=False)
    assert len(report.shards) == 5
    return folder


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_loader, "STRETCH", 2)
    monkeypatch.setattr(shard_loader, "WAIT_SECONDS", 0.01)


def loader(place: Path | str, mode: str = "selfsupervised", **more) -> ShardLoader:
    settings = {"batch_size": 3, "front_end": SHORT, "buffer": 7, "device": "meta", **more}
    index = ShardIndex.load(Path(place), SHORT)
    return ShardLoader(index, mode, **settings)  # type: ignore[arg-type]


def made(of: ShardLoader, batches: int) -> list[dict[str, torch.Tensor]]:
    """Batches before they are scaled: on another device than the CPU that is done there."""
    try:
        return [of.make(step) for step in range(batches)]
    finally:
        of.close()


def numbers(batch: dict[str, torch.Tensor], name: str = "a") -> list[int]:
    assert batch[name].shape[1:] == (FRAMES, 99)
    return [round(float(x[0, 0]) * 64) for x in batch[name]]


def same(a: list[dict], b: list[dict]) -> bool:
    return all(
        x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)
        for x, y in zip(a, b, strict=True)
    )


def test_an_epoch_takes_every_track_once(folder: Path) -> None:
    batches = made(loader(folder, batch_size=1), 2 * NUMBER)
    assert all(numbers(batch) == numbers(batch, "b") for batch in batches)
    taken = [numbers(batch)[0] for batch in batches]
    assert sorted(taken[:NUMBER]) == sorted(taken[NUMBER:]) == list(range(NUMBER))
    assert taken[:NUMBER] != taken[NUMBER:]


def test_processes_share_an_epoch(folder: Path) -> None:
    parts = [
        [numbers(batch)[0] for batch in made(loader(folder, batch_size=1, rank=r, world=3), 7)]
        for r in range(3)
    ]
    taken = [number for part in parts for number in part]
    assert len(set(taken)) == len(taken) == NUMBER // 3 * 3
    with pytest.raises(DataError, match="fewer tracks than the 24 processes"):
        loader(folder, world=24)


def test_labelled_batches_and_both_in_turn(folder: Path) -> None:
    supervised = made(loader(folder, "supervised", batch_size=4), 2)
    for batch in supervised:
        assert batch["label"].argmax(1).tolist() == numbers(batch)
    taken = sorted(number for batch in supervised for number in numbers(batch))
    assert taken == [i for i in range(NUMBER) if i % 3 == 0]
    mix = made(loader(folder, "mix"), 4)
    assert ["label" in batch for batch in mix] == [False, True, False, True]
    alone = made(loader(folder), 2)
    assert same(mix[::2], alone)


def test_batches_do_not_depend_on_what_came_before(folder: Path) -> None:
    with loader(folder, "mix", device="cpu", augment=["noise"]) as whole:
        batches = list(islice(whole, 12))
    with loader(folder, "mix", device="cpu", augment=["noise"]) as part:
        list(islice(part, 5))
        state = part.state_dict()
    with loader(folder, "mix", device="cpu", augment=["noise"]) as resumed:
        resumed.load_state_dict(state)
        assert same(list(islice(resumed, 7)), batches[5:])
    with pytest.raises(ValueError, match="data was"):
        loader(folder, "mix", buffer=8).load_state_dict(state)


def test_segments_are_scaled_as_those_of_the_cache(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(FRAMES, 99)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    track = CachedTrack("x", str(tmp_path / "x.npy"), 128, FRAMES, FRAMES * 512)
    write_shards([track], tmp_path / "s", front_end=SHORT, progress=False)
    with loader(tmp_path / "s", batch_size=1, device="cpu") as of:
        batch = next(of)
    assert torch.equal(batch["a"], scale(torch.from_numpy(x)[None]))
    assert torch.equal(batch["b"], batch["a"])


def test_a_track_with_another_checksum_is_left_out(
    cached: list[CachedTrack], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shard = write_shards(cached[:5], tmp_path, front_end=SHORT, seed=None, progress=False).shards[0]
    index = ShardIndex.load(tmp_path, SHORT)
    with shard.open("r+b") as stream:
        stream.seek(int(index.offset[3]) + 9)
        stream.write(b"?")
    of = loader(tmp_path, batch_size=1)
    taken = Counter(numbers(batch)[0] for batch in made(of, 5))
    assert set(taken) == {0, 1, 2, 4}
    assert len(of.failed) == 1
    assert caplog.text.count("has another checksum; left out") == 1
    os.truncate(shard, 1000)
    with pytest.raises(ShardError, match=r"shard-000000\.tar: .*cut short"):
        made(loader(tmp_path), 1)
    shard.unlink()
    with pytest.raises(ShardError, match=r"no shards"):
        loader(tmp_path)


def test_labels_of_every_kind_are_kept(tmp_path: Path, cached: list[CachedTrack]) -> None:
    first = cached[0]
    place = (first.file, first.offset, first.frames, first.samples)
    unsure = tuple(float(p) for p in np.arange(24, dtype=np.float32) / 276)
    tracks = [
        CachedTrack("keyless", *place, keyless=True),
        CachedTrack("unsure", *place, probabilities=unsure, group="songs"),
        CachedTrack("nothing", *place),
        first,
    ]
    write_shards(tracks, tmp_path, front_end=SHORT, seed=None, progress=False)
    index = ShardIndex.load(tmp_path, SHORT)
    targets = index.targets(np.array([1, 3, 0]))
    wanted = np.array([tracks[i].target for i in (1, 3, 0)], np.float32)
    np.testing.assert_allclose(targets, wanted, rtol=1e-6)


def test_recordings_are_transformed_into_shards_by_processes_that_resume(tmp_path: Path) -> None:
    """As the cache would have them; only what a stopped run has not written is made."""
    tracks: list[Track] = write_tracks(tmp_path, [5.0, 6.0, 4.5, 0.3], labelled=2)
    out = tmp_path / "out"

    def write(**more):
        return write_shards(
            tracks, out, front_end=SHORT, transforms=True, size=1, progress=False, **more
        )

    report = write(workers=2)
    assert (report.tracks, report.kept, len(report.shards)) == (3, 0, 4)
    ((name, reason),) = report.failed
    assert (name, reason[:9]) == ("003.wav", "too short")
    before = {path.name: path.read_bytes() for path in report.shards}
    (out / "index.npz").unlink()
    report.shards[1].unlink()
    times = {path: path.stat().st_mtime_ns for path in report.shards if path.exists()}
    again = write()
    assert (again.tracks, again.kept, again.failed) == (3, 3, report.failed)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert {path.name: path.read_bytes() for path in again.shards} == before
    index = ShardIndex.load(out, SHORT)
    assert sorted(index.label.tolist()) == [-3, 0, 1]
    with pytest.raises(ShardError, match="other fmin"):
        ShardIndex.load(out, FrontEnd(fmin=26.0))


def test_an_index_that_is_not_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.npz").write_bytes(b"PK no index")
    with pytest.raises(ShardError, match=r"index\.npz: not an index of shards"):
        ShardIndex.load(tmp_path, SHORT)


@pytest.fixture
def http(folder: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="needs aiohttp")
    with served(folder) as address:
        yield address


def test_http_gives_the_same_batches(
    folder: Path, http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert same(made(loader(http, "mix"), 6), made(loader(folder, "mix"), 6))
    with pytest.raises(ShardError, match=r"http://127.*nowhere/index\.npz: no index"):
        loader(f"{http}/nowhere")
    monkeypatch.setattr(Ranges, "plain", True)
    with pytest.raises(ShardError, match="a server without ranges"):
        made(loader(http), 1)


def test_shards_in_an_object_store(
    cached: list[CachedTrack],
    folder: Path,
    bucket: str,  # noqa: F811
) -> None:
    place = f"{bucket}/shards"

    def write():
        return write_shards(cached, place, front_end=SHORT, size=350_000, progress=False)

    assert (write().kept, write().kept) == (0, 5)
    assert same(made(loader(place, "mix"), 6), made(loader(folder, "mix"), 6))
    with pytest.raises(ShardError, match=r"/shards/shard-000000\.tar: there are shards"):
        write_shards(cached[1:], place, front_end=SHORT, progress=False)


def test_an_address_of_an_unknown_kind_is_named() -> None:
    with pytest.raises(ShardError, match="gopher"):
        loader("gopher://host/shards")
