"""Training batches from shards of transforms, read in long stretches from a disk or a network.

An epoch takes every track once. It is a random order of stretches of `STRETCH` tracks that follow
each other in a shard, so reading is in sequence, and each process has an equal part of it. It reads
``buffer`` tracks, cuts their segments, and gives these in random order while it reads the next.
All of it follows from the seed and the number of a batch, so a run resumes anywhere: it reads the
tracks of one buffer again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stonekey.data.augment import LogVqt, check_names, of_log_vqt, path_of
from stonekey.data.batch_loader import AHEAD, Batch, BatchLoader, DataError, Mode
from stonekey.data.cached import KEYLESS, UNLABELLED
from stonekey.data.loaders import scale_each, to_device
from stonekey.data.segments import draw_one, draw_two, n_starts, segment_frames, window_frames
from stonekey.data.shard_index import ShardError, ShardIndex
from stonekey.files import file_system
from stonekey.model.settings import FrontEnd
from stonekey.text import address, is_address

logger = logging.getLogger(__name__)

STRETCH = 64
BUFFER = 1024
READERS = 4  # at once: a network answers late
REQUEST_BYTES = 1 << 24
# What lies between two tracks is read with them, when there is no more of it.
GAP_BYTES = 1 << 16
TRIES, WAIT_SECONDS = 4, 1.0
_ORDER, _ITEM, _SHUFFLE = 0, 1, 2  # What a seed is used for.


@dataclass(frozen=True)
class _Block:
    """Tracks of a buffer: rows of the index, segments (tracks, 1 or 2, frames, bins), draws."""

    rows: np.ndarray
    segments: np.ndarray
    generators: list[np.random.Generator]


class _Order:
    """The rows that a process reads, epoch by epoch."""

    def __init__(
        self, rows: np.ndarray, shard: np.ndarray, seed: tuple[int, int], rank: int, world: int
    ) -> None:
        self.size = len(rows) // world
        self.seed = seed
        self._rows, self._first = rows, rank * self.size
        new = np.flatnonzero(np.diff(shard[rows], prepend=-1))
        place = np.arange(len(rows)) - np.repeat(new, np.diff(np.append(new, len(rows))))
        self._starts = np.flatnonzero(place % STRETCH == 0)
        self._known: tuple[int, np.ndarray] = (-1, rows)

    def epoch(self, number: int) -> np.ndarray:
        """The rows of this process; of ``world`` processes up to ``world - 1`` tracks are left."""
        if self._known[0] != number:
            lengths = np.diff(np.append(self._starts, len(self._rows)))
            order = np.random.default_rng([*self.seed, _ORDER, number]).permutation(len(lengths))
            lengths = lengths[order]
            ends = np.cumsum(lengths)
            places = np.arange(len(self._rows)) + np.repeat(
                self._starts[order] - (ends - lengths), lengths
            )
            self._known = number, self._rows[places[self._first : self._first + self.size]]
        return self._known[1]


class ShardLoader(BatchLoader):
    """Batches of transforms in shards; as `stonekey.data.loaders.CachedLoader` otherwise.

    A detuned variant counts as a track. An array whose checksum is another is read again, then left
    out, logged and kept in ``failed``; another track takes its place. What cannot be read is tried
    for 11 s.

    Args:
        index: of the shards.
        mode, batch_size, front_end, seed, rank, world, augment, device, window_seconds: as for
            `CachedLoader`.
        buffer: tracks whose segments are mixed. Two buffers are held, 256 kB a track and kind of
            batch: 0.5 GB for 1024, twice that in mode ``mix``.

    Raises:
        DataError: no track is long enough, none is labelled where labels are needed, or there are
            fewer than processes.
        ValueError: as for `CachedLoader`.
    """

    def __init__(
        self,
        index: ShardIndex,
        mode: Mode = "selfsupervised",
        batch_size: int = 128,
        *,
        front_end: FrontEnd | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        augment: Sequence[str | LogVqt] = (),
        device: torch.device | str = "cpu",
        window_seconds: float | None = None,
        buffer: int = BUFFER,
        ahead: int = AHEAD,
    ) -> None:
        self.front_end = front_end or FrontEnd()
        self.index, self.device, self.buffer = index, torch.device(device), buffer
        self.failed: set[str] = set()
        names = check_names(augment)
        self._augment = of_log_vqt(names)
        self._frames = segment_frames(self.front_end)
        self._window = window_frames(window_seconds, self.front_end)
        long = index.samples >= self.front_end.segment_samples
        self.skipped_short = int(np.count_nonzero(~long))
        rows = {
            False: np.flatnonzero(long & (index.label != KEYLESS)),
            True: np.flatnonzero(long & (index.label != UNLABELLED)),
        }
        columns = (index.shard, index.offset, index.samples, index.label, index.probabilities)
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(c).tobytes() for c in columns))
        about = [digest.hexdigest(), *index.shards, *map(path_of, names), f"buffer {buffer}"]
        about += [f"window {self._window}"] if self._window else []
        sizes = {kind: len(found) for kind, found in rows.items()}
        super().__init__(sizes, mode, batch_size, seed, rank, world, about, ahead)
        self._orders = {
            kind: _Order(rows[kind], index.shard, (seed, int(kind)), rank, world)
            for kind in self.streams
        }
        for order in self._orders.values():
            if not order.size:
                raise DataError(f"fewer tracks than the {world} processes")
        # A block may wait for pieces, so they have threads of their own.
        self._reading = ThreadPoolExecutor(1, "blocks")
        self._pieces = ThreadPoolExecutor(READERS, "read")
        self._blocks: dict[tuple[bool, int, int], Future[_Block]] = {}
        self._closing = threading.Event()

    def make(self, step: int) -> Batch:
        """Take a batch from the buffer; on the CPU also scale it."""
        kind = self.mode == "supervised" or (self.mode == "mix" and step % 2 == 1)
        first = (step // 2 if self.mode == "mix" else step) * self.batch_size
        taken = [self._item(kind, first + i) for i in range(self.batch_size)]
        cuts = [
            (block.segments[place, view], block.generators[place])
            for view in range(1 if kind else 2)
            for block, place in taken
        ]
        if self.device.type == "cpu" or self._augment:
            x = scale_each(cuts, len(cuts), self.front_end, self._augment)
        else:
            shape = (len(cuts), self._frames, self.front_end.n_bins)
            x = torch.empty(shape, dtype=torch.float16, pin_memory=self.device.type == "cuda")
            np.stack([cut for cut, _ in cuts], out=x.numpy())
        if kind:
            rows = np.array([block.rows[place] for block, place in taken])
            return {"a": x, "label": torch.from_numpy(self.index.targets(rows))}
        return {"a": x[: self.batch_size], "b": x[self.batch_size :]}

    def finish(self, batch: Batch) -> Batch:
        """Move a batch to the device and scale it there."""
        return to_device(batch, self.device, self.front_end.average)

    def close(self) -> None:
        """Stop reading; the next batch starts it again."""
        self._closing.set()
        super().close()
        for block in self._blocks.values():
            block.cancel()
        self._blocks.clear()

    def _item(self, kind: bool, position: int) -> tuple[_Block, int]:
        """The buffer and the place in it of an item of this process."""
        size = self._orders[kind].size
        epoch, place = divmod(position, size)
        number, place = divmod(place, self.buffer)
        key = (kind, epoch, number)
        last = (number + 1) * self.buffer >= size
        following = (kind, epoch + 1, 0) if last else (kind, epoch, number + 1)
        if key not in self._blocks or following not in self._blocks:
            self._closing.clear()
            for old in [k for k in self._blocks if k[0] == kind and k not in (key, following)]:
                del self._blocks[old]
            for wanted in (key, following):
                if wanted not in self._blocks:
                    self._blocks[wanted] = self._reading.submit(self._block, *wanted)
        return self._blocks[key].result(), place

    def _block(self, kind: bool, epoch: int, number: int) -> _Block:
        """Read a buffer; its items are in random order."""
        order = self._orders[kind]
        rows = order.epoch(epoch)[number * self.buffer : (number + 1) * self.buffer]
        seed = order.seed
        shuffled = np.random.default_rng([*seed, _SHUFFLE, epoch, number, self.rank]).permutation(
            len(rows)
        )
        views = 1 if kind else 2
        segments = np.empty((len(rows), views, self._frames, self.front_end.n_bins), np.float16)
        generators = [np.random.default_rng([*seed, _ITEM, epoch, int(row)]) for row in rows]

        def read(piece: range) -> list[int]:
            return self._read(rows, piece, shuffled, segments, generators)

        bad = [i for found in self._pieces.map(read, self._spans(rows)) for i in found]
        good = np.setdiff1d(np.arange(len(rows)), bad)
        if not len(good):
            raise ShardError(f"{self._name(int(rows[0]))}: nothing there has its checksum")
        taken = np.arange(len(rows))
        taken[bad] = good[np.arange(len(bad)) % len(good)]
        segments[shuffled[bad]] = segments[shuffled[taken[bad]]]
        mixed_rows, mixed = np.empty_like(rows), list(generators)
        mixed_rows[shuffled] = rows[taken]
        for i, place in enumerate(shuffled):
            mixed[place] = generators[i]
        return _Block(mixed_rows, segments, mixed)

    def _spans(self, rows: np.ndarray) -> Iterator[range]:
        """Places of rows that lie together in a shard, as much as one request reads."""
        index, width = self.index, self.front_end.n_bins * 2
        shard, start = index.shard[rows], index.offset[rows]
        end = start + index.frames[rows] * width
        first = 0
        for i in range(1, len(rows) + 1):
            if (
                i == len(rows)
                or shard[i] != shard[first]
                or not 0 <= start[i] - end[i - 1] <= GAP_BYTES
                or end[i] - start[first] > REQUEST_BYTES
            ):
                yield range(first, i)
                first = i

    def _read(
        self,
        rows: np.ndarray,
        piece: range,
        places: np.ndarray,
        segments: np.ndarray,
        generators: list[np.random.Generator],
    ) -> list[int]:
        """Read some rows and cut their segments; returns those without their checksum."""
        index, bins = self.index, self.front_end.n_bins
        begin = int(index.offset[rows[piece[0]]])
        last = rows[piece[-1]]
        end = int(index.offset[last]) + int(index.frames[last]) * bins * 2
        data = self._bytes(int(index.shard[last]), begin, end)
        bad = []
        for i in piece:
            row = int(rows[i])
            first, size = int(index.offset[row]) - begin, int(index.frames[row]) * bins * 2
            array = data[first : first + size]
            if not self._whole(row, array):
                array = self._bytes(int(index.shard[row]), first + begin, first + begin + size)
                if not self._whole(row, array):
                    name = self._name(row)
                    if name not in self.failed:
                        self.failed.add(name)
                        logger.warning("%s: has another checksum; left out", name)
                    bad.append(i)
                    continue
            x = array.view(np.float16).reshape(-1, bins)
            starts = n_starts(int(index.samples[row]), self.front_end)
            if segments.shape[1] == 1:
                pair: tuple[int, ...] = (draw_one(starts, generators[i]),)
            else:
                pair = draw_two(starts, self._frames, generators[i], self._window)
            for view, start in enumerate(pair):
                segments[places[i], view] = x[start : start + self._frames]
        return bad

    def _whole(self, row: int, array: np.ndarray) -> bool:
        check = int(self.index.check[row])
        return check < 0 or zlib.crc32(array.data) == check

    def _name(self, row: int) -> str:
        shard = address(self.index.folder / self.index.shards[int(self.index.shard[row])])
        return f"{shard}, byte {int(self.index.offset[row])}"

    def _bytes(self, shard: int, begin: int, end: int) -> np.ndarray:
        """Bytes of a shard, uint8; tried several times.

        Raises:
            ShardError: they cannot be read.
        """
        path = self.index.folder / self.index.shards[shard]
        for attempt in range(TRIES):
            if self._closing.wait(WAIT_SECONDS * (2**attempt - 1)):
                break
            try:
                data = _read_bytes(path, begin, end)
            except Exception as error:  # each file system of fsspec has its own
                why = str(getattr(error, "strerror", None) or error or type(error).__name__)
                continue
            if len(data) == end - begin:
                return data
            why = f"{len(data)} bytes came for {end - begin}: cut short, or a server without ranges"
        else:
            raise ShardError(f"{address(path)}: {why}")
        raise ShardError(f"{address(path)}: not read, the loader is closed")


def _read_bytes(path: Path, begin: int, end: int) -> np.ndarray:
    if is_address(path):
        system, inside = file_system(path)
        return np.frombuffer(system.cat_file(inside, start=begin, end=end), np.uint8)
    data = np.empty(end - begin, np.uint8)
    with open(path, "rb", buffering=0) as stream:
        stream.seek(begin)
        read = 0
        while step := stream.readinto(data[read:].data):
            read += step
    return data[:read]
