"""Finding which output is which key, by listening."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stonekey.estimate.backends import Backend, OnnxBackend
from stonekey.keys import Key
from stonekey.model.checkpoint import save_checkpoint
from stonekey.model.class_table import (
    KEYS,
    CalibrationError,
    calibrate,
    calibrate_from_recordings,
    hear_cadences,
    row_table,
)

RATE = 22050
SECONDS = 8.0
MODELS = ("semitone_ks", "semisupervised_ks_mode", "skey")


class Heard:
    """Published models and what they say to the cadences, computed once."""

    def __init__(self, shared: Path) -> None:
        self.golden = shared / "golden"
        self.backend = cache(self._backend)
        self.cadences = cache(self._cadences)

    def _backend(self, model: str) -> Backend:
        return OnnxBackend(self.golden / "checkpoints" / f"{model}.pt")

    def _cadences(self, model: str) -> np.ndarray:
        return hear_cadences(self.backend(model).run, RATE, SECONDS)

    def recording(self, model: str, name: str, start: int = 0) -> np.ndarray:
        """Outputs for 15 s of a recording, (outputs,)."""
        with np.load(self.golden / f"{name}_wave22050.npz") as arrays:
            wave = arrays["wave22050"][start : start + 15 * RATE]
        return self.backend(model).run(wave[None])[0]


@pytest.fixture(scope="module")
def heard(shared: Path) -> Heard:
    return Heard(shared)


@pytest.mark.parametrize("model", MODELS)
def test_published_tables_are_found_from_cadences(heard: Heard, model: str) -> None:
    calibration = calibrate(heard.cadences(model))
    assert calibration.class_table == heard.backend(model).info.class_table
    assert calibration.agreement == 1.0
    assert calibration.confusion.shape == (24, len(calibration.class_table))
    assert np.allclose(calibration.confusion.sum(axis=1), 1, atol=1e-4)


def test_rows_need_not_be_relative_keys(heard: Heard) -> None:
    """S-KEY's first column is A major and B minor; an assumed relation would say F# minor."""
    table = calibrate(heard.cadences("skey")).class_table
    for i in range(12):
        major, minor = table[i], table[12 + i]
        assert isinstance(major, Key)
        assert isinstance(minor, Key)
        assert (major.mode, minor.mode) == ("major", "minor")
        assert minor != major.relative
        assert (minor.tonic - major.tonic) % 12 == 2


def test_one_recording_names_12_signatures(heard: Heard) -> None:
    for name, key in (("cmajor", "C major"), ("nocturne", "Eb major"), ("nocturne", "C minor")):
        outputs = heard.recording("semitone_ks", name)
        found = calibrate_from_recordings([(Key.parse(key), outputs)])
        assert found.class_table == heard.backend("semitone_ks").info.class_table
        assert found.agreement == 1.0


@pytest.mark.parametrize("model", ["semisupervised_ks_mode", "skey"])
def test_one_recording_and_cadences_name_24_keys(heard: Heard, model: str) -> None:
    one = [(Key.parse("C major"), heard.recording(model, "cmajor"))]
    found = calibrate_from_recordings(one, heard.cadences(model))
    assert found.class_table == heard.backend(model).info.class_table
    with pytest.raises(CalibrationError, match="no recording in a minor key"):
        calibrate_from_recordings(one)


def test_a_misheard_recording_is_found_out(heard: Heard) -> None:
    """The 24-key model hears the second 15 s of the nocturne as C minor: cadences disagree."""
    model = "semisupervised_ks_mode"
    one = [(Key.parse("Eb major"), heard.recording(model, "nocturne", 15 * RATE))]
    with pytest.raises(CalibrationError, match="explains"):
        calibrate_from_recordings(one, heard.cadences(model))


@pytest.mark.parametrize("model", MODELS)
def test_recordings_that_contradict_each_other(heard: Heard, model: str) -> None:
    outputs = heard.recording(model, "cmajor")
    claims = [(Key.parse("C major"), outputs), (Key.parse("D major"), outputs)]
    with pytest.raises(CalibrationError) as caught:
        calibrate_from_recordings(claims, heard.cadences(model))
    # What it saw comes with the refusal.
    assert caught.value.confusion.shape == (24, len(outputs))
    assert np.allclose(caught.value.confusion[Key.parse("D major").index], outputs)


