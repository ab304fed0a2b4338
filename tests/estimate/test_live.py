"""The key of a stream."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stonekey import KeyEstimator
from stonekey.estimate.live import LiveAnswer, LiveEstimator
from stonekey.estimate.result import SegmentEstimate
from stonekey.keys import UNCLEAR, Key
from stonekey.synthesis import cadence, piece

RATE = 22050


@pytest.fixture(scope="module")
def stone24() -> KeyEstimator:
    return KeyEstimator("stone24", threads=1)


def keys(answers: list[LiveAnswer], start: float, end: float) -> set[str]:
    return {str(a.estimate) for a in answers if start < a.time <= end}


def test_the_key_is_that_of_the_recording_so_far(stone24: KeyEstimator) -> None:
    music = piece(Key.parse("F# minor"), 60.0)
    answers = LiveEstimator(stone24, RATE).push(music)
    assert [a.time for a in answers] == [2.0 * i for i in range(1, 31)]
    assert keys(answers, 4, 60) == {"F# minor"} == {str(stone24(music, RATE))}
    assert {a.since for a in answers[1:]} == {0.0}
    assert answers[-1].estimate.confidence == pytest.approx(
        stone24(music, RATE).confidence,
        abs=0.05,  # other windows of the same sound
    )


def test_a_change_of_key_is_followed_and_dated(stone24: KeyEstimator) -> None:
    parts = [piece(Key.parse(key), 30.0) for key in ("C major", "F# minor")]
    answers = LiveEstimator(stone24, RATE).push(np.concatenate(parts))
    assert keys(answers, 4, 30) == {"C major"}
    assert keys(answers, 46, 60) == {"F# minor"}
    # Between them only the two of them: the answer does not flicker.
    found = [str(a.estimate) for a in answers if a.time > 4]
    assert found == sorted(found)
    assert answers[-1].since == pytest.approx(30, abs=8)  # a window


def test_a_pause_starts_anew(stone24: KeyEstimator) -> None:
    first, second = (piece(Key.parse(key), 20.0) for key in ("C major", "G major"))
    answers = LiveEstimator(stone24, RATE).push(np.concatenate([first, np.zeros(4 * RATE), second]))
    quiet = next(a for a in answers if a.time == 24.0)
    assert quiet.estimate.label is None
    assert quiet.estimate.warnings == ("silence",)
    assert keys(answers, 28, 44) == {"G major"}
    assert answers[-1].since == pytest.approx(24, abs=2)


def test_silence_at_the_end_is_no_pause(estimator: KeyEstimator) -> None:
    """It would take the answer back: a recording may end with a moment of it, or a lone sample."""
    music = cadence(Key(3, "minor"), seconds=12.0)
    for rest in (1, RATE):
        live = LiveEstimator(estimator, RATE)
        assert str(live.push(np.concatenate([music, np.zeros(rest)]))[-1].estimate) == "Eb minor"
        assert live.flush() == []
    live = LiveEstimator(estimator, RATE)
    assert live.push(np.zeros(RATE)) == []
    (answer,) = live.flush()  # where there was nothing else, it is the answer
    assert (answer.time, answer.estimate.warnings) == (1.0, ("silence",))


def test_a_constant_is_silence(stone24: KeyEstimator) -> None:
    live = LiveEstimator(stone24, RATE)
    music = cadence(Key(3, "minor"), seconds=8.0)
    answers = live.push(np.concatenate([music, np.zeros(4 * RATE)]) + 0.3)
    assert [str(a.estimate) for a in answers[1:]] == ["Eb minor"] * 3 + ["no key"] * 2
    assert answers[-1].estimate.warnings == ("silence",)


def test_the_smoothed_answer_has_to_be_confident_too(stone24: KeyEstimator) -> None:
    likely, smoothed = 3, 15
    outputs = np.full(24, 0.01, np.float32)
    outputs[likely], outputs[smoothed] = 0.5, 0.28
    heard = (SegmentEstimate(0.0, 8.0, outputs),)
    found = stone24.of_segments(heard, 8.0, state=smoothed)
    assert found.label == stone24.class_table[smoothed]
    assert found.confidence == found.probabilities[found.label] < max(found.probabilities.values())
    strict = stone24.with_settings(min_confidence=found.confidence + 0.01)
    assert strict.of_segments(heard, 8.0).label == stone24.class_table[likely]
    refused = strict.of_segments(heard, 8.0, state=smoothed)
    assert (refused.label, refused.confidence) == (None, found.confidence)


def test_what_is_not_clear_is_no_key(stone24: KeyEstimator) -> None:
    music = piece(Key.parse("D major"), 12.0)
    answers = LiveEstimator(stone24.with_settings(min_clarity=1.0), RATE).push(music)
    assert {(str(a.estimate), a.since) for a in answers} == {("no key", None)}
    assert answers[-1].estimate.warnings == (UNCLEAR,)


def test_a_model_of_signatures() -> None:
    music = piece(Key.parse("A minor"), 14.0)
    (*_, answer) = LiveEstimator(KeyEstimator("stone12", threads=1), RATE).push(music)
    assert answer.to_dict()["key"] == "C major / A minor"
    assert answer.to_dict()["mode"] is None
    assert answer.since == 0.0


def test_answers_do_not_depend_on_the_pieces(estimator: KeyEstimator) -> None:
    """Stereo 16-bit samples, in pieces of any size."""
    music = cadence(Key(3, "minor"), seconds=17.0)
    stereo = np.round(np.stack([music, 0.5 * music], axis=1) * 20000).astype(np.int16)
    whole = [a.to_dict() for a in LiveEstimator(estimator, RATE).push(stereo)]
    assert len(whole) == 8
    rng = np.random.default_rng(0)
    live, found = LiveEstimator(estimator, RATE), []
    for part in np.split(stereo, np.sort(rng.integers(0, len(stereo), 60))):
        buffer = part.copy()
        found += [a.to_dict() for a in live.push(buffer)]
        buffer[:] = 0  # the caller's to use again
    assert found == whole
    (last,) = live.flush()  # what came since
    assert last.time == 17.0
    assert live.flush() == []


def test_detuned_music_is_put_in_tune(stone24: KeyEstimator) -> None:
    music = piece(Key.parse("D major"), 20.0)
    # Taken for 45 cents faster than it is, it sounds higher by as much.
    answers = LiveEstimator(stone24, RATE * 2 ** (45 / 1200)).push(music)
    assert answers[-1].estimate.tuning == pytest.approx(45, abs=5)
    assert str(answers[-1].estimate) == "D major"


def test_what_is_kept_is_bounded(estimator: KeyEstimator) -> None:
    live = LiveEstimator(estimator, 4000)
    music = cadence(Key(0, "major"), seconds=100.0)[::5]

    def kept() -> int:
        return sum(len(part) for part in live._sound) + len(live._windows) + len(live._peaks)

    live.push(music)
    once = kept()
    live.push(music)
    assert kept() == once < len(music) / 2


def test_records_are_json(estimator: KeyEstimator) -> None:
    (answer,) = LiveEstimator(estimator, RATE, every=4.0).push(
        cadence(Key(0, "major"), seconds=4.0)
    )
    record = json.loads(json.dumps(answer.to_dict("camelot")))
    assert record["time"] == 4.0
    assert record["since"] == 0.0
    assert record["key"] == "8B"
    assert set(record) - {"time", "since"} == set(answer.estimate.to_dict())


@pytest.mark.parametrize(
    ("rate", "every", "said"), [(44.1, 2.0, "a sampling rate is in Hz"), (44100, 9.0, "not 9")]
)
def test_settings_out_of_range(
    estimator: KeyEstimator, rate: float, every: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        LiveEstimator(estimator, rate, every)


def test_samples_of_another_kind(estimator: KeyEstimator) -> None:
    live = LiveEstimator(estimator, RATE)
    live.push(np.zeros(100, np.float32))
    for samples in (np.zeros((100, 2), np.float32), np.zeros(100, np.int16)):
        with pytest.raises(ValueError, match="the samples were float32"):
            live.push(samples)
    with pytest.raises(ValueError, match="expected"):
        live.push(np.zeros((2, 2, 2)))
