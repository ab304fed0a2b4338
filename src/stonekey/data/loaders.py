"""Endless loaders of training batches, resumable at any step, and fixed ones for validation.

`CachedLoader` cuts log-VQTs out of the cache;
`stonekey.data.audio_loader.AudioLoader` decodes. Modes and resumption: see
`stonekey.data.batch_loader`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import overload

import numpy as np
import torch
from torch import Tensor

from stonekey.data.augment import LogVqt, check_names, of_log_vqt, path_of
from stonekey.data.batch import TrainingBatch, training_batch
from stonekey.data.batch_loader import (
    AHEAD,
    MODES,
    Batch,
    BatchLoader,
    DataError,
    Mode,
)
from stonekey.data.cache import read_frames
from stonekey.data.cached import KEYLESS, UNLABELLED, CachedTrack, CachedTracks
from stonekey.data.segments import (
    BalancedStream,
    check_share,
    draw_one,
    draw_two,
    n_starts,
    segment_frames,
    window_frames,
)
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd
from stonekey.network.vqt import frame_means

__all__ = [
    "MODES",
    "BatchLoader",
    "CachedLoader",
    "DataError",
    "Mode",
    "TrainingBatch",
    "fixed_batches",
    "training_batch",
]


# See `CachedLoader`.
Sampler = Callable[[int, int, np.random.Generator], tuple[int, int]]


class _Recordings(Sequence[list[CachedTrack]]):
    """Recordings, each the list of its variants: some of a `_Variants`."""

    def __init__(self, of: _Variants, chosen: np.ndarray) -> None:
        self._of, self._chosen = of, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, number: int) -> list[CachedTrack]: ...
    @overload
    def __getitem__(self, number: slice) -> _Recordings: ...
    def __getitem__(self, number: int | slice) -> list[CachedTrack] | _Recordings:
        if isinstance(number, slice):
            return _Recordings(self._of, self._chosen[number])
        return [self._of.tracks[int(i)] for i in self._of.variants(int(self._chosen[number]))]


class _Variants:
    """The cached tracks that are long enough, variants of one recording together.

    Kept as numbers: lists of a million lists would take more than the tracks themselves.
    """

    def __init__(self, tracks: Sequence[CachedTrack], front_end: FrontEnd) -> None:
        self.tracks = CachedTracks.of(tracks)
        names = self.tracks.names()
        long = np.flatnonzero(self.tracks.samples >= front_end.segment_samples)
        # Recordings in the order of their first variants, which `unique` gives the places of.
        _, first, recording = np.unique(names[long], return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        place = rank[recording]
        order = np.argsort(place, kind="stable")
        self.order = long[order]
        self.starts = np.searchsorted(place[order], np.arange(len(first) + 1))
        label = self.tracks.label[self.order[self.starts[:-1]]]
        # What has no key teaches nothing of transposition.
        self.recordings = _Recordings(self, np.flatnonzero(label != KEYLESS))
        self.labelled = _Recordings(self, np.flatnonzero(label != UNLABELLED))
        self.skipped_short = len(np.unique(names)) - len(first)

    def variants(self, recording: int) -> np.ndarray:
        return self.order[self.starts[recording] : self.starts[recording + 1]]

    def of(self, supervised: bool) -> _Recordings:
        return self.labelled if supervised else self.recordings


def _strata(tracks: Iterable[CachedTrack]) -> dict[str, list[list[int]]]:
    """Numbers of the tracks by group, and within it by mode; those without a key apart."""
    groups: dict[str, dict[str, list[int]]] = {}
    for number, track in enumerate(tracks):
        assert track.target is not None
        mode = "none" if track.keyless else Key.from_index(int(np.argmax(track.target))).mode
        groups.setdefault(track.group, {}).setdefault(mode, []).append(number)
    return {name: list(modes.values()) for name, modes in groups.items()}


class CachedLoader(BatchLoader):
    """Batches cut from cached transforms; the next ones are read by a thread meanwhile.

    Yields dicts for `training_batch`: log-VQTs ``a`` and ``b`` (batch, 1, bins, frames) float32
    in self-supervised batches; ``a`` and ``label``, float32 (batch, 24) probabilities of the keys
    by `Key.index`, in supervised ones.
    Of a track with detuned variants, one is drawn for both segments.

    Args:
        tracks: from `stonekey.data.cache.build_cache`.
        mode: see above. Self-supervised batches use labelled tracks too.
        batch_size: tracks in a batch, on each rank.
        front_end: the settings that the cache was built with.
        seed: of all draws.
        rank, world: this process and their number.
        augment: names of augmentations (`stonekey.data.augment`) for the cached form, or functions
            of that form. ``detune`` needs a cache with variants.
        device: where the batches are wanted. For a GPU, half precision is transferred and
            scaled there.
        window_seconds: both segments of a track lie within so many seconds; None for no limit.
        shares: how often supervised batches draw from each group of tracks; within a group, major
            and minor keys equally often. None for every track once an epoch.
        sampler: a function of the number of places where a segment can start, the frames of a
            segment and the item's generator; gives the places of two segments, of which a
            supervised batch takes the first. None for the draws of `stonekey.data.segments`.

    Attributes:
        skipped_short: recordings left out because they are shorter than a segment.

    Raises:
        DataError: when no track is long enough, or none labelled where labels are needed.
        ValueError: unknown mode or augmentation, or a window too short for two segments.
    """

    def __init__(
        self,
        tracks: Sequence[CachedTrack],
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
        shares: Mapping[str, float] | None = None,
        sampler: Sampler | None = None,
        ahead: int = AHEAD,
    ) -> None:
        self.front_end = front_end or FrontEnd()
        self._variants = _Variants(tracks, self.front_end)
        self.skipped_short = self._variants.skipped_short
        names = check_names(augment)
        tracks = self._variants.tracks
        if "detune" in names and not tracks.cents.any():
            raise ValueError("detune needs a cache built with detuned variants")
        self._augment = of_log_vqt(names)
        self._sampler = sampler
        self.device = torch.device(device)
        self._frames = segment_frames(self.front_end)
        self._window = window_frames(window_seconds, self.front_end)
        super().__init__(
            {kind: len(self._variants.of(kind)) for kind in (False, True)},
            mode,
            batch_size,
            seed,
            rank,
            world,
            chain(
                (f"{t.path}\n{t.samples}\n{t.cents}\n{t.target}" for t in tracks),
                map(path_of, names),
                [f"window {self._window}"] if self._window else [],
                [f"shares {sorted(shares.items())}"] if shares else [],
                [f"sampler {path_of(sampler)}"] if sampler else [],
            ),
            ahead,
        )
        if shares and True in self.streams:
            self.streams[True] = BalancedStream(
                _strata(v[0] for v in self._variants.labelled), shares, seed, purpose=1
            )

    def make(self, step: int) -> Batch:
        """Read the segments of a batch; on the CPU also scale them."""
        plan = self.batch_plan(step)
        recordings = self._variants.of(plan.supervised)
        chosen: list[tuple[CachedTrack, tuple[int, ...]]] = []
        for draw in plan.draws:
            variants = recordings[draw.index]
            track = variants[int(draw.generator.integers(len(variants)))]
            starts = n_starts(track.samples, self.front_end)
            chosen.append((track, self._places(starts, draw.generator, plan.supervised)))
        # (segments, batch, ...): the first segments of all tracks, then the second ones.
        cuts = [
            (track, starts[i], draw.generator)
            for i in range(1 if plan.supervised else 2)
            for (track, starts), draw in zip(chosen, plan.draws, strict=True)
        ]
        x = self._read(cuts)
        size = len(chosen)
        if plan.supervised:
            return {"a": x, "label": _labels([track for track, _ in chosen])}
        return {"a": x[:size], "b": x[size:]}

    def _places(
        self, starts: int, generator: np.random.Generator, supervised: bool
    ) -> tuple[int, ...]:
        """Where the segments of a track start, in frames."""
        if self._sampler is not None:
            two = tuple(self._sampler(starts, self._frames, generator))
            if len(two) != 2 or not all(0 <= place < starts for place in two):
                raise ValueError(f"the sampler gives {two}, not two places from 0 to {starts - 1}")
            return two[:1] if supervised else two
        if supervised:
            return (draw_one(starts, generator),)
        return draw_two(starts, self._frames, generator, self._window)

    def _read(self, cuts: Sequence[tuple[CachedTrack, int, np.random.Generator]]) -> Tensor:
        if self.device.type == "cpu" or self._augment:
            return _read_scaled(cuts, self.front_end, self._augment)
        shape = (len(cuts), self._frames, self.front_end.n_bins)
        raw = torch.empty(shape, dtype=torch.float16, pin_memory=self.device.type == "cuda")
        for out, (track, start, _) in zip(raw.numpy(), cuts, strict=True):
            read_frames(track, start, out)
        return raw

    def finish(self, batch: Batch) -> Batch:
        """Move a batch to the device and scale it there."""
        return to_device(batch, self.device, self.front_end.average)


def to_device(batch: Batch, device: torch.device, average: int) -> Batch:
    """A batch on a device, where what is half precision is scaled."""
    if device.type == "cpu":
        return batch
    moved = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
    for name in ("a", "b"):
        if name in moved and moved[name].dtype == torch.float16:
            moved[name] = scale(moved[name], average)
    return moved


def scale(x: Tensor, average: int = 1) -> Tensor:
    """Cached frames to network input: (n, frames, bins) -> (n, 1, bins, frames // average).

    float16 to float32. The floor is 80 dB below each segment's maximum, and 0 dB becomes 1, as in
    `stonekey.network.vqt.log_vqt`.
    """
    x = x.float()
    floor = x.amax(dim=(1, 2), keepdim=True) - 1.0
    scaled = (torch.maximum(x, floor) + 1.0).transpose(1, 2)[:, None]
    return frame_means(scaled, average).contiguous()


def _read_scaled(
    cuts: Sequence[tuple[CachedTrack, int, np.random.Generator]],
    front_end: FrontEnd,
    augment: Sequence[LogVqt] = (),
) -> Tensor:
    """Cut segments and `scale_each`."""
    half = np.empty((segment_frames(front_end), front_end.n_bins), np.float16)

    def read() -> Iterator[tuple[np.ndarray, np.random.Generator]]:
        for track, start, generator in cuts:
            read_frames(track, start, half)
            yield half, generator

    return scale_each(read(), len(cuts), front_end, augment)


def scale_each(
    cuts: Iterable[tuple[np.ndarray, np.random.Generator]],
    count: int,
    front_end: FrontEnd,
    augment: Sequence[LogVqt] = (),
) -> Tensor:
    """`scale` for segments (frames, bins) float16, in NumPy and one after the other.

    So each stays in the processor's cache, and torch's threads are left to the training step.
    """
    frames, bins = segment_frames(front_end), front_end.n_bins
    average = front_end.average
    out = torch.empty((count, 1, bins, frames // average))
    x = np.empty((frames, bins), np.float32)
    for target, (half, generator) in zip(out.numpy(), cuts, strict=True):
        np.copyto(x, half)
        y = x
        for function in augment:
            y = function(y, generator)
        np.maximum(y, y.max() - np.float32(1), out=y)
        y += np.float32(1)
        if average > 1:
            y = y[: frames // average * average].reshape(-1, average, bins).mean(axis=1)
        target[0] = y.T
    return out


def _labels(tracks: Sequence[CachedTrack]) -> Tensor:
    return torch.tensor([track.target for track in tracks], dtype=torch.float32)


def fixed_batches(
    tracks: Sequence[CachedTrack],
    batch_size: int = 128,
    *,
    supervised: bool = False,
    front_end: FrontEnd | None = None,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
    limit: int | None = None,
) -> Iterator[Batch]:
    """Validation: every track once, in order, with the same segments each time; never detuned.

    As `CachedLoader`, with ``items``, the tracks' numbers in the data set. The last batch may be
    smaller.

    Args:
        tracks: cached tracks; skips those that are too short or, if ``supervised``, unlabelled.
        batch_size: tracks in a batch, on each rank.
        supervised: one segment and the label, instead of two segments.
        front_end: the settings that the cache was built with.
        seed: of the segments.
        rank, world: rank r of W takes the tracks r, r + W, ...
        limit: take only so many tracks of the data set.

    Raises:
        DataError: when there are no such tracks.
    """
    front_end = front_end or FrontEnd()
    check_share(rank, world)
    plain = [track for track in tracks if track.cents == 0]
    recordings = _Variants(plain, front_end).of(supervised)[:limit]
    if not recordings:
        raise DataError("no track has a label" if supervised else "no track is long enough")
    length = segment_frames(front_end)
    numbers = range(rank, len(recordings), world)
    for first in range(0, len(numbers), batch_size):
        items = numbers[first : first + batch_size]
        cuts: list[list[tuple[CachedTrack, int, np.random.Generator]]] = [[], []]
        for item in items:
            track = recordings[item][0]
            generator = np.random.default_rng([seed, item])
            starts = n_starts(track.samples, front_end)
            two = draw_two(starts, length, generator)
            for part, start in zip(cuts, two, strict=True):
                part.append((track, start, generator))
        batch: Batch = {
            "a": _read_scaled(cuts[0], front_end),
            "items": torch.tensor(list(items), dtype=torch.int64),
        }
        if supervised:
            batch["label"] = _labels([track for track, _, _ in cuts[0]])
        else:
            batch["b"] = _read_scaled(cuts[1], front_end)
        yield batch