def one_hot(index: int, size: int = 24) -> np.ndarray:
    return np.eye(size)[index]


def test_a_recording_in_each_mode_needs_no_cadences() -> None:
    found = calibrate_from_recordings(
        [(Key.parse("C major"), one_hot(3)), (Key.parse("E minor"), one_hot(12))]
    )
    assert found.class_table == row_table(24, [9, 4], ["major", "minor"])


def test_recordings_of_one_mode_in_both_rows_contradict() -> None:
    with pytest.raises(CalibrationError, match="contradict"):
        calibrate_from_recordings(
            [(Key.parse("C major"), one_hot(3)), (Key.parse("D major"), one_hot(12))]
        )
    with pytest.raises(CalibrationError, match="contradict"):
        calibrate_from_recordings(
            [(Key.parse("C major"), one_hot(3)), (Key.parse("C minor"), one_hot(4))]
        )


@pytest.mark.parametrize("starts", [(0, 0), (9, 11), (2, 11), (5, 5), (11, 0)])
@pytest.mark.parametrize("modes", [("major", "minor"), ("minor", "major")])
def test_every_24_key_table_is_found(starts: tuple[int, int], modes: tuple[str, str]) -> None:
    """A model that also hears fifths and relatives, as real ones do."""
    table = row_table(24, starts, modes)
    where = {label: i for i, label in enumerate(table)}
    confusion = np.full((24, 24), 0.005)
    for key in KEYS:
        confusion[key.index, where[key]] = 0.5
        confusion[key.index, where[key.dominant]] = 0.2
        confusion[key.index, where[key.relative]] = 0.2
    assert calibrate(confusion).class_table == table


@pytest.mark.parametrize("start", range(12))
def test_every_12_signature_table_is_found(start: int) -> None:
    table = row_table(12, [start], [])
    where = {label: i for i, label in enumerate(table)}
    confusion = np.full((24, 12), 0.02)
    for key in KEYS:
        confusion[key.index, where[key.signature]] = 0.78
    assert calibrate(confusion).class_table == table


@pytest.mark.parametrize("outputs", [12, 24])
def test_constant_outputs_are_refused(outputs: int) -> None:
    constant = np.full((24, outputs), 1 / outputs)
    with pytest.raises(CalibrationError, match="explains") as caught:
        calibrate(constant)
    np.testing.assert_array_equal(caught.value.confusion, constant)
    assert caught.value.best is not None
    assert len(caught.value.best.class_table) == outputs
    assert caught.value.best.agreement < 0.1
    collapsed = np.tile(one_hot(5, outputs), (24, 1))
    with pytest.raises(CalibrationError, match=r"explains [12] of 24"):
        calibrate(collapsed)


def test_a_model_that_hears_no_mode_is_refused() -> None:
    """Both rows answer major keys alike: no table of two modes explains that."""
    confusion = np.full((24, 24), 0.01)
    for key in KEYS:
        confusion[key.index, key.signature.tonic] = 0.4
        confusion[key.index, 12 + key.signature.tonic] = 0.39
    with pytest.raises(CalibrationError, match="explains 12 of 24"):
        calibrate(confusion)


def test_an_order_that_does_not_rise_is_refused() -> None:
    confusion = np.zeros((24, 24))
    for key in KEYS:
        confusion[key.index, (-key.tonic) % 12 + (12 if key.mode == "minor" else 0)] = 1
    with pytest.raises(CalibrationError, match="explains"):
        calibrate(confusion)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(CalibrationError):
        calibrate(np.full((24, 24), np.nan))


@pytest.mark.parametrize("norm", ["joint", "frame"])
def test_untrained_networks_are_refused(tmp_path: Path, norm: str) -> None:
    pytest.importorskip("torch")
    from random_models import random_checkpoint

    path = tmp_path / "untrained.safetensors"
    save_checkpoint(random_checkpoint(norm), path)
    with pytest.raises(CalibrationError, match="fewer than 90%") as caught:
        calibrate(hear_cadences(OnnxBackend(path).run, RATE, 4.0))
    assert caught.value.confusion.shape == (24, 12 if norm == "frame" else 24)
    assert np.allclose(caught.value.confusion.sum(axis=1), 1, atol=1e-4)
