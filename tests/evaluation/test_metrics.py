from __future__ import annotations

import inspect
import json
import random

import numpy as np
import pytest

from stonekey.evaluation import (
    KEY_ORDER,
    SIGNATURE_ORDER,
    bootstrap_interval,
    calibration,
    compare_systems,
    coverage_curve,
    key_categories,
    key_confusion,
    ksea_scores,
    mirex_scores,
    score_keys,
    score_signatures,
    signature_categories,
    signature_confusion,
)
from stonekey.keys import Key, KeySignature

# reference, estimate, category, weight with fifths both ways, weight with ascending fifths only
TABLE = [
    ("C major", "C major", "same", 1.0, 1.0),
    ("C# minor", "Db minor", "same", 1.0, 1.0),
    ("C major", "G major", "fifth_ascending", 0.5, 0.5),
    ("C major", "F major", "fifth_descending", 0.5, 0.0),
    ("A minor", "E minor", "fifth_ascending", 0.5, 0.5),
    ("A minor", "D minor", "fifth_descending", 0.5, 0.0),
    ("C major", "A minor", "relative", 0.3, 0.3),
    ("A minor", "C major", "relative", 0.3, 0.3),
    ("C major", "C minor", "parallel", 0.2, 0.2),
    ("C minor", "C major", "parallel", 0.2, 0.2),
    ("C major", "Eb major", "other", 0.0, 0.0),
    ("C major", "E minor", "other", 0.0, 0.0),  # relative of the dominant
    ("C major", "G minor", "other", 0.0, 0.0),
    ("A minor", "F# major", "other", 0.0, 0.0),  # 9 semitones up is relative from major only
    ("C major", None, "no_answer", 0.0, 0.0),
]
REFERENCES = [Key.parse(row[0]) for row in TABLE]
ESTIMATES = [None if row[1] is None else Key.parse(row[1]) for row in TABLE]


def random_keys(n: int, seed: int) -> list[Key]:
    rng = random.Random(seed)
    return [Key.from_index(rng.randrange(24)) for _ in range(n)]


def test_mirex_categories_and_weights_of_every_relation() -> None:
    assert key_categories(REFERENCES, ESTIMATES) == [row[2] for row in TABLE]
    assert mirex_scores(REFERENCES, ESTIMATES).tolist() == [row[3] for row in TABLE]
    ascending = mirex_scores(REFERENCES, ESTIMATES, descending_fifths=False)
    assert ascending.tolist() == [row[4] for row in TABLE]


def test_key_scores_add_up() -> None:
    scores = score_keys(REFERENCES, ESTIMATES)
    assert (scores.n, scores.same, scores.fifth, scores.relative) == (15, 2, 4, 2)
    assert (scores.parallel, scores.other, scores.no_answer) == (2, 4, 1)
    assert scores.mirex.value == pytest.approx(5.0 / 15)
    assert scores.mirex_ascending.value == pytest.approx(4.0 / 15)
    assert scores.accuracy.value == pytest.approx(2 / 15)
    assert scores.tonic_accuracy.value == pytest.approx(4 / 15)
    assert scores.mode_accuracy.value == pytest.approx(7 / 15)
    assert json.loads(json.dumps(scores.as_dict()))["fifth"] == 4


def test_agrees_with_mir_eval_on_random_pairs() -> None:
    mir_eval_key = pytest.importorskip("mir_eval.key", reason="needs mir_eval")
    references, estimates = random_keys(3000, 1), random_keys(3000, 2)
    options = (
        {"allow_descending_fifths": False}
        if "allow_descending_fifths" in inspect.signature(mir_eval_key.weighted_score).parameters
        else {}
    )
    expected = [
        mir_eval_key.weighted_score(r.format("flats"), e.format("sharps"), **options)
        for r, e in zip(references, estimates, strict=True)
    ]
    ascending = mirex_scores(references, estimates, descending_fifths=False)
    assert ascending.tolist() == expected
    both = mirex_scores(references, estimates)
    down = [e == r.subdominant for r, e in zip(references, estimates, strict=True)]
    assert sum(down) > 50
    assert both[down].tolist() == [0.5] * sum(down)
    assert both[~np.array(down)].tolist() == ascending[~np.array(down)].tolist()


