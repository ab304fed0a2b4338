"""Tracks whose transform is on a disk, one by one or a million in columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from stonekey.files import write_atomically
from stonekey.keys import Key

# In the column of labels: no label, no key, and a label that is not sure; else `Key.index`.
UNLABELLED, KEYLESS, UNSURE = -3, -2, -1


@dataclass(frozen=True, slots=True)
class CachedTrack:
    """Where the transform of a track lies.

    ``file`` holds float16 (frames, bins) from byte ``offset`` on; ``samples`` is the length of the
    (detuned) recording at the front end's rate, ``cents`` by how much it was raised; what is known
    of the key is as in `stonekey.data.manifest.Track`.
    """

    path: str
    file: str
    offset: int
    frames: int
    samples: int
    cents: float = 0.0
    key: Key | None = None
    keyless: bool = False
    probabilities: tuple[float, ...] | None = None
    group: str = ""

    @property
    def target(self) -> tuple[float, ...] | None:
        """Probabilities of the 24 keys by `Key.index`, as labelled; None without any label."""
        if self.probabilities is not None:
            return self.probabilities
        if self.keyless:
            return (1 / 24,) * 24
        return None if self.key is None else tuple(float(i == self.key.index) for i in range(24))


class Texts(Sequence[str]):
    """Many texts as one, what they begin with in common kept once."""

    def __init__(self, data: np.ndarray, ends: np.ndarray, prefix: str) -> None:
        """``data``: uint8, the texts without the prefix one after the other; ``ends``: of each."""
        self.data, self.ends, self.prefix = data, ends, prefix

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """Pack texts."""
        # All begin with what the first and the last in order begin with, character by character.
        outer = [min(texts, default=""), max(texts, default="")]
        prefix = os.path.commonprefix(outer)  # noqa: RUF071
        data, ends = bytearray(), np.empty(len(texts), np.int64)
        for number, text in enumerate(texts):
            data += text[len(prefix) :].encode("utf-8", "surrogateescape")
            ends[number] = len(data)
        return cls(np.frombuffer(bytes(data), np.uint8), ends, prefix)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        start = self.ends[number - 1] if number else 0
        text = self.data[start : self.ends[number]].tobytes().decode("utf-8", "surrogateescape")
        return self.prefix + text


class CachedTracks(Sequence[CachedTrack]):
    """Tracks in columns: about 150 bytes each, where objects of their own take 500.

    Attributes:
        offset, frames, samples, cents: as in `CachedTrack`, one number a track.
        label: int8, `Key.index` or one of `UNLABELLED`, `KEYLESS`, `UNSURE`.
    """

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self._columns = columns
        self.offset, self.frames = columns["offset"], columns["frames"]
        self.samples, self.cents = columns["samples"], columns["cents"]
        self.label = columns["label"]
        self._paths = self._texts("path")
        self._files = self._texts("file")
        self._groups = self._texts("group")[:]
        rows = np.flatnonzero(self.label == UNSURE)
        self._unsure = {int(row): place for place, row in enumerate(rows)}

    @classmethod
    def of(cls, tracks: Iterable[CachedTrack]) -> CachedTracks:
        """The same tracks in columns."""
        if isinstance(tracks, cls):
            return tracks
        builder = CachedTracksBuilder()
        for track in tracks:
            builder.append(track)
        return builder.build()

    def _texts(self, name: str) -> Texts:
        c = self._columns
        prefix = c[f"{name}_prefix"].tobytes().decode("utf-8", "surrogateescape")
        return Texts(c[f"{name}_data"], c[f"{name}_ends"], prefix)

    def __len__(self) -> int:
        return len(self.label)

    @overload
    def __getitem__(self, number: int) -> CachedTrack: ...
    @overload
    def __getitem__(self, number: slice) -> list[CachedTrack]: ...
    def __getitem__(self, number: int | slice) -> CachedTrack | list[CachedTrack]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        label, c = int(self.label[number]), self._columns
        unsure = self._unsure.get(number)
        return CachedTrack(
            self._paths[number],
            self._files[int(c["in_file"][number])],
            int(self.offset[number]),
            int(self.frames[number]),
            int(self.samples[number]),
            float(self.cents[number]),
            Key.from_index(label) if label >= 0 else None,
            label == KEYLESS,
            None if unsure is None else tuple(c["probabilities"][unsure].tolist()),
            self._groups[int(c["in_group"][number])],
        )

    def __iter__(self) -> Iterator[CachedTrack]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self[:3])}{', ...' if len(self) > 3 else ''})"

    def names(self) -> np.ndarray:
        """A number for each track, equal for the same path; int64, other ones in each process."""
        return np.fromiter(map(hash, self._paths), np.int64, len(self))

    def save(self, path: Path) -> None:
        """Write the columns to a file (.npz)."""

        def write(temporary: Path) -> None:
            with temporary.open("wb") as stream:
                np.savez(stream, **self._columns)  # type: ignore[arg-type]

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> CachedTracks:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(dict(stored))


class CachedTracksBuilder:
    """Collects tracks into columns one after the other."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._numbers: dict[str, list[int]] = {n: [] for n in ("in_file", "in_group", *_NUMBERS)}
        self._labels = bytearray()
        self._unsure: list[tuple[float, ...]] = []
        self._known: dict[str, dict[str, int]] = {"file": {}, "group": {}}

    def append(self, track: CachedTrack) -> None:
        """Add a track."""
        self._paths.append(track.path)
        for name in _NUMBERS:
            self._numbers[name].append(getattr(track, name))
        for name, known in self._known.items():
            self._numbers[f"in_{name}"].append(known.setdefault(getattr(track, name), len(known)))
        label = UNLABELLED if track.key is None else track.key.index
        if track.probabilities is not None:
            label = UNSURE
            self._unsure.append(track.probabilities)
        elif track.keyless:
            label = KEYLESS
        self._labels += label.to_bytes(1, "little", signed=True)

    def build(self) -> CachedTracks:
        """The tracks."""
        columns: dict[str, np.ndarray] = {
            name: np.array(self._numbers[name], kind)
            for name, kind in {**_NUMBERS, "in_file": np.int32, "in_group": np.int32}.items()
        }
        columns["label"] = np.frombuffer(bytes(self._labels), np.int8)
        columns["probabilities"] = np.array(self._unsure, np.float64).reshape(-1, 24)
        for name, texts in (("path", self._paths), *((n, list(k)) for n, k in self._known.items())):
            packed = Texts.of(texts)
            prefix = np.frombuffer(packed.prefix.encode("utf-8", "surrogateescape"), np.uint8)
            columns |= {f"{name}_data": packed.data, f"{name}_ends": packed.ends}
            columns[f"{name}_prefix"] = prefix
        return CachedTracks(columns)


_NUMBERS: dict[str, Any] = {
    "offset": np.int64, "frames": np.int32, "samples": np.int64, "cents": np.float64,
}  # fmt: skip
