"""The picture of a recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import call, music

import stonekey.audio
from stonekey import KeyEstimator
from stonekey.estimate.timeline import key_timeline
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd
from stonekey.output import plots
from stonekey.output.chroma import HOP, chroma, vqt
from stonekey.synthesis import cadence

pytest.importorskip("matplotlib")

RATE = 22050
KEY = Key.parse("A major")


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """24 s in A major, then 20 s in F minor."""
    return np.concatenate(
        [cadence(KEY, seconds=24.0, seed=1), cadence(Key.parse("F minor"), seconds=20.0, seed=1)]
    )


def figure(samples: np.ndarray, model: str = "template") -> Any:
    from stonekey.output.plots import key_figure

    timeline = key_timeline(samples, RATE, model=model, hop=4.0, threads=1)
    return key_figure(timeline, chroma([samples], RATE), "A title")


def darkness(patch: Any) -> float:
    return 1 - float(np.mean(patch.get_facecolor()[:3]))


def test_the_vqt_is_that_of_the_models(samples: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    from stonekey.network.vqt import VQT

    front_end = FrontEnd()
    ours = vqt(samples[: 8 * RATE], front_end)
    theirs = VQT(front_end)(torch.from_numpy(samples[None, : 8 * RATE]))[0].numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_chroma_of_a_chord_in_blocks_of_any_size() -> None:
    time = np.arange(70 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * 440 * 2 ** (n / 12) * time) for n in (0, 4, 7)) / 4
    chord = np.asarray(chord, dtype=np.float32)
    whole = chroma([chord], RATE)
    assert whole.shape[0] == 12
    assert whole.shape[1] == pytest.approx(len(chord) / HOP, abs=2)
    assert set(np.argsort(whole.mean(axis=1))[-3:]) == {9, 1, 4}  # A, C sharp, E
    inner = whole[:, 5:-5]  # also where chunks meet; at the ends the chord is cut off
    assert inner.min(axis=1)[[9, 1, 4]].min() > 10 * inner.max(axis=1)[[6, 7, 11]].max()
    blocks = chroma([chord[i : i + 9999] for i in range(0, len(chord), 9999)], RATE)
    np.testing.assert_allclose(blocks, whole)
    assert chroma([], RATE).shape == (12, 0)
    assert chroma([chord[:100]], RATE).shape == (12, 1)


def test_the_circle_shows_the_probabilities(samples: np.ndarray) -> None:
    for model, sectors in (("template", 24), ("template12", 12)):
        circle = figure(samples, model).axes[2]
        patches = circle.patches
        assert len(patches) == sectors
        probabilities = KeyEstimator(model, threads=1)(samples, RATE).probabilities
        shades = [darkness(patch) for patch in patches]
        order = np.argsort(list(probabilities.values()))
        assert (np.diff(np.array(shades)[order]) > -1e-6).all()
        assert shades[order[-1]] > 0.5 > shades[order[0]]
        bold = [text.get_text() for text in circle.texts if text.get_fontweight() == "bold"]
        assert any(text.startswith("A\n") for text in bold) or "Fm" in bold[0]


def test_the_answer_is_written_with_what_differs_from_it(samples: np.ndarray) -> None:
    timeline = key_timeline(samples, RATE, model="template", hop=4.0, threads=1)
    timeline = replace(timeline, notes=("windows suggest C minor",))
    title = plots.key_figure(timeline, chroma([samples], RATE)).axes[2].get_title()
    assert f"confidence {100 * timeline.estimate.confidence:.0f} %" in title
    assert "windows suggest C minor" in title


def test_keys_over_time(samples: np.ndarray) -> None:
    drawn = figure(samples)
    upper, lower = drawn.axes[:2]
    assert [text.get_text() for text in upper.texts] == ["A", "Fm"]
    names = [tick.get_text() for tick in lower.get_yticklabels()]
    assert len(set(names)) == 24
    boxes = [(patch.get_x(), round(patch.get_y() + 0.5)) for patch in lower.patches]
    assert [names[row] for _, row in boxes] == ["A", "Fm"]
    assert boxes[1][0] == pytest.approx(24, abs=5)
    assert abs(names.index("A") - names.index("F♯m")) == 1  # relatives are neighbours
    scale = [patch for patch in upper.patches if patch.get_x() == 0]
    assert sum(patch.get_height() for patch in scale) == 7
    pitches = [tick.get_text() for tick in upper.get_yticklabels()]
    low = round(scale[0].get_y() + 0.5)
    assert pitches[low : low + 7] == ["D", "A", "E", "B", "F♯", "D♭", "A♭"]


def test_silence_is_drawn_too() -> None:
    drawn = figure(np.zeros(12 * RATE, np.float32))
    assert "no key" in {text.get_text() for text in drawn.axes[2].texts}
    assert not drawn.axes[1].patches


def test_the_command_writes_each_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    song = music(tmp_path / "$x_1$ \\y.wav", "G minor", 20.0)  # dollars would be mathematics
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for suffix, start in starts.items():
        picture = tmp_path / f"picture.{suffix}"
        assert call("plot", song, "--output", picture, "--hop", "5") == 0
        assert picture.read_bytes().startswith(start)
    assert call("plot", song, "-o", tmp_path / "picture.png") == 2
    assert "--force" in capsys.readouterr().err
    assert call("plot", song, "-o", tmp_path / "picture.doc") == 2
    assert "must end in .png" in capsys.readouterr().err
    assert call("plot", tmp_path / "missing.wav", "-o", tmp_path / "new.png") == 1
    assert not (tmp_path / "new.png").exists()


def test_a_file_is_decoded_once_and_drawn_as_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = music(tmp_path / "song.wav", "D minor", seconds=14)
    opened: list[Any] = []
    decode = stonekey.audio.stream_audio

    def counted(*arguments: Any) -> Any:
        opened.append(arguments)
        return decode(*arguments)

    drawn: list[Any] = []
    monkeypatch.setattr(stonekey.audio, "stream_audio", counted)
    monkeypatch.setattr(plots, "key_figure", lambda *arguments: drawn.extend(arguments[:1]))
    plots.plot_recording(song, "template", threads=1)
    assert len(opened) == 1
    (timeline,) = drawn
    assert (
        timeline.estimate.probabilities == KeyEstimator("template", threads=1)(song).probabilities
    )
    expected = key_timeline(song, model="template", threads=1)
    assert timeline.spans == expected.spans
    assert np.array_equal(timeline.probabilities, expected.probabilities)
