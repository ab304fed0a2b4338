"""Shards: tar files of many tracks each, in the layout of WebDataset.

Member names are ``<number>.<extension>``; members of one track share the number and follow each
other: the recording as it is on disk (``000000012.opus``), or its cached transform
(``000000012.npy``, float16 (frames, bins) in the cache's unit), then ``000000012.json`` with
path, key and split. Tools that read WebDataset read these.

Written and read with ``tarfile`` rather than the webdataset library: that one reads strictly in
sequence through a shuffle buffer, and cannot continue at a given place of a shuffled stream. The
members of these tars are uncompressed, so a list of their places, made once by passing over the
headers and kept beside the shard, allows reads by position: the same loaders as for single files,
with the same exact resumption. ``shuffle_by_file`` keeps reading to a few shards at a time. Shards
are files on a disk or a mounted volume; nothing here streams over a network.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stonekey.data.cache import NOT_OF_THE_TRANSFORM, CachedTrack, read_track
from stonekey.data.manifest import Track
from stonekey.files import write_atomically
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd
from stonekey.text import json_text

SHARD_BYTES = 1 << 30


class ShardError(ValueError):
    """A shard that cannot be used; the message names it."""


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
    """What was written: the shards, the number of tracks, and those left out with the reason."""

    shards: list[Path] = field(default_factory=list)
    tracks: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Sample:
    """Members of one track: content by extension."""

    members: dict[str, bytes]


def write_shards(
    tracks: Iterable[Track | CachedTrack],
    folder: Path | str,
    *,
    front_end: FrontEnd | None = None,
    size: int = SHARD_BYTES,
    name: str = "shard",
    seed: int | None = 0,
    progress: bool = True,
) -> ShardReport:
    """Write tracks to ``<folder>/<name>-000000.tar``, ``-000001.tar``, ...

    Recordings of a manifest are stored as they are, encoded; cached tracks as transforms. Each
    shard appears under its name only when it is whole. Equal input gives equal bytes.

    Args:
        tracks: of one of the two kinds.
        folder: for the shards; must hold none of this name.
        front_end: of the cached transforms.
        size: bytes after which a shard is closed.
        name: of the shards.
        seed: the tracks are shuffled once, so that each shard is a sample of the whole; None keeps
            their order.
        progress: show a bar.

    Raises:
        ShardError: when there are shards already, or no tracks.
        OSError: when a shard cannot be written. A recording that cannot be read is reported.
    """
    folder, front_end = Path(folder), front_end or FrontEnd()
    tracks = list(tracks)
    if not tracks:
        raise ShardError("no tracks to write")
    if found := sorted(folder.glob(f"{name}-*.tar")):
        raise ShardError(
            f"{found[0]}: there are shards already; remove them or choose another name"
        )
    if seed is not None:
        tracks = [tracks[i] for i in np.random.default_rng(seed).permutation(len(tracks))]
    report = ShardReport()
    samples = _samples(tracks, front_end, report, progress)
    pending = next(samples, None)
    number = 0
    while pending is not None:
        path = folder / f"{name}-{len(report.shards):06d}.tar"

        def write(temporary: Path) -> None:
            nonlocal pending, number
            written = 0
            with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
                while pending is not None and (written == 0 or written < size):
                    for extension, data in pending.members.items():
                        info = tarfile.TarInfo(f"{number:09d}.{extension}")
                        info.size = len(data)
                        tar.addfile(info, io.BytesIO(data))
                        written += len(data)
                    number += 1
                    pending = next(samples, None)

        write_atomically(path, write)
        report.shards.append(path)
    report.tracks = number
    return report


def _samples(
    tracks: list[Track | CachedTrack], front_end: FrontEnd, report: ShardReport, progress: bool
) -> Iterator[_Sample]:
    shown: Iterable[Track | CachedTrack] = tracks
    if progress:
        from rich.console import Console
        from rich.progress import track as bar

        shown = bar(tracks, "Writing shards", console=Console(stderr=True))
    for track in shown:
        about: dict[str, Any] = {"key": None if track.key is None else str(track.key)}
        if isinstance(track, CachedTrack):
            stream = io.BytesIO()
            np.save(stream, read_track(track, front_end.n_bins))
            extension, data = "npy", stream.getvalue()
            about |= {"path": track.path, "samples": track.samples, "frames": track.frames}
            about |= {"cents": track.cents, "front_end": front_end.as_dict()}
        else:
            try:
                if track.path is None:
                    raise FileNotFoundError(2, "no file")
                data = track.path.read_bytes()
            except OSError as error:
                report.failed.append((track.id, error.strerror or "cannot be read"))
                continue
            extension = track.path.suffix.lower().lstrip(".") or "audio"
            about |= {"path": track.id, "split": track.split}
        text = json_text(about, ascii=True, sort_keys=True).encode()
        yield _Sample({extension: data, "json": text})


@dataclass(frozen=True)
class _Member:
    extension: str
    offset: int
    size: int
    about: dict[str, Any]


def open_audio_shards(shards: Iterable[Path | str] | Path | str) -> list[ShardTrack]:
    """The recordings of shards, in their order.

    Args:
        shards: tar files, or a folder of them.

    Raises:
        ShardError: no shards, a broken one, or one of transforms.
    """
    tracks = []
    for shard, member in _members(shards):
        if member.extension == "npy":
            raise ShardError(f"{shard}: holds transforms, not audio")
        about = member.about
        key = _key(shard, about)
        name = str(about.get("path") or f"{shard}@{member.offset}")
        tracks.append(
            ShardTrack(name, str(shard), member.offset, member.size, key, about.get("split"))
        )
    return tracks


def open_vqt_shards(
    shards: Iterable[Path | str] | Path | str, front_end: FrontEnd | None = None
) -> list[CachedTrack]:
    """The transforms in shards, for `stonekey.data.loaders.CachedLoader`.

    Raises:
        ShardError: no shards, a broken one, one of audio, or transforms by another front end.
    """
    wanted = _transform(front_end or FrontEnd())
    tracks = []
    for shard, member in _members(shards):
        about = member.about
        if member.extension != "npy" or "frames" not in about:
            raise ShardError(f"{shard}: holds .{member.extension}, not transforms")
        settings = _transform(FrontEnd.from_dict(about["front_end"]))
        if settings != wanted:
            changed = ", ".join(k for k in wanted if settings[k] != wanted[k])
            raise ShardError(f"{shard}: made by a front end with other {changed}")
        size = about["frames"] * wanted["n_bins"] * 2
        tracks.append(
            CachedTrack(
                path=about["path"],
                file=str(shard),
                offset=member.offset + member.size - size,
                frames=about["frames"],
                samples=about["samples"],
                cents=about["cents"],
                key=_key(shard, about),
            )
        )
    return tracks


def _transform(front_end: FrontEnd) -> dict[str, Any]:
    settings = front_end.as_dict()
    return {name: value for name, value in settings.items() if name not in NOT_OF_THE_TRANSFORM}


def _key(shard: Path, about: dict[str, Any]) -> Key | None:
    label = about.get("key")
    try:
        return Key.parse(label) if label else None
    except ValueError as error:
        raise ShardError(f"{shard}: {about.get('path')}: {error}") from error


def _members(shards: Iterable[Path | str] | Path | str) -> Iterator[tuple[Path, _Member]]:
    if isinstance(shards, (str, Path)) and Path(shards).is_dir():
        paths = sorted(Path(shards).glob("*.tar"))
    else:
        paths = [Path(p) for p in ([shards] if isinstance(shards, (str, Path)) else shards)]
    if not paths:
        raise ShardError(f"{shards}: no shards (.tar)")
    for path in paths:
        for member in _index(path):
            yield path, member


def _index(path: Path) -> list[_Member]:
    """Places of a shard's members, from the list beside it or by passing over the headers."""
    kept = path.with_name(f".{path.name}.index.json")
    try:
        status = path.stat()
    except OSError as error:
        raise ShardError(f"{path}: {error.strerror}") from error
    version = [status.st_size, status.st_mtime_ns]
    try:
        stored = json.loads(kept.read_text())
        if stored["version"] == version:
            return [_Member(*row) for row in stored["members"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    members = _scan(path)
    rows = [[m.extension, m.offset, m.size, m.about] for m in members]
    text = json_text({"version": version, "members": rows}, ascii=True)
    if os.access(path.parent, os.W_OK):
        write_atomically(kept, lambda temporary: temporary.write_text(text))
    return members


def _scan(path: Path) -> list[_Member]:
    members: dict[str, tuple[str, int, int]] = {}
    about: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if not info.isfile():
                    continue
                number, _, extension = info.name.rpartition("/")[2].partition(".")
                if extension == "json":
                    stream = tar.extractfile(info)
                    assert stream is not None
                    about[number] = json.loads(stream.read())
                elif extension not in ("cls", "txt") and number not in members:
                    members[number] = (extension, info.offset_data, info.size)
        if any(offset + size > path.stat().st_size for _, offset, size in members.values()):
            raise tarfile.ReadError("cut short")
    except (tarfile.TarError, ValueError, OSError) as error:
        raise ShardError(f"{path}: not a whole tar file: {error}") from error
    return [_Member(*place, about.get(number, {})) for number, place in members.items()]
