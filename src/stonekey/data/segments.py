"""Where training segments come from: which track at which step, and which parts of it.

Everything is a function of (seed, position), never of what was drawn before. So a run resumes
from one number, and the segments do not depend on threads, workers or the number of processes.

Positions: the stream of a run is endless; epoch e of n tracks holds positions e * n .. e * n + n-1,
each track once, in an order shuffled for that epoch. Of W shares (processes, or workers of
processes) share r has the positions r, r + W, r + 2 W, ...: together one epoch, without repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stonekey.model.settings import FrontEnd

_ORDER, _ITEM = 0, 1  # What a seed is used for: the order of an epoch, or one item's draws.


@dataclass(frozen=True)
class Draw:
    """One item of the stream: its place, the track taken, and the generator for its draws."""

    position: int
    index: int
    generator: np.random.Generator


class TrackStream:
    """The endless shuffled stream of track numbers.

    Args:
        tracks: how many tracks there are.
        seed: of the orders and of the items' generators.
        purpose: distinguishes streams of one run with the same seed (self-supervised 0,
            supervised 1).

    Raises:
        ValueError: when there are no tracks.
    """

    def __init__(self, tracks: int, seed: int = 0, purpose: int = 0) -> None:
        if tracks < 1:
            raise ValueError("no tracks to draw from")
        self.tracks = tracks
        self.seed = (seed, purpose)
        self._epoch = -1
        self._order = np.empty(0, np.int64)

    def order(self, epoch: int) -> np.ndarray:
        """The tracks, int64 (tracks,), as epoch 0, 1, ... takes them: any order alike."""
        return np.random.default_rng([*self.seed, _ORDER, epoch]).permutation(self.tracks)

    def draw(self, position: int) -> Draw:
        """The item at a position, 0, 1, ..."""
        epoch, place = divmod(position, self.tracks)
        if epoch != self._epoch:
            self._order, self._epoch = self.order(epoch), epoch
        generator = np.random.default_rng([*self.seed, _ITEM, position])
        return Draw(position, int(self._order[place]), generator)

    def share(self, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Draw]:
        """The items of one of ``world`` shares, endlessly, from its ``start``-th on.

        Raises:
            ValueError: unless 0 <= rank < world.
        """
        check_share(rank, world)
        position = start * world + rank
        while True:
            yield self.draw(position)
            position += world


class BalancedStream(TrackStream):
    """A stream that draws from groups of tracks by their shares, from each group's strata alike.

    Every item is drawn anew, so a track of a small stratum comes more often.

    Args:
        groups: for each group the track numbers of each of its strata.
        shares: how often each group comes, in any unit.
        seed, purpose: see `TrackStream`.

    Raises:
        ValueError: for a share that is negative, or of a group that has no tracks.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[Sequence[int]]],
        shares: Mapping[str, float],
        seed: int = 0,
        purpose: int = 0,
    ) -> None:
        if missing := sorted(name for name in shares if name not in groups):
            known = ", ".join(sorted(groups))
            raise ValueError(f"no labelled tracks in group {missing[0]!r}; groups: {known}")
        if min(shares.values()) < 0 or not sum(shares.values()) > 0:
            raise ValueError(f"shares must not be negative, nor all 0; got {dict(shares)}")
        self._strata = [groups[name] for name in shares]
        self._shares = np.array(list(shares.values())) / sum(shares.values())
        super().__init__(sum(len(s) for strata in self._strata for s in strata), seed, purpose)

    def draw(self, position: int) -> Draw:
        """The item at a position, 0, 1, ..."""
        generator = np.random.default_rng([*self.seed, _ITEM, position])
        strata = self._strata[int(generator.choice(len(self._strata), p=self._shares))]
        stratum = strata[int(generator.integers(len(strata)))]
        return Draw(position, int(stratum[int(generator.integers(len(stratum)))]), generator)


def check_share(rank: int, world: int) -> None:
    """ValueError unless 0 <= rank < world."""
    if not 0 <= rank < world:
        raise ValueError(f"rank must be 0 to {world - 1}, got {rank}")


def segment_frames(front_end: FrontEnd) -> int:
    """Frames of a segment: 646."""
    return front_end.frames(front_end.segment_samples)


def n_starts(samples: int, front_end: FrontEnd) -> int:
    """Frames at which a segment can start in a recording: 0 when it is shorter than one.

    Starts lie on the grid of frames, 23 ms, so that segments can be cut from a transform.
    """
    return max(0, (samples - front_end.segment_samples) // front_end.hop + 1)


def draw_one(starts: int, generator: np.random.Generator) -> int:
    """Start of a segment, in frames: uniform over the ``starts`` that there are.

    Raises:
        ValueError: when the recording is shorter than a segment.
    """
    if starts < 1:
        raise ValueError("the recording is shorter than a segment")
    return int(generator.integers(starts))


def window_frames(seconds: float | None, front_end: FrontEnd) -> int | None:
    """Frames of a window of ``seconds`` that two segments are to lie in; None for the whole.

    Raises:
        ValueError: when two segments do not fit.
    """
    if seconds is None:
        return None
    if seconds < 2 * front_end.segment_seconds:
        raise ValueError(
            f"a window of {seconds:g} s does not hold two segments of "
            f"{front_end.segment_seconds:g} s"
        )
    return front_end.frames(round(seconds * front_end.sample_rate))


def draw_two(
    starts: int, length: int, generator: np.random.Generator, window: int | None = None
) -> tuple[int, int]:
    """Starts of two segments of one recording, in frames.

    Where two disjoint segments fit, every ordered pair of starts (p, q) with
    |p - q| >= length is equally likely. Where they do not (recordings of 15 to 30 s), the first
    segment and the last one, which overlap, in random order.

    The draw: with M = starts - 1 - length, two different numbers i < j out of 0 .. M + 1 stand
    for the starts i and j - 1 + length; all ordered (i, j) are equally likely.

    Args:
        starts: from `n_starts`.
        length: frames of a segment.
        generator: of the item.
        window: from `window_frames`: draw a place for a window of so many frames, then both
            segments within it.

    Raises:
        ValueError: when the recording is shorter than a segment.
    """
    if starts < 1:
        raise ValueError("the recording is shorter than a segment")
    if window is not None and starts > (within := window - length + 1):
        first = int(generator.integers(starts - within + 1))
        i, j = draw_two(within, length, generator)
        return first + i, first + j
    room = starts - length
    if room < 1:
        pair = (0, starts - 1)
        return pair if generator.integers(2) else pair[::-1]
    i = int(generator.integers(room + 1))
    j = int(generator.integers(room))
    j += j >= i
    if i < j:
        return i, j - 1 + length
    return i - 1 + length, j
