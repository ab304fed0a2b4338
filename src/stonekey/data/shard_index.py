"""What shards hold and where: the list of each, and the index of a folder of transforms.

A shard is a tar file, its members uncompressed, so a list of their places allows reads by position.
The list is made once, by passing over the headers, and kept beside the shard. ``index.npz`` joins
the lists of a folder of transforms in columns, 30 bytes a track, for folders that cannot be listed
(HTTP) and so that a million tracks are known in a second.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stonekey.data.cache import NOT_OF_THE_TRANSFORM
from stonekey.data.cached import KEYLESS, UNLABELLED, UNSURE
from stonekey.files import file_system, put_file, write_text
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd
from stonekey.text import address, is_address, json_text

INDEX = "index.npz"


class ShardError(ValueError):
    """A shard that cannot be used; the message names it."""


@dataclass(frozen=True)
class Member:
    """A track in a shard: extension, place in bytes, and what is known of it."""

    extension: str
    offset: int
    size: int
    about: dict[str, Any]


def key_of(shard: object, about: dict[str, Any]) -> Key | None:
    """The label in a member's record; ShardError when it is none."""
    label = about.get("key")
    try:
        return Key.parse(label) if label else None
    except ValueError as error:
        raise ShardError(f"{shard}: {about.get('path')}: {error}") from error


def probabilities_of(about: dict[str, Any]) -> tuple[float, ...] | None:
    """A label in a member's record that is not sure."""
    given = about.get("probabilities")
    return None if given is None else tuple(map(float, given))


def check_transform(shard: object, given: FrontEnd, wanted: FrontEnd) -> None:
    """ShardError unless two front ends transform alike."""
    settings, ours = _transform(given), _transform(wanted)
    if settings != ours:
        changed = ", ".join(name for name in ours if settings[name] != ours[name])
        raise ShardError(f"{shard}: made by a front end with other {changed}")


def _transform(front_end: FrontEnd) -> dict[str, Any]:
    settings = front_end.as_dict()
    return {name: value for name, value in settings.items() if name not in NOT_OF_THE_TRANSFORM}


# --- the list of a shard -------------------------------------------------------------------------


def shard_paths(shards: Iterable[Path | str] | Path | str) -> list[Path]:
    """Tar files, or those of a folder, in order; ShardError when there are none."""
    if isinstance(shards, (str, Path)) and Path(shards).is_dir():
        paths = sorted(Path(shards).glob("*.tar"))
    else:
        paths = [Path(p) for p in ([shards] if isinstance(shards, (str, Path)) else shards)]
    if not paths:
        raise ShardError(f"{shards}: no shards (.tar)")
    return paths


def members(path: Path) -> list[Member]:
    """The tracks of a shard on a disk, from the list beside it or by passing over the headers.

    Raises:
        ShardError: the shard is broken.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ShardError(f"{path}: {error.strerror}") from error
    version = [status.st_size, status.st_mtime_ns]
    stored = read_list(path)
    if stored.get("version") == version:
        return stored_members(stored)
    found = _scan(path)
    text = list_text(version, found)
    if os.access(path.parent, os.W_OK):
        write_text(list_path(path), text)
    return found


def list_path(shard: Path) -> Path:
    """Where the list of a shard is kept."""
    return shard.with_name(f".{shard.name}.index.json")


def list_text(version: list[int], members: Sequence[Member], **more: Any) -> str:
    """A shard's list as JSON; ``version`` is the size and time of change of the shard."""
    rows = [[m.extension, m.offset, m.size, m.about] for m in members]
    return json_text({"version": version, "members": rows, **more}, ascii=True)


def read_list(shard: Path) -> dict[str, Any]:
    """The list kept for a shard, on a disk or at an address; {} when there is none."""
    place = list_path(shard)
    try:
        if is_address(place):
            system, inside = file_system(place)
            stored = json.loads(system.cat_file(inside))
        else:
            stored = json.loads(place.read_bytes())
        stored_members(stored)
        return dict(stored)
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def stored_members(stored: dict[str, Any]) -> list[Member]:
    """The tracks in a list."""
    return [Member(*row) for row in stored["members"]]


def _scan(path: Path) -> list[Member]:
    places: dict[str, tuple[str, int, int]] = {}
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
                elif extension not in ("cls", "txt") and number not in places:
                    places[number] = (extension, info.offset_data, info.size)
        if any(offset + size > path.stat().st_size for _, offset, size in places.values()):
            raise tarfile.ReadError("cut short")
    except (tarfile.TarError, ValueError, OSError) as error:
        raise ShardError(f"{path}: not a whole tar file: {error}") from error
    return [Member(*place, about.get(number, {})) for number, place in places.items()]


# --- the index of a folder -----------------------------------------------------------------------