@pytest.mark.parametrize(
    ("correct", "fifth", "percent"),
    [(1599, 981, 38.1), (3587, 1225, 76.5), (3883, 920, 79.1), (4090, 741, 81.3)],
)
def test_published_counts_give_their_ksea(correct: int, fifth: int, percent: float) -> None:
    """Results of the STONE paper on FMAK, with its fifths divided between both directions."""
    n = 5489
    reference = KeySignature.parse("Eb major / C minor")
    estimates = [reference] * correct
    estimates += [reference.transpose(7 if i % 2 else 5) for i in range(fifth)]
    estimates += [reference.transpose(2 + i % 3) for i in range(n - len(estimates))]
    scores = score_signatures([reference] * n, estimates)
    assert (scores.n, scores.correct, scores.fifth) == (n, correct, fifth)
    assert scores.other == n - correct - fifth
    assert 100 * scores.ksea.value == pytest.approx(percent, abs=0.05)
    assert scores.accuracy.value == correct / n
    # The standard error of a mean of n values.
    weights = ksea_scores([reference] * n, estimates)
    half = 1.96 * weights.std() / np.sqrt(n)
    assert scores.ksea.high - scores.ksea.value == pytest.approx(half, rel=0.06)
    assert scores.ksea.value - scores.ksea.low == pytest.approx(half, rel=0.06)


def test_keys_are_scored_as_signatures() -> None:
    references = [Key.parse(text) for text in ("C major", "C major", "C major", "C minor", "A")]
    estimates = [Key.parse("A minor"), Key.parse("D minor"), Key.parse("C minor"), None, None]
    kinds = signature_categories(references, estimates)
    assert kinds == ["correct", "fifth", "other", "no_answer", "no_answer"]
    scores = score_signatures(references, estimates)
    assert scores.ksea.value == pytest.approx(1.5 / 5)
    assert scores.no_answer == 2
    mixed = score_signatures(references[:2], [KeySignature(0), Key.parse("E minor")])
    assert (mixed.correct, mixed.fifth) == (1, 1)


def test_signatures_are_refused_as_keys() -> None:
    with pytest.raises(TypeError, match="Eb major / C minor is not a key"):
        score_keys([Key(0, "major")], [KeySignature(3)])  # type: ignore[list-item]


def test_empty_and_uneven_sets_are_refused() -> None:
    key = Key(0, "major")
    for score in (score_keys, score_signatures):
        with pytest.raises(ValueError, match="no tracks to score"):
            score([], [])
        with pytest.raises(ValueError, match="2 references for 1 estimates"):
            score([key, key], [key])
    with pytest.raises(ValueError, match="no tracks"):
        compare_systems([], [])
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval([1.0, float("nan")])


def test_bootstrap_agrees_with_resampling_tracks() -> None:
    rng = np.random.default_rng(5)
    values = rng.choice([0.0, 0.2, 0.3, 0.5, 1.0], p=[0.2, 0.1, 0.1, 0.2, 0.4], size=84)
    drawn = values[rng.integers(84, size=(20_000, 84))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    interval = bootstrap_interval(values)
    assert interval.value == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.006)
    assert interval == bootstrap_interval(values)
    narrow = bootstrap_interval(values, level=0.5)
    assert interval.low < narrow.low < narrow.value < narrow.high < interval.high
    certain = bootstrap_interval([0.5] * 10)
    assert (certain.low, certain.value, certain.high) == (0.5, 0.5, 0.5)
    assert certain.percent() == "50.0 [50.0, 50.0]"


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(200):
        interval = bootstrap_interval(rng.random(100) < 0.7, resamples=1000)
        covered += interval.low <= 0.7 <= interval.high
    assert 180 <= covered <= 199


def test_paired_comparison_sees_what_separate_intervals_cannot() -> None:
    """One system is right on all tracks that the other is, and on 15 more, out of 300."""
    first = np.zeros(300)
    first[:200] = 1
    second = first.copy()
    second[:15] = 0
    result = compare_systems(first, second)
    assert (result.n, result.better, result.worse, result.equal) == (300, 15, 0, 285)
    assert result.difference.value == pytest.approx(0.05)
    assert 0.02 < result.difference.low < 0.05 < result.difference.high < 0.08
    assert result.p_value < 0.001
    separate = bootstrap_interval(first), bootstrap_interval(second)
    assert separate[0].low < separate[1].high
    swapped = compare_systems(second, first)
    assert swapped.difference.value == pytest.approx(-0.05)
    assert swapped.p_value == result.p_value
    json.dumps(result.as_dict())


