"""Cut a stream of audio into segments for the network."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# A recording's peak is known only once all of it is read, so this much is held back; a longer
# recording is scaled, block by block, by its peak so far.
PEAK_BLOCK_SECONDS = 600


@dataclass(frozen=True)
class Windows:
    """Segments of ``seconds``, one every ``hop`` seconds."""

    hop: float
    seconds: float


def segment_hop(length: int, overlap: float) -> int:
    """Samples from one segment's start to the next; ValueError outside 0 <= overlap < 1."""
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be at least 0 and below 1, got {overlap}")
    return max(1, round(length * (1 - overlap)))


def cut(
    blocks: Iterable[np.ndarray], length: int, overlap: float = 0.0, whole: bool = True
) -> Iterator[tuple[int, np.ndarray]]:
    """Segments of a stream, in bounded memory.

    Args:
        blocks: consecutive 1-d parts of the recording.
        length: samples of a segment.
        overlap: share of a segment that the next one repeats, 0 <= overlap < 1.
        whole: add a last segment that ends with the recording (the published inference drops
            the remainder).

    Yields:
        (first sample, samples of ``length``). A recording shorter than ``length`` is yielded
        whole; an empty stream yields nothing.
    """
    hop = segment_hop(length, overlap)
    held: list[np.ndarray] = []  # joined once per segment, not once per block
    waiting = 0  # samples held
    origin = 0  # position of the first of them in the recording
    following = 0  # where the next segment starts
    for block in blocks:
        held.append(block)
        waiting += len(block)
        if following + length > origin + waiting:
            continue
        buffer = np.concatenate(held)
        while following + length <= origin + waiting:
            yield following, buffer[following - origin :][:length]
            following += hop
        # Keep the last `length` samples: they may become the segment that ends the recording.
        drop = max(0, min(following - origin, waiting - length))
        held, origin, waiting = [buffer[drop:]], origin + drop, waiting - drop
    total = origin + waiting
    if 0 < total < length:
        yield 0, np.concatenate(held)
    elif total and whole and following - hop + length < total:
        yield total - length, np.concatenate(held)[-length:]


def in_step(
    streams: Sequence[Iterable[tuple[int, np.ndarray]]],
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Segments of several `cut` of one recording, by their ends, so that none runs ahead.

    Yields:
        (number of the stream, first sample, samples).
    """

    def numbered(
        number: int, stream: Iterable[tuple[int, np.ndarray]]
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        for start, samples in stream:
            yield number, start, samples

    return heapq.merge(
        *(numbered(number, stream) for number, stream in enumerate(streams)),
        key=lambda segment: segment[1] + len(segment[2]),
    )


def peak_normalised(blocks: Iterable[np.ndarray], hold: int) -> Iterator[np.ndarray]:
    """Scale a stream so that its peak is 1 (silence stays silence).

    Args:
        blocks: consecutive 1-d parts of a recording.
        hold: samples to hold back. A recording of up to ``hold`` samples is scaled by its
            peak; a longer one, in portions of ``hold``, by its peak so far. The network's first
            norm cancels a constant gain, so this matters only in segments about 40 dB below
            the peak.
    """
    held: list[np.ndarray] = []
    waiting = 0
    peak = 0.0

    def release() -> Iterator[np.ndarray]:
        for block in held:
            # Do not multiply by 1 / peak, which overflows for a denormal peak.
            yield block / np.float32(peak) if peak > 0 else block
        held.clear()

    for block in blocks:
        if not len(block):
            continue
        peak = max(peak, float(block.max()), -float(block.min()))
        held.append(block)
        waiting += len(block)
        if waiting >= hold:
            yield from release()
            waiting = 0
    yield from release()
