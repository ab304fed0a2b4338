"""Cutting and scaling a stream gives what the whole array would, whatever the blocks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from plain_cuts import segment_starts

from stonekey.estimate.segments import cut, peak_normalised, segment_hop


def in_blocks(rng: np.random.Generator, samples: np.ndarray, largest: int) -> Iterator[np.ndarray]:
    """The samples in blocks of random size, empty ones among them."""
    at = 0
    while at < len(samples):
        size = int(rng.integers(0, largest + 1))
        yield samples[at : at + size]
        at += size


def test_cut_is_the_direct_computation() -> None:
    for rng in map(np.random.default_rng, range(200)):
        length = int(rng.integers(1, 60))
        samples = rng.standard_normal(int(rng.integers(1, 6 * length + 2))).astype(np.float32)
        overlap = float(rng.choice([0.0, 0.25, 0.5, 0.9, rng.random()]))
        whole = bool(rng.integers(2))
        largest = int(rng.choice([1, 3, length, 3 * length, 10 * length]))

        pieces = list(cut(in_blocks(rng, samples, largest), length, overlap, whole))

        starts = segment_starts(len(samples), length, overlap, whole)
        assert [start for start, _ in pieces] == starts
        for start, piece in pieces:
            np.testing.assert_array_equal(piece, samples[start : start + length])
            assert len(piece) == min(length, len(samples))


def test_every_sample_is_covered() -> None:
    for rng in map(np.random.default_rng, range(200)):
        length, samples = int(rng.integers(1, 100)), int(rng.integers(1, 1000))
        overlap = float(rng.random())
        covered = np.zeros(samples, dtype=int)
        starts = segment_starts(samples, length, overlap)
        for start in starts:
            covered[start : start + length] += 1
        assert covered.min() >= 1
        assert starts == sorted(set(starts))
        assert starts[-1] == max(0, samples - length)
        hop = segment_hop(length, overlap)
        gaps = np.diff(starts)
        assert (gaps[:-1] == hop).all()
        assert (gaps[-1:] <= hop).all()


def test_known_cuts() -> None:
    assert segment_starts(100, 30) == [0, 30, 60, 70]
    assert segment_starts(100, 30, whole=False) == [0, 30, 60]
    assert segment_starts(90, 30) == [0, 30, 60]
    assert segment_starts(91, 30) == [0, 30, 60, 61]
    assert segment_starts(30, 30) == segment_starts(7, 30) == [0]
    assert segment_starts(59, 30, whole=False) == [0]
    assert segment_starts(75, 30, 0.5) == [0, 15, 30, 45]
    assert segment_starts(80, 30, 0.5) == [0, 15, 30, 45, 50]


def test_overlap_never_stands_still() -> None:
    assert segment_hop(10, 0.999) == 1
    assert segment_starts(12, 10, 0.999) == [0, 1, 2]


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2.0, float("nan")])
def test_bad_overlap(overlap: float) -> None:
    with pytest.raises(ValueError, match="overlap must be at least 0 and below 1"):
        segment_hop(10, overlap)
    with pytest.raises(ValueError, match="overlap"):
        list(cut([np.zeros(5, np.float32)], 10, overlap))


def test_an_empty_stream_has_no_segments() -> None:
    assert list(cut([], 10)) == []
    assert list(cut([np.empty(0, np.float32)] * 3, 10)) == []
    assert list(peak_normalised([], 10)) == []


def test_peak_normalised_is_the_direct_computation() -> None:
    """Up to ``hold`` samples by the peak of all; then by the peak so far, portion by portion."""
    for rng in map(np.random.default_rng, range(200)):
        samples = rng.standard_normal(int(rng.integers(1, 500))).astype(np.float32)
        samples *= np.float32(10.0 ** rng.integers(-6, 6))
        blocks = list(in_blocks(rng, samples, int(rng.choice([1, 7, 100, 1000]))))
        hold = int(rng.choice([1, 50, len(samples), 10_000]))

        scaled = list(peak_normalised(iter(blocks), hold))

        filled = [block for block in blocks if len(block)]
        assert [len(block) for block in scaled] == [len(block) for block in filled]
        expected, portion, peak = [], [], 0.0
        for number, block in enumerate(filled):
            peak = max(peak, float(np.abs(block).max()))
            portion.append(block)
            if sum(map(len, portion)) >= hold or number == len(filled) - 1:
                expected.append(np.concatenate(portion).astype(np.float64) / peak)
                portion = []
        joined = np.concatenate(scaled)
        assert joined.dtype == np.float32
        np.testing.assert_allclose(joined, np.concatenate(expected), rtol=1e-6)
        assert np.abs(joined).max() == 1.0
        if len(samples) <= hold:
            np.testing.assert_allclose(joined, samples / np.abs(samples).max(), rtol=1e-6)


@pytest.mark.parametrize("level", [0.0, 1e-44, 1e-41, 1e-38, 1e-20, 1e38])
def test_any_level_is_normalised(level: float) -> None:
    """Denormal numbers too: 1 over them is infinite in single precision."""
    samples = np.float32(level) * np.array([0, 1, -0.5], dtype=np.float32)
    (scaled,) = peak_normalised([samples], 10)
    if level:
        assert np.abs(scaled).max() == 1.0
    else:
        np.testing.assert_array_equal(scaled, samples)


def test_input_is_left_alone() -> None:
    samples = np.array([0.5, -0.25], dtype=np.float32)
    list(peak_normalised([samples], 10))
    np.testing.assert_array_equal(samples, np.array([0.5, -0.25], dtype=np.float32))


def test_a_long_stream_stays_bounded() -> None:
    """Forty times what may be held goes through in the memory of a few portions."""
    length, hold, block = 30_000, 100_000, 5_000

    def blocks() -> Iterator[np.ndarray]:
        for number in range(800):
            yield np.full(block, 1.0 + number, dtype=np.float32)

    tracemalloc.start()
    try:
        starts = [start for start, _ in cut(peak_normalised(blocks(), hold), length, 0.5)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert starts == segment_starts(800 * block, length, 0.5)
    assert most < 4 * (2 * hold + 6 * length)  # bytes; the whole is 16 MB