def test_paired_p_value_matches_the_exact_sign_test() -> None:
    """7 of 8 equal differences are positive: P(|sum| >= 6) = 18/256."""
    first = np.array([0.5] * 7 + [0.2] + [1.0] * 4)
    second = np.array([0.2] * 7 + [0.5] + [1.0] * 4)
    result = compare_systems(first, second, resamples=100_000)
    assert result.p_value == pytest.approx(18 / 256, abs=0.004)
    assert compare_systems(first, first).p_value == 1.0
    with pytest.raises(ValueError, match="12 and 11 tracks"):
        compare_systems(first, second[1:])


def test_p_values_are_uniform_when_systems_are_equal() -> None:
    rng = np.random.default_rng(9)
    p_values = [
        compare_systems(rng.random(60), rng.random(60), resamples=500).p_value for _ in range(200)
    ]
    assert 2 <= sum(p < 0.05 for p in p_values) <= 20
    assert 0.4 < np.mean(p_values) < 0.6


def test_coverage_rises_as_the_threshold_falls() -> None:
    curve = coverage_curve([1, 1, 0, 1, 0], [0.9, 0.8, 0.8, 0.4, 0.1])
    assert curve.coverage.tolist() == pytest.approx([0.2, 0.6, 0.8, 1.0])
    assert curve.score.tolist() == pytest.approx([1.0, 2 / 3, 3 / 4, 3 / 5])
    assert curve.threshold.tolist() == [0.9, 0.8, 0.4, 0.1]
    assert curve.area == pytest.approx(0.2 * 1 + 0.4 * 2 / 3 + 0.2 * 3 / 4 + 0.2 * 3 / 5)
    json.dumps(curve.as_dict())


def test_tracks_without_an_answer_are_never_covered() -> None:
    nan = float("nan")
    curve = coverage_curve([1, 0, 0, 0], [0.9, 0.5, nan, nan], [True, True, False, False])
    assert curve.coverage.tolist() == [0.25, 0.5]
    assert curve.score.tolist() == [1.0, 0.5]
    with pytest.raises(ValueError, match="no track was answered"):
        coverage_curve([0.0], [0.5], [False])


def test_calibration_error_by_hand() -> None:
    result = calibration([1, 0, 1, 1, 0], [0.95, 0.95, 0.55, 0.55, 0.0], bins=10)
    assert result.n == 5
    assert result.ece == pytest.approx((2 * 0.45 + 2 * 0.45 + 0) / 5)
    assert result.mce == pytest.approx(0.45)
    assert [b.n for b in result.bins] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert result.bins[1].accuracy is None
    assert (result.bins[9].confidence, result.bins[9].accuracy) == pytest.approx((0.95, 0.5))
    assert calibration([1, 1], [1.0, 1.0]).ece == 0
    unanswered = calibration([1, 0], [1.0, float("nan")], [True, False])
    assert (unanswered.n, unanswered.ece) == (1, 0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        calibration([1], [1.5])


def test_calibrated_confidence_has_little_error() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.random(20_000)
    correct = rng.random(20_000) < confidence
    assert calibration(correct, confidence).ece < 0.02
    assert calibration(correct, np.sqrt(confidence)).ece > 0.1


def test_orders_follow_the_circle_of_fifths() -> None:
    assert [s.fifths for s in SIGNATURE_ORDER] == list(range(-5, 7))
    assert [str(key) for key in KEY_ORDER[8:14]] == [
        "F major",
        "D minor",
        "C major",
        "A minor",
        "G major",
        "E minor",
    ]
    assert len(set(KEY_ORDER)) == 24


def test_confusion_counts_by_reference_and_estimate() -> None:
    references = random_keys(500, 7)
    estimates: list[Key | None] = [key.dominant for key in references]
    estimates[:20] = [None] * 20
    matrix = key_confusion(references, estimates)
    assert matrix.counts.sum() == 480
    assert matrix.no_answer.sum() == 20
    row = KEY_ORDER.index(Key.parse("C major"))
    assert matrix.counts[row].argmax() == KEY_ORDER.index(Key.parse("G major"))
    totals = matrix.normalised().sum(axis=1) + matrix.no_answer / (
        matrix.counts.sum(axis=1) + matrix.no_answer
    )
    assert totals == pytest.approx(np.ones(24))
    signatures = signature_confusion(references, estimates)
    assert signatures.counts.sum() == 480
    # A fifth up is one step right on the circle, the last one wrapping around.
    assert signatures.counts[:, :].trace(offset=1) + signatures.counts[11, 0] == 480
    empty = signature_confusion([Key(0, "major")], [Key(9, "minor")])
    assert empty.normalised().sum() == 1
    assert json.loads(json.dumps(empty.as_dict()))["labels"][5] == "C major / A minor"
