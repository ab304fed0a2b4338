"""Which tracks at which step, and which segments of them."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from stonekey.data.segments import (
    BalancedStream,
    TrackStream,
    draw_one,
    draw_two,
    n_starts,
    segment_frames,
    window_frames,
)
from stonekey.model.settings import FrontEnd


def test_segment_fits_where_it_starts() -> None:
    front_end = FrontEnd()
    assert segment_frames(front_end) == 646
    assert n_starts(330_749, front_end) == 0
    assert n_starts(330_750, front_end) == 1
    assert n_starts(330_750 + 511, front_end) == 1
    for samples in range(330_750, 330_750 + 2000, 97):
        last = n_starts(samples, front_end) - 1
        assert last * 512 + 330_750 <= samples
        assert last + 646 <= front_end.frames(samples)


def test_two_segments_are_uniform_over_disjoint_pairs() -> None:
    starts, length = 12, 5
    pairs = [(p, q) for p in range(starts) for q in range(starts) if abs(p - q) >= length]
    generator = np.random.default_rng(0)
    draws = 20_000
    counts = Counter(draw_two(starts, length, generator) for _ in range(draws))
    assert set(counts) == set(pairs)
    expected = draws / len(pairs)
    chi2 = sum((counts[pair] - expected) ** 2 / expected for pair in pairs)
    assert chi2 < 110  # 55 degrees of freedom: passed with probability 0.99999


def test_two_segments_of_exactly_twice_the_length() -> None:
    generator = np.random.default_rng(0)
    seen = {draw_two(6, 5, generator) for _ in range(50)}
    assert seen == {(0, 5), (5, 0)}


@pytest.mark.parametrize("starts", [1, 3, 5])
def test_short_tracks_give_the_first_and_the_last_segment(starts: int) -> None:
    generator = np.random.default_rng(0)
    seen = {draw_two(starts, 5, generator) for _ in range(50)}
    assert seen == {(0, starts - 1), (starts - 1, 0)}


def test_two_segments_within_a_window() -> None:
    starts, length, window = 100, 5, 12
    generator = np.random.default_rng(0)
    pairs = [draw_two(starts, length, generator, window) for _ in range(5000)]
    assert {abs(p - q) for p, q in pairs} == {5, 6, 7}
    assert min(map(min, pairs)) == 0
    assert max(map(max, pairs)) == starts - 1
    # A window as long as the track, or longer, leaves the draws as they are.
    whole = [draw_two(9, 5, np.random.default_rng(i)) for i in range(20)]
    for size in (13, 14, 1000):
        assert [draw_two(9, 5, np.random.default_rng(i), size) for i in range(20)] == whole


def test_window_in_seconds() -> None:
    front_end = FrontEnd()
    assert window_frames(None, front_end) is None
    assert window_frames(30.0, front_end) == front_end.frames(2 * front_end.segment_samples)
    with pytest.raises(ValueError, match="29 s does not hold two segments of 15 s"):
        window_frames(29.0, front_end)


def test_too_short_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter than a segment"):
        draw_two(0, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="shorter than a segment"):
        draw_one(0, np.random.default_rng(0))


def test_single_segments_are_uniform() -> None:
    generator = np.random.default_rng(0)
    counts = np.bincount([draw_one(10, generator) for _ in range(5000)], minlength=10)
    assert len(counts) == 10
    assert ((counts - 500) ** 2 / 500).sum() < 40


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_an_epoch_over_all_shares_has_each_track_once(world: int) -> None:
    n = 42
    stream = TrackStream(n, seed=3)
    shares = [stream.share(rank=rank, world=world) for rank in range(world)]
    epochs = []
    for _ in range(2):
        taken = [draw for share in shares for draw in islice(share, n // world)]
        assert sorted(draw.index for draw in taken) == list(range(n))
        epochs.append([draw.index for draw in sorted(taken, key=lambda draw: draw.position)])
    assert epochs[0] != epochs[1]
    # The stream does not depend on how many share it.
    whole = [draw.index for draw in islice(TrackStream(n, seed=3).share(), 2 * n)]
    assert whole == epochs[0] + epochs[1]


def test_draws_depend_on_position_seed_and_purpose_only() -> None:
    first = [d.generator.integers(1 << 30) for d in islice(TrackStream(5, seed=1).share(), 20)]
    again = [d.generator.integers(1 << 30) for d in islice(TrackStream(5, seed=1).share(7), 13)]
    assert again == first[7:]
    assert len(set(first)) == 20
    for other in (TrackStream(5, seed=2), TrackStream(5, seed=1, purpose=1)):
        assert [d.generator.integers(1 << 30) for d in islice(other.share(), 20)] != first


def test_bad_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="rank must be 0 to 1"):
        next(TrackStream(5).share(rank=2, world=2))
    with pytest.raises(ValueError, match="no tracks"):
        TrackStream(0)


def test_a_balanced_stream_keeps_to_shares_and_strata() -> None:
    groups = {"many": [[0, 1, 2, 3, 4], [5]], "few": [[6, 7]], "none": [[8]]}
    stream = BalancedStream(groups, {"many": 3, "few": 1}, seed=4)
    draws = [draw.index for draw in islice(stream.share(), 4000)]
    counts = np.bincount(draws, minlength=9) / 4000
    assert counts[:5].sum() == pytest.approx(0.375, abs=0.03)
    assert counts[5] == pytest.approx(0.375, abs=0.03)
    assert counts[6:].tolist() == pytest.approx([0.125, 0.125, 0], abs=0.03)
    halves = [[d.index for d in islice(stream.share(0, r, 2), 50)] for r in (0, 1)]
    assert [x for pair in zip(*halves, strict=True) for x in pair] == draws[:100]
    with pytest.raises(ValueError, match="must not be negative, nor all 0"):
        BalancedStream(groups, {"many": 0.0})
