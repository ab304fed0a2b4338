"""Keys over time: the search, the grid, and modulations in synthesised music."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stonekey import KeyEstimate, KeyEstimator, SegmentEstimate
from stonekey.estimate.segments import Windows, cut, in_step
from stonekey.estimate.timeline import (
    KeySpan,
    Timeline,
    change_prices,
    confident,
    key_timeline,
    smoothed,
    timeline_windows,
    viterbi,
)
from stonekey.keys import ClassLabel, Key, KeySignature
from stonekey.synthesis import cadence, piece, write_wav

RATE = 22050
KEYS = [Key.from_index(i) for i in range(24)]


def key(text: str) -> Key:
    return Key.parse(text)


@pytest.fixture(scope="module")
def estimator() -> KeyEstimator:
    return KeyEstimator(threads=1)


@pytest.fixture(scope="module")
def modulating() -> np.ndarray:
    """30 s in D major, then 26 s in F minor."""
    return np.concatenate(
        [
            cadence(key("D major"), seconds=30.0, seed=1),
            cadence(key("F minor"), seconds=26.0, seed=1),
        ]
    )


@pytest.fixture(scope="module")
def found(estimator: KeyEstimator, modulating: np.ndarray) -> Timeline:
    return key_timeline(modulating, RATE, estimator=estimator)


def test_the_search_finds_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        evidence = rng.normal(size=(5, 4))
        price = rng.uniform(0, 2, (4, 4)) * (1 - np.eye(4))

        def score(path: tuple[int, ...], evidence=evidence, price=price) -> float:
            gain = sum(evidence[i, state] for i, state in enumerate(path))
            return float(gain - sum(price[a, b] for a, b in itertools.pairwise(path)))

        best = max(itertools.product(range(4), repeat=5), key=score)
        assert viterbi(evidence, price) == list(best)


def test_near_keys_are_cheaper() -> None:
    prices = change_prices(KEYS)
    names = ["C major", "A minor", "G major", "E minor", "D major", "C minor", "F# major"]
    row = [prices[0, key(name).index] for name in names]
    assert row[0] == 0
    assert row == sorted(row)
    assert len(set(row)) == len(row)
    np.testing.assert_array_equal(prices, prices.T)
    for steps in (1, 5, 11):  # the same in every transposition
        moved = [k.transpose(steps).index for k in KEYS]
        np.testing.assert_array_equal(prices[np.ix_(moved, moved)], prices)


def test_a_modulation_is_found(found: Timeline) -> None:
    assert [span.label for span in found.spans] == [key("D major"), key("F minor")]
    (change,) = found.modulations
    assert (change.before, change.after) == (key("D major"), key("F minor"))
    assert change.time == pytest.approx(30, abs=5)
    assert 0.9 < change.confidence <= 1
    first, second = found.spans
    assert (first.start, first.end, second.end) == (0, second.start, pytest.approx(56.0))
    assert change.time == second.start
    assert 0.3 < first.confidence <= 1


def test_the_grid(found: Timeline) -> None:
    assert (found.hop, found.window) == (pytest.approx(2), 8)
    np.testing.assert_allclose(found.times, np.arange(4, 53, 2), atol=1e-3)
    assert found.probabilities.shape == (25, 24)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert len(found.labels) == 25
    assert found.tuning == pytest.approx(0, abs=3)


def test_a_last_window_ends_with_the_recording(
    estimator: KeyEstimator, modulating: np.ndarray
) -> None:
    short = key_timeline(modulating[: round(20.7 * RATE)], RATE, estimator=estimator)
    np.testing.assert_allclose(short.times, [4, 6, 8, 10, 12, 14, 16, 16.7], atol=1e-3)
    assert short.spans[-1].end == pytest.approx(20.7, abs=1e-3)
    below = key_timeline(modulating[: 5 * RATE], RATE, estimator=estimator)
    assert len(below.times) == len(below.spans) == 1


def test_random_pieces(estimator: KeyEstimator) -> None:
    """A few of what benchmarks/timeline.py does a hundred of; there 9 in 10 are enough."""
    rng = np.random.default_rng(5)
    found = quiet = 0
    for seed in range(8):
        one, two = (KEYS[i] for i in rng.choice(24, 2, replace=False))
        music = [piece(one, 25.0, seed=seed), piece(two, 25.0, seed=seed + 100)]
        changes = key_timeline(np.concatenate(music), RATE, estimator=estimator).modulations
        found += any(abs(change.time - 25) <= 5 for change in changes)
        still = piece(one, 50.0, seed=seed + 200)
        quiet += not key_timeline(still, RATE, estimator=estimator).modulations
    assert found >= 7
    assert quiet >= 7


def test_signatures(modulating: np.ndarray) -> None:
    found = key_timeline(modulating, RATE, model="template12", hop=4.0, threads=1)
    assert [span.label for span in found.spans] == [KeySignature(2), KeySignature(8)]
    assert found.probabilities.shape[1] == 12


def test_a_pause_has_no_say(estimator: KeyEstimator) -> None:
    music = cadence(key("A minor"), seconds=20.0)
    gap = np.random.default_rng(0).normal(0, 1e-6, 20 * RATE).astype(np.float32)
    found = key_timeline(np.concatenate([music, gap, music]), RATE, estimator=estimator)
    assert [span.label for span in found.spans] == [key("A minor")]
    alone = key_timeline(music, RATE, estimator=estimator)
    assert found.spans[0].confidence > 0.7 * alone.spans[0].confidence


def test_the_key_of_the_whole_is_that_of_an_estimate(
    tmp_path: Path, estimator: KeyEstimator, modulating: np.ndarray
) -> None:
    flat = cadence(key("G minor"), seconds=31.0, cents=-40)
    noise = np.random.default_rng(0).normal(0, 0.1, 12 * RATE)
    for samples in (modulating, modulating[: 7 * RATE], modulating[:RATE], flat, noise):
        write_wav(tmp_path / "it.wav", samples)
        for recording in ((samples, RATE), (tmp_path / "it.wav",)):
            timeline = key_timeline(*recording, estimator=estimator)
            whole = estimator(*recording)
            assert timeline.estimate.probabilities == whole.probabilities
            assert str(timeline.estimate) == str(whole)
            assert timeline.estimate.confidence == whole.confidence
            assert (timeline.tuning, timeline.duration) == (whole.tuning, whole.duration)
            assert bool(timeline.spans) == (whole.label is not None)
            if len(timeline.spans) == 1:
                (span,) = timeline.spans
                assert (span.label, span.confidence) == (whole.label, whole.confidence)
                assert set(timeline.labels) == {whole.label}


def heard(labels: list[Key], table: tuple[ClassLabel, ...]) -> list[SegmentEstimate]:
    """Windows of 8 s every 2 s, each rather sure of one key."""
    rows = [np.where([label == k for k in table], 0.77, 0.01) for label in labels]
    return [SegmentEstimate(2.0 * i, 2.0 * i + 8, row) for i, row in enumerate(rows)]


def test_where_windows_differ_from_the_whole_it_is_said(estimator: KeyEstimator) -> None:
    info, windows = estimator.info, Windows(2.0, 8.0)
    assert info.class_table is not None
    flats, minor, far = key("Eb major"), key("C minor"), key("A major")
    chances = {k: 0.5 if k == flats else 0.5 / 23 for k in info.class_table}
    whole = KeyEstimate(flats, flats.signature, 0.5, chances, (), 66.0, "a model", ("cut",))

    def found(*parts: Key) -> Timeline:
        labels = [part for part in parts for _ in range(30 // len(parts))]
        return smoothed(whole, heard(labels, info.class_table or ()), windows, info)

    same = found(flats)
    assert same.spans == (KeySpan(0, 66, flats, 0.5),)
    assert same.warnings == ("cut",)
    other = found(minor)  # one key all along, so that of the whole
    assert other.spans == same.spans
    assert other.labels == same.labels
    assert other.warnings == (
        "cut", "Eb major on the whole, but windows of 8 s suggest C minor"
    )  # fmt: skip
    assert [span.label for span in found(flats, far).spans] == [flats, far]
    assert found(flats, far).notes == ()
    assert [span.label for span in found(minor, far).spans] == [minor, far]
    assert found(minor, far).notes == (
        "Eb major on the whole, but windows of 8 s suggest C minor and A major",
    )


def test_segments_of_several_lengths_are_read_in_step() -> None:
    read = [0, 0]

    def blocks(number: int) -> Iterator[np.ndarray]:
        for _ in range(50):
            read[number] += 10
            yield np.zeros(10, np.float32)

    most = 0
    seen = []
    for number, start, samples in in_step([cut(blocks(0), 90), cut(blocks(1), 40, 0.75)]):
        most = max(most, abs(read[0] - read[1]))
        seen.append((number, start, len(samples)))
    assert most <= 90
    assert [s for n, s, _ in seen if n == 0] == [0, 90, 180, 270, 360, 410]
    assert [s for n, s, _ in seen if n == 1] == list(range(0, 461, 10))


def test_a_timeline_hears_everything(modulating: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not with fast"):
        key_timeline(modulating, RATE, fast=True)
    with pytest.raises(TypeError, match="overlap"):
        key_timeline(modulating, RATE, estimator=KeyEstimator("template"), overlap=0.5)


def test_silence_has_no_keys(estimator: KeyEstimator) -> None:
    found = key_timeline(np.zeros(20 * RATE), RATE, estimator=estimator)
    assert found.spans == found.modulations == found.labels == ()
    assert len(found.times) == 0
    assert found.warnings == ("silence",)


def test_detuned_music_keeps_its_times(tmp_path: Path, estimator: KeyEstimator) -> None:
    parts = [("Eb major", 30.0, 1), ("C# minor", 26.0, 1)]
    music = [cadence(key(k), seconds=s, seed=seed, cents=-40) for k, s, seed in parts]
    write_wav(tmp_path / "flat.wav", np.concatenate(music))
    found = key_timeline(tmp_path / "flat.wav", estimator=estimator)
    assert found.tuning == pytest.approx(-40, abs=2)
    assert found.duration == pytest.approx(56, abs=1e-3)
    assert [span.label for span in found.spans] == [key("Eb major"), key("C# minor")]
    assert found.modulations[0].time == pytest.approx(30, abs=5)


def test_low_confidence_is_left_out(found: Timeline) -> None:
    assert confident(found, 0.0) == replace(found, times=found.times.copy()) == found
    assert found != replace(found, probabilities=found.probabilities / 2)
    assert len({found, replace(found, times=found.times.copy())}) == 1
    assert len(repr(found)) < 1200
    low = min(span.confidence for span in found.spans)
    some = confident(found, low + 1e-6)
    assert [span.label is None for span in some.spans].count(True) == 1
    assert some.modulations == ()
    assert [span.end for span in some.spans] == [span.end for span in found.spans]
    assert found.estimate.label is not None
    assert confident(found, 1.0).estimate.label is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop": 0.5}, "hop must be 1 to 15"),
        ({"hop": 16.0}, "hop must be 1 to 15"),
        ({"window": 2.0}, "window must be 3"),
        ({"window": 16.0}, "window must be"),
        ({"hop": 6.0, "window": 5.0}, "window must be 6"),
        ({"hop": float("nan")}, "hop must be"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timeline_windows(**settings)