@dataclass(frozen=True)
class ShardIndex:
    """The transforms in a folder of shards, a row each.

    Attributes:
        folder: on a disk, or an address that fsspec knows (``s3://bucket/folder``).
        shards: names of the files.
        shard: int32, number of each track's shard. Rows are in the order of the files.
        offset, frames, samples: where its array starts, and its lengths, as in
            `stonekey.data.cached.CachedTrack`.
        check: int64, the CRC-32 of its array; -1 where none is known.
        label: int8, as in `stonekey.data.cached.CachedTracks`.
        probabilities: float32 (unsure labels, 24), in the order of the rows.
    """

    folder: Path
    shards: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    frames: np.ndarray
    samples: np.ndarray
    check: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities of the keys, float32 (rows, 24), of labelled rows."""
        label = self.label[rows]
        out: np.ndarray = (label[:, None] == np.arange(24)).astype(np.float32)
        out[label == KEYLESS] = 1 / 24
        place = np.cumsum(self.label == UNSURE) - 1
        out[label == UNSURE] = self.probabilities[place[rows[label == UNSURE]]]
        return out

    @classmethod
    def of_lists(
        cls, folder: Path, lists: Iterable[tuple[str, Sequence[Member]]], front_end: FrontEnd
    ) -> ShardIndex:
        """Join lists, each with the name of its shard.

        Raises:
            ShardError: a member is no transform, or one of another front end.
        """
        names: list[str] = []
        rows: list[tuple[int, ...]] = []
        unsure: list[tuple[float, ...]] = []
        for name, found in lists:
            shard = folder / name
            for member in found:
                about = member.about
                check_member(shard, member, front_end)
                key, given = key_of(shard, about), probabilities_of(about)
                label = UNLABELLED if key is None else key.index
                if given is not None:
                    label = UNSURE
                    unsure.append(given)
                elif about.get("keyless"):
                    label = KEYLESS
                size = about["frames"] * front_end.n_bins * 2
                start = member.offset + member.size - size
                check = about.get("crc32", -1)
                rows.append((len(names), start, about["frames"], about["samples"], check, label))
            names.append(name)
        table = np.array(rows, np.int64).reshape(-1, 6).T
        kinds = (np.int32, np.int64, np.int32, np.int64, np.int64, np.int8)
        columns = [column.astype(kind) for column, kind in zip(table, kinds, strict=True)]
        chances = np.array(unsure, np.float32).reshape(-1, 24)
        named = dict(zip(_COLUMNS, (*columns, chances), strict=True))
        return cls(folder, tuple(names), **named)

    def save(self, front_end: FrontEnd) -> None:
        """Write ``index.npz`` into the folder."""
        about = {"front_end": front_end.as_dict(), "shards": self.shards}
        columns = {name: getattr(self, name) for name in _COLUMNS}
        text = np.frombuffer(json_text(about, ascii=True).encode(), np.uint8)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as stream:
                np.savez(stream, about=text, **columns)

        put_file(self.folder / INDEX, write)

    @classmethod
    def load(cls, folder: Path, front_end: FrontEnd) -> ShardIndex:
        """The index of a folder on a disk or at an address.

        On a disk an index that is missing, or lacks a shard, is made from the shards.

        Raises:
            ShardError: no shards or index, a broken one, shards of audio or of another front end.
        """
        place = folder / INDEX
        shown = address(place)
        found, given = None, front_end
        try:
            if is_address(place):
                system, inside = file_system(place)
                data = system.cat_file(inside)
            else:
                data = place.read_bytes()
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                about = json.loads(stored["about"].tobytes())
                given = FrontEnd.from_dict(about["front_end"])
                columns = {name: stored[name] for name in _COLUMNS}
                found = cls(folder, tuple(about["shards"]), **columns)
        except FileNotFoundError:
            if is_address(place):
                raise ShardError(f"{shown}: no index of shards there") from None
        except OSError as error:
            raise ShardError(f"{shown}: {error.strerror or error}") from error
        except Exception as error:  # whatever NumPy makes of another kind of file
            raise ShardError(f"{shown}: not an index of shards: {error}") from error
        if not is_address(place):
            paths = shard_paths(folder)
            if found is None or [path.name for path in paths] != list(found.shards):
                lists = ((path.name, members(path)) for path in paths)
                return cls.of_lists(folder, lists, front_end)
        assert found is not None
        check_transform(shown, given, front_end)
        return found


_COLUMNS = ("shard", "offset", "frames", "samples", "check", "label", "probabilities")


def check_member(shard: object, member: Member, front_end: FrontEnd) -> None:
    """ShardError unless a member is a transform by this front end."""
    if member.extension != "npy" or "frames" not in member.about:
        raise ShardError(f"{shard}: holds .{member.extension}, not transforms")
    check_transform(shard, FrontEnd.from_dict(member.about["front_end"]), front_end)


def all_members(shards: Iterable[Path | str] | Path | str) -> Iterator[tuple[Path, Member]]:
    """Every track of shards on a disk, with its shard."""
    for path in shard_paths(shards):
        for member in members(path):
            yield path, member
