"""Temperature and the limit of "no key"."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stonekey.estimate.backends import load_backend
from stonekey.estimate.estimator import KeyEstimator
from stonekey.keys import Key
from stonekey.model.confidence import (
    clarity,
    fit_limit,
    fit_temperature,
    holds_for_whole,
    mean_of_segments,
    tempered,
)
from stonekey.model.info import ModelInfo
from stonekey.model.registry import find_model
from stonekey.synthesis import cadence


def test_temperature_divides_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (3, 24))
    powers = np.exp(logits / 2.5)
    expected = powers / powers.sum(axis=1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(tempered(p, 2.5), expected)
    assert np.allclose(tempered(p, 1.0), p)
    assert np.isfinite(tempered(np.eye(24), 3.0)).all()


def test_how_sure_a_few_segments_are_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    segments = rng.dirichlet(np.linspace(0.2, 0.6, 24), 9)
    softened = [tempered(p, 2.0) for p in segments]
    mean = np.mean(softened, axis=0)
    best, sure = mean.argmax(), []
    for k in range(24):
        if k != best:
            leads = [p[best] - p[k] for p in softened]
            error = statistics.stdev(leads) * (1 - 0.25) ** 0.5 / 9**0.5
            sure.append(statistics.NormalDist().cdf(statistics.mean(leads) / error))
    found = holds_for_whole(segments, 0.25, 2.0)
    assert found == pytest.approx(min(sure), abs=1e-9)
    assert 0.5 < found < 0.9
    assert found < holds_for_whole(segments, 0.75, 2.0) < holds_for_whole(segments, 1.0, 2.0) == 1
    assert holds_for_whole([segments[0]] * 3, 0.1) == 1
    assert holds_for_whole([segments[0]], 0.1) == 0.5


def test_mean_of_segments() -> None:
    segments = [p / p.sum() for p in np.random.default_rng(2).random((5, 24))]
    assert np.allclose(mean_of_segments(segments), np.mean(segments, axis=0))
    soft = mean_of_segments(segments, 4.0)
    assert np.allclose(soft, np.mean([tempered(p, 4.0) for p in segments], axis=0))
    sure = mean_of_segments([np.eye(12)[3]], 4.0)
    assert np.isfinite(sure).all()
    assert sure.argmax() == 3


@pytest.mark.parametrize("sureness", [0.4, 1.0, 3.0])
def test_a_wrong_temperature_is_found(sureness: float) -> None:
    """Outputs whose logits are ``sureness`` times those that labels were drawn from."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (4000, 12))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = [int(rng.choice(12, p=p)) for p in true]
    outputs = tempered(true, 1 / sureness)
    assert fit_temperature(list(outputs), labels) == pytest.approx(sureness, rel=0.06)
    with pytest.raises(ValueError, match="4000 recordings and 1 labels"):
        fit_temperature(list(outputs), labels[:1])


def test_limit_is_above_noise_and_spares_music() -> None:
    music = np.linspace(0.1, 1, 1001)
    noise = np.linspace(0.05, 0.11, 101)
    limit = fit_limit(noise, music)
    assert (noise < limit).mean() == pytest.approx(0.97, abs=0.01)
    assert (music < limit).mean() < 0.02
    lost = fit_limit([0.05, 0.6], music, most_lost=0.03)
    assert (music < lost).mean() == pytest.approx(0.03, abs=0.002)
    with pytest.raises(ValueError, match="needs"):
        fit_limit([], music)


def test_the_limit_travels_with_the_model_and_can_be_set() -> None:
    info = load_backend("template").info
    changed = replace(info, min_clarity=0.25, confidence_temperature=0.5, segment_temperature=3.0)
    assert ModelInfo.from_metadata(changed.to_metadata()) == changed
    old = info.to_metadata()
    del old["min_clarity"], old["confidence_temperature"], old["segment_temperature"]
    assert ModelInfo.from_metadata(old) == info
    named = {**old, "min_clarity": "0.25", "temperature": "0.5", "softness": "3.0"}
    assert ModelInfo.from_metadata(named) == changed  # as earlier versions wrote them
    audio = cadence(Key(2, "major"))
    plain = KeyEstimator("template")(audio, 22050)
    assert str(plain) == "D major"
    strict = KeyEstimator("template", min_confidence=1.0)(audio, 22050)
    assert strict.label is None
    assert strict.confidence == plain.confidence
    assert strict.probabilities == plain.probabilities
    assert any("no clear key: D major" in text for text in strict.warnings)
    with pytest.raises(ValueError, match="min_confidence"):
        KeyEstimator("template", min_confidence=2)


def test_templates_are_as_they_were_made(tmp_path: Path) -> None:
    """A model without the field loads; its limit is 0."""
    assert KeyEstimator(find_model("template")).min_clarity == 0


def test_clarity_is_of_signatures_at_each_time() -> None:
    keys = [Key.from_index(i) for i in range(24)]
    between = np.zeros(24)
    between[[Key.parse("C major").index, Key.parse("A minor").index]] = 0.5
    away = np.eye(24)[Key.parse("F# major").index]
    assert clarity([between, away], keys) == pytest.approx(1.0)
    assert clarity([np.full(24, 1 / 24)], keys) == pytest.approx(1 / 12)
    signatures = [key.signature for key in keys[:12]]
    assert clarity([np.eye(12)[3], np.full(12, 1 / 12)], signatures) == pytest.approx(13 / 24)
    audio = cadence(Key(2, "major"))
    unclear = KeyEstimator("template", min_clarity=1.0)(audio, 22050)
    assert unclear.label is None
    assert any("noise" in text for text in unclear.warnings)
