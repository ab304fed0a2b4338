"""Where the segments of a recording lie, computed plainly."""

from __future__ import annotations

from stonekey.estimate.segments import segment_hop


def segment_starts(
    samples: int, length: int, overlap: float = 0.0, whole: bool = True
) -> list[int]:
    """First sample of each segment of a recording, all at once (`stonekey.estimate.segments.cut`).

    Args:
        samples: length of the recording.
        length: length of a segment; a shorter recording is one segment.
        overlap: share of a segment that the next one repeats, 0 <= overlap < 1.
        whole: add a last segment that ends with the recording (the published inference drops
            the remainder).
    """
    if samples <= length:
        return [0]
    starts = list(range(0, samples - length + 1, segment_hop(length, overlap)))
    if whole and starts[-1] + length < samples:
        starts.append(samples - length)
    return starts
