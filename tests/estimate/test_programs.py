"""The estimator in programs: what it takes, errors one by one, pickling, types."""

from __future__ import annotations

import io
import pickle
import pydoc
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tag_files import FILES, encode

from stonekey import AudioError, KeyEstimate, KeyEstimator
from stonekey.keys import Key
from stonekey.model.registry import find_model

RATE = 22050
KEY = Key(3, "minor")


def assert_same(one: KeyEstimate, other: KeyEstimate, atol: float = 1e-5) -> None:
    assert one.label == other.label
    assert len(one.segments) == len(other.segments)
    for label, probability in other.probabilities.items():
        assert one.probabilities[label] == pytest.approx(probability, abs=atol)


@pytest.mark.parametrize("what", [None, 3, 0.5, [0.0, 0.5, 1.0], {"a": 1}, object(), {1, 2}])
@pytest.mark.parametrize("rate", [None, RATE])
def test_what_is_no_recording(estimator: KeyEstimator, what: object, rate: float | None) -> None:
    with pytest.raises(TypeError, match="a recording is a path, bytes, a binary file object or"):
        estimator(what, rate)  # type: ignore[call-overload]


def test_text_files_are_refused(estimator: KeyEstimator, tmp_path: Path) -> None:
    (tmp_path / "music.wav").write_text("RIFF")
    with (tmp_path / "music.wav").open() as file, pytest.raises(TypeError, match='"rb"'):
        estimator(file)  # type: ignore[call-overload]


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a"])
def test_contents_of_files(suffix: str, estimator: KeyEstimator, tmp_path: Path) -> None:
    path = encode(tmp_path / f"music.{suffix}", FILES[f"song.{suffix}"], "Eb minor", 6.0)
    data, want = path.read_bytes(), estimator(path)
    piped, later = io.BytesIO(data), io.BytesIO(b"header" + data)
    piped.seekable = lambda: False  # type: ignore[method-assign]
    later.seek(6)
    for form in (data, bytearray(data), memoryview(data), io.BytesIO(data), piped, later):
        assert_same(estimator(form), want, 1e-3)
    with path.open("rb") as opened:
        assert_same(estimator(opened), want, 1e-3)
        assert not opened.closed


@pytest.mark.parametrize("seconds", [6.0, 90.0])  # of which the first is read twice
def test_contents_heard_in_parts(seconds: float, tmp_path: Path) -> None:
    fast = KeyEstimator("template", threads=1, fast=True)
    path = encode(tmp_path / "music.wav", "pcm_s16le", "Eb minor", seconds)
    with path.open("rb") as opened:
        assert_same(fast(opened), fast(path), 1e-3)


def test_contents_that_are_no_sound(estimator: KeyEstimator) -> None:
    for data in (b"", b"not sound", io.BytesIO(b"RIFF")):
        with pytest.raises(AudioError):
            estimator(data)


def test_channels_first(estimator: KeyEstimator, music: np.ndarray) -> None:
    want = estimator(music, RATE)
    for channels in (1, 2, 32):
        audio = np.stack([music] * channels)
        assert_same(estimator(audio, RATE), want)
        assert_same(estimator(audio, RATE, channels_first=True), want)
        assert_same(estimator(audio.T, RATE, channels_first=False), want)
    torch = pytest.importorskip("torch")
    assert_same(estimator(torch.from_numpy(np.stack([music] * 2)), RATE), want)
    # Where the shape does not tell, and where it tells the contrary.
    few = music[: len(music) // 33 * 33].reshape(33, -1)
    assert estimator(few, RATE, channels_first=True).duration == few.shape[1] / RATE
    assert estimator(few.T, RATE, channels_first=False).duration == few.shape[1] / RATE
    assert estimator(few[:2], RATE, channels_first=False).duration == 2 / RATE
    assert estimator(np.ones((2, 30)), RATE).duration == 2 / RATE


def test_one_bad_recording_loses_no_other(
    estimator: KeyEstimator, music: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "music.wav"
    soundfile.write(path, music, RATE, subtype="FLOAT")
    read = []

    def recordings() -> Iterator[Any]:
        for recording in (path, tmp_path / "missing.wav", None, b"", str(path), np.zeros(5)):
            read.append(recording)
            yield recording

    found = estimator.each(recordings())
    assert isinstance(next(found), KeyEstimate)
    assert len(read) == 1  # as soon as it is known
    kinds = [type(result) for result in found]
    assert issubclass(kinds[0], AudioError)
    assert kinds[1] is TypeError
    assert issubclass(kinds[2], AudioError)
    assert kinds[3:] == [KeyEstimate, ValueError]
    (last,) = estimator.each([np.stack([music] * 2)], RATE)
    assert isinstance(last, KeyEstimate)
    with pytest.raises(AudioError):
        estimator([path, tmp_path / "missing.wav"])


def test_estimators_are_pickled(
    music: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(find_model("template"), tmp_path / "mine.onnx")
    monkeypatch.chdir(tmp_path)
    mine = KeyEstimator("mine.onnx", threads=1, min_clarity=0.2)
    monkeypatch.chdir("/")  # its name is relative to another folder
    for estimator in (mine, KeyEstimator("stone24", tune=12.0)):
        estimator(music, RATE)
        copied = pickle.loads(pickle.dumps(estimator))
        assert copied.settings == estimator.settings
        assert (copied.segment_seconds, copied.min_clarity) == (
            estimator.segment_seconds, estimator.min_clarity
        )  # fmt: skip
        assert copied(music, RATE) == estimator(music, RATE) == deepcopy(estimator)(music, RATE)


def test_torch_estimators_are_pickled(music: np.ndarray) -> None:
    pytest.importorskip("torch")
    estimator = KeyEstimator("stone24", backend="torch")
    assert_same(pickle.loads(pickle.dumps(estimator))(music, RATE), estimator(music, RATE))


def test_a_spawned_pool(music: np.ndarray) -> None:
    estimator = KeyEstimator("template", threads=1)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert list(pool.map(estimator, [music], [RATE])) == [estimator(music, RATE)]


def test_help_speaks_of_the_model_at_hand() -> None:
    text = str(pydoc.render_doc(KeyEstimator, renderer=pydoc.plaintext))
    assert "segment_seconds: length of a segment: the one that this model was trained on" in text
    assert "15 s" not in text
    for name in ("stone12", "stone24", "template"):
        estimator = KeyEstimator(name)
        assert estimator.segment_seconds == estimator.info.front_end.segment_seconds


def test_types_can_be_resolved_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from typing import get_type_hints; from stonekey import KeyEstimator\n"
        "assert 'ndarray' in str(get_type_hints(KeyEstimator.__call__)['recording'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
