"""Batches of waveforms, decoded as they are needed: no cache, any augmentation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from stonekey.audio import AudioError, load_audio
from stonekey.data.augment import MAX_CENTS, WAVEFORM, LogVqt, check_names
from stonekey.data.batch_loader import AHEAD, Batch, BatchLoader, Mode
from stonekey.data.segments import (
    Draw,
    draw_one,
    draw_two,
    n_starts,
    segment_frames,
    window_frames,
)
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd

logger = logging.getLogger(__name__)

# A file that gives nothing is replaced by another, so many times before the run is given up.
ATTEMPTS = 50


class Source(Protocol):
    """A recording: a `stonekey.data.manifest.Track` or a `stonekey.data.shards.ShardTrack`.

    ``path`` names it; it is also where the audio is, unless there is a method ``open``, which
    gives a binary file.
    """

    @property
    def path(self) -> object:
        """Name, and file unless there is ``open``."""

    @property
    def key(self) -> Key | None:
        """Label, if any."""


@dataclass(frozen=True)
class _Item:
    segments: np.ndarray
    key: Key | None


class AudioLoader(BatchLoader):
    """Batches of waveforms at the front end's rate, each track scaled to a peak of 1.

    Yields dicts: ``audio`` (batch, samples, 2) float32 in self-supervised batches; ``audio``
    (batch, samples, 1) and ``keymode``, a list of spellings, in supervised ones. Segments are
    drawn as by `stonekey.data.loaders.CachedLoader`, but the two loaders draw differently.

    Every item is decoded whole, so this suits trials and augmentation; use the cache to train.
    A file that cannot be read or is too short is logged once, kept in ``failed``, never tried
    again, and its place taken by another track, drawn with the item's own generators.

    Args:
        tracks: of a manifest, or of shards of audio.
        mode, batch_size, seed, rank, world: as for `CachedLoader`.
        front_end: for the sample rate and the length of a segment.
        augment: names of augmentations (`stonekey.data.augment`). Detuning is the same for both
            segments of a track; the others are drawn for each.
        window_seconds: as for `CachedLoader`.
        workers: threads that decode.

    Raises:
        DataError: no tracks, or no labelled ones where labels are needed.
        ValueError: unknown mode or augmentation, or a window too short for two segments.
    """

    def __init__(
        self,
        tracks: Sequence[Source],
        mode: Mode = "selfsupervised",
        batch_size: int = 128,
        *,
        front_end: FrontEnd | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        augment: Sequence[str | LogVqt] = (),
        window_seconds: float | None = None,
        workers: int = 2,
        ahead: int = AHEAD,
    ) -> None:
        self.front_end = front_end or FrontEnd()
        self.failed: dict[str, str] = {}
        self._augment = [name for name in check_names(augment) if isinstance(name, str)]
        if len(self._augment) < len(set(augment)):
            raise ValueError("an augmentation of your own needs transforms, not decoded audio")
        self._window = window_frames(window_seconds, self.front_end)
        everything, labelled = list(tracks), [t for t in tracks if t.key is not None]
        self._tracks = {False: everything, True: labelled}
        self._pool = ThreadPoolExecutor(workers, "decode")
        super().__init__(
            {kind: len(of) for kind, of in self._tracks.items()},
            mode,
            batch_size,
            seed,
            rank,
            world,
            [f"{t.path}\n{t.key}" for t in tracks]
            + self._augment
            + ([f"window {self._window}"] if self._window else []),
            ahead,
        )

    def make(self, step: int) -> Batch:
        """Decode and cut a batch."""
        plan = self.batch_plan(step)
        items = list(self._pool.map(lambda draw: self._item(draw, plan.supervised), plan.draws))
        audio = torch.from_numpy(np.stack([item.segments for item in items]))
        if plan.supervised:
            return {"audio": audio, "keymode": [str(item.key) for item in items]}
        return {"audio": audio}

    def _item(self, draw: Draw, supervised: bool) -> _Item:
        tracks = self._tracks[supervised]
        index, generator = draw.index, draw.generator
        for _ in range(ATTEMPTS):
            track = tracks[index]
            reason = self.failed.get(str(track.path), "")
            try:
                if not reason:
                    return _Item(self._cut(track, generator, supervised), track.key)
            except AudioError as error:
                reason = error.reason
            except (OSError, ValueError, RuntimeError) as error:
                reason = f"{type(error).__name__}: {error}"
            if str(track.path) not in self.failed:
                self.failed[str(track.path)] = reason
                logger.warning("%s: %s; skipped", track.path, reason)
            # A new one: what a failed attempt has drawn before it failed must not matter.
            generator = draw.generator.spawn(1)[0]
            index = int(generator.integers(len(tracks)))
        raise RuntimeError(f"{ATTEMPTS} files in a row give no segment, the last: {reason}")

    def _cut(self, track: Source, generator: np.random.Generator, supervised: bool) -> np.ndarray:
        """Segments of one track, (samples, 1 or 2) float32."""
        rate, length = self.front_end.sample_rate, self.front_end.segment_samples
        opener = getattr(track, "open", None)
        samples = load_audio(opener() if opener else track.path, rate).samples  # type: ignore[arg-type]
        peak = float(np.max(np.abs(samples)))
        if peak == 0:
            raise ValueError("is silent")
        samples = samples / np.float32(peak)
        if "detune" in self._augment:
            # Whether a file is passed over for good must not depend on the draw.
            if not n_starts(int(len(samples) / 2 ** (MAX_CENTS / 1200)) - 1, self.front_end):
                raise ValueError("the recording is shorter than a segment")
            samples = WAVEFORM["detune"](samples, rate, generator)
        starts = n_starts(len(samples), self.front_end)
        if supervised:
            pair: tuple[int, ...] = (draw_one(starts, generator),)
        else:
            pair = draw_two(starts, segment_frames(self.front_end), generator, self._window)
        cuts = []
        for start in pair:
            first = start * self.front_end.hop
            cut = samples[first : first + length]
            for name in self._augment:
                if name != "detune":
                    cut = WAVEFORM[name](cut, rate, generator)
            cuts.append(cut)
        return np.stack(cuts, axis=1).astype(np.float32)
