"""Shards: tar files of many tracks each, in the layout of WebDataset.

Member names are ``<number>.<extension>``; members of one track share the number and follow each
other: the recording as it is on disk (``000000012.opus``), or its transform (``000000012.npy``,
float16 (frames, bins) in the cache's unit), then ``000000012.json`` with path, key, split, and for
a transform the CRC-32 of its array. Tools that read WebDataset read these.

Written and read with ``tarfile`` rather than the webdataset library: that one reads strictly in
sequence and cannot continue at a given place of a shuffled stream. Here places are known
(`stonekey.data.shard_index`): recordings are read by position from a disk, transforms in long
stretches from a disk or over a network (`stonekey.data.shard_loader`).

A shard is a function of its tracks. Processes or a cluster write many at once, and a run that was
stopped goes on with those that are not there yet.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from stonekey.data.cache import read_track
from stonekey.data.cached import CachedTrack
from stonekey.data.manifest import Track
from stonekey.data.pool import mapped
from stonekey.data.shard_index import (
    Member,
    ShardIndex,
    all_members,
    key_of,
    list_path,
    list_text,
    members,
    read_list,
    stored_members,
)
from stonekey.data.shard_index import ShardError as ShardError
from stonekey.files import file_system, put_file
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd
from stonekey.text import address, is_address, json_text

if TYPE_CHECKING:
    from stonekey.network.vqt import VQT

SHARD_BYTES = 1 << 30
# A transform's size before it is made: 4 minutes.
TRANSFORM_BYTES = 2_000_000


@dataclass(frozen=True)
class ShardTrack:
    """A recording in a shard of audio; for `stonekey.data.audio_loader.AudioLoader`."""

    path: str
    shard: str
    offset: int
    size: int
    key: Key | None = None
    split: str | None = None

    def open(self) -> BinaryIO:
        """The encoded audio as a binary file."""
        with open(self.shard, "rb") as stream:
            stream.seek(self.offset)
            data = stream.read(self.size)
        if len(data) != self.size:
            raise OSError(f"{self.shard}: cut short")
        return io.BytesIO(data)


@dataclass
class ShardReport:
    """What is there: the shards, the number of tracks, and those left out with the reason.

    ``kept``: how many shards were there from an earlier run.
    """

    shards: list[Path] = field(default_factory=list)
    tracks: int = 0
    kept: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """A shard to write; ``first`` is the number of its first track."""

    shard: Path
    first: int
    tracks: tuple[Track | CachedTrack, ...]
    front_end: FrontEnd
    transforms: bool

    @property
    def identity(self) -> str:
        """A hash of what the shard is to hold."""
        digest = hashlib.sha256(repr((self.first, self.front_end, self.transforms)).encode())
        for track in self.tracks:
            name = track.file if isinstance(track, CachedTrack) else track.id
            about = (name, track.path, track.key, track.probabilities, track.keyless, track.group)
            digest.update(repr(about).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


def write_shards(
    tracks: Iterable[Track | CachedTrack],
    folder: Path | str,
    *,
    front_end: FrontEnd | None = None,
    transforms: bool = False,
    size: int = SHARD_BYTES,
    name: str = "shard",
    seed: int | None = 0,
    workers: int | None = 1,
    engine: str = "local",
    progress: bool = True,
) -> ShardReport:
    """Write tracks to ``<folder>/<name>-000000.tar``, ``-000001.tar``, ...

    Recordings of a manifest are stored as they are, encoded, or transformed first; cached tracks as
    transforms, which get an ``index.npz``. Each shard appears under its name only when it is whole.
    Equal input gives equal bytes. The same call continues a run that was stopped: shards of the
    same tracks are kept.

    Args:
        tracks: of one of the two kinds.
        folder: for the shards, on a disk or an address for fsspec.
        front_end: of the transforms.
        transforms: transform recordings.
        size: bytes after which a shard is closed; about, for what is transformed here.
        name: of the shards.
        seed: the tracks are shuffled once, so that each shard is a sample of the whole; None keeps
            their order.
        workers, engine: see `stonekey.data.pool.mapped`.
        progress: show a bar.

    Raises:
        ShardError: when there are shards of other tracks, or no tracks.
        OSError: when a shard cannot be written. A recording that cannot be read is reported.
    """
    folder, front_end = Path(folder), front_end or FrontEnd()
    tracks = list(tracks)
    if not tracks:
        raise ShardError("no tracks to write")
    if seed is not None:
        tracks = [tracks[i] for i in np.random.default_rng(seed).permutation(len(tracks))]
    jobs = [
        _Job(folder / f"{name}-{number:06d}.tar", first, tuple(part), front_end, transforms)
        for number, (first, part) in enumerate(_parts(tracks, front_end, transforms, size))
    ]
    there = _names(folder, f"{name}-")
    known = _lists([job.shard for job in jobs if job.shard.name in there])
    done = {job.shard for job in jobs if known.get(job.shard, {}).get("job") == job.identity}
    if foreign := sorted(there - {shard.name for shard in done}):
        raise ShardError(
            f"{address(folder / foreign[0])}: there are shards already, of other tracks; "
            "remove them or choose another name"
        )
    report = ShardReport(kept=len(done))
    todo = [job for job in jobs if job.shard not in done]
    title = "Writing shards" if progress else ""
    for shard, stored in mapped(_write, todo, workers, engine, title):
        known[shard] = stored
    for job in jobs:
        report.failed += [(path, reason) for path, reason in known[job.shard]["failed"]]
        report.tracks += len(known[job.shard]["members"])
    report.shards = [job.shard for job in jobs]
    if report.tracks and (transforms or isinstance(tracks[0], CachedTrack)):
        index_shards(folder, front_end)
    return report


def index_shards(folder: Path, front_end: FrontEnd) -> ShardIndex:
    """Write the index of all shards of transforms in a folder, on a disk or at an address."""
    shards = [folder / name for name in sorted(_names(folder))]
    if is_address(folder):
        lists = _lists(shards)
        if missing := [shard for shard, found in lists.items() if not found]:
            raise ShardError(f"{address(missing[0])}: its list is not beside it")
        rows = {shard.name: stored_members(found) for shard, found in lists.items()}
    else:
        rows = {shard.name: members(shard) for shard in shards}
    index = ShardIndex.of_lists(folder, rows.items(), front_end)
    index.save(front_end)
    return index


def _lists(shards: list[Path]) -> dict[Path, dict[str, Any]]:
    """The lists kept beside shards, {} where there is none."""
    with ThreadPoolExecutor(16) as pool:  # at an address, each is a request
        return dict(zip(shards, pool.map(read_list, shards), strict=True))


def _names(folder: Path, name: str = "") -> set[str]:
    """Names of the shards in a folder, of those that begin so."""
    if not is_address(folder):
        return {path.name for path in folder.glob(f"{name}*.tar")}
    system, inside = file_system(folder)
    try:
        listed = system.ls(inside, detail=False, refresh=True)
    except FileNotFoundError:
        return set()
    found = {place.rstrip("/").rpartition("/")[2] for place in listed}
    return {one for one in found if one.startswith(name) and one.endswith(".tar")}


def _parts(
    tracks: list[Track | CachedTrack], front_end: FrontEnd, transforms: bool, size: int
) -> Iterator[tuple[int, list[Track | CachedTrack]]]:
    """The tracks of each shard, and the number of its first."""
    first, part, total = 0, [], 0
    for number, track in enumerate(tracks):
        part.append(track)
        if isinstance(track, CachedTrack):
            total += track.frames * front_end.n_bins * 2
        elif transforms:
            total += TRANSFORM_BYTES
        elif track.path is not None and track.path.is_file():
            total += track.path.stat().st_size
        if total >= size:
            yield first, part
            first, part, total = number + 1, [], 0
    if part:
        yield first, part


def _write(job: _Job) -> tuple[Path, dict[str, Any]]:
    """Write a shard and its list, of which it returns what is needed."""
    failed: list[tuple[str, str]] = []
    written: list[Member] = []

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for number, track in enumerate(job.tracks, job.first):
                try:
                    extension, data, about = _content(track, job)
                except _Unusable as error:
                    name = track.path if isinstance(track, CachedTrack) else track.id
                    failed.append((name, str(error)))
                    continue
                record = json_text(about, ascii=True, sort_keys=True).encode()
                for kind, content in ((extension, data), ("json", record)):
                    info = tarfile.TarInfo(f"{number:09d}.{kind}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                    if content is data:
                        blocks = -(-len(data) // tarfile.BLOCKSIZE)
                        place = tar.offset - blocks * tarfile.BLOCKSIZE
                        written.append(Member(extension, place, len(data), about))
        # Before the shard has its name: a shard without its list would not be known as ours.
        status = temporary.stat()
        version = [status.st_size, status.st_mtime_ns]
        text = list_text(version, written, job=job.identity, failed=failed)
        put_file(list_path(job.shard), lambda listed: listed.write_bytes(text.encode()))

    put_file(job.shard, write)
    return job.shard, {"members": [None] * len(written), "failed": failed}


class _Unusable(Exception):
    """A track that cannot be stored; the message says why."""


def _content(track: Track | CachedTrack, job: _Job) -> tuple[str, bytes, dict[str, Any]]:
    """Extension and bytes of what is stored of a track, and its record."""
    about: dict[str, Any] = {"key": None if track.key is None else str(track.key)}
    if isinstance(track, CachedTrack) or job.transforms:
        more = {"keyless": track.keyless, "probabilities": track.probabilities}
        about |= {n: v for n, v in {**more, "group": track.group}.items() if v}
    array: np.ndarray | None
    if isinstance(track, CachedTrack):
        array = read_track(track, job.front_end.n_bins)
        about |= {"path": track.path, "samples": track.samples, "cents": track.cents}
    elif job.transforms:
        from stonekey.data.transform import transformed

        array, samples, reason = transformed(str(track.path), 0.0, _vqt(job.front_end))
        if array is None:
            raise _Unusable(reason)
        about |= {"path": track.id, "samples": samples, "cents": 0.0}
    else:
        try:
            if track.path is None:
                raise FileNotFoundError(2, "no file")
            data = track.path.read_bytes()
        except OSError as error:
            raise _Unusable(error.strerror or "cannot be read") from error
        extension = track.path.suffix.lower().lstrip(".") or "audio"
        return extension, data, about | {"path": track.id, "split": track.split}
    stream = io.BytesIO()
    np.save(stream, array)
    about |= {"frames": len(array), "front_end": job.front_end.as_dict()}
    about["crc32"] = zlib.crc32(np.ascontiguousarray(array).data.cast("B"))
    return "npy", stream.getvalue(), about


@lru_cache(1)
def _vqt(front_end: FrontEnd) -> VQT:
    from stonekey.network.vqt import VQT

    return VQT(front_end)


def open_audio_shards(shards: Iterable[Path | str] | Path | str) -> list[ShardTrack]:
    """The recordings of shards, in their order.

    Args:
        shards: tar files, or a folder of them.

    Raises:
        ShardError: no shards, a broken one, or one of transforms.
    """
    tracks = []
    for shard, member in all_members(shards):
        if member.extension == "npy":
            raise ShardError(f"{shard}: holds transforms, not audio")
        about = member.about
        key = key_of(shard, about)
        name = str(about.get("path") or f"{shard}@{member.offset}")
        tracks.append(
            ShardTrack(name, str(shard), member.offset, member.size, key, about.get("split"))
        )
    return tracks
