"""The recipes of bands: what is set apart to measure with, and listening by numbers."""

from __future__ import annotations

import csv
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from cli_tools import ROOT

from stonekey.data.render.sound import RenderError, find_soundfonts
from stonekey.data.render.styles import HELD_OUT


@pytest.fixture(autouse=True)
def recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))


def test_charts_set_apart_are_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pretty_midi", reason="needs the render extra")
    charts = import_module("charts")
    try:
        fonts = [font.name for font in find_soundfonts()]
    except RenderError as error:
        pytest.skip(str(error))
    soundfont = import_module("open_music").TEST_SOUNDFONT
    if soundfont not in fonts:
        pytest.skip(f"needs {soundfont}")
    monkeypatch.setattr(charts, "SECONDS", 6.0)
    bars = [[0, 2, "C"], [2, 4, "F"], [4, 6, "G"], [6, 8, "C"]]
    lines = [
        json.dumps({"id": i, "tonic": "C", "mode": "major", "chords": bars}) for i in range(40)
    ]
    (tmp_path / "songs.jsonl").write_text("\n".join(lines))
    tracks = charts.bands(tmp_path / "songs.jsonl", tmp_path / "test", 2, test=True)
    assert {track.split for track in tracks} == {"test"}
    manifest = tmp_path / "test" / "manifest.csv"
    with manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["style"] for row in rows] == list(HELD_OUT[:2])
    assert {row["soundfont"] for row in rows} == {soundfont}

    bands = import_module("bands")
    monkeypatch.setattr("sys.argv", ["bands.py", str(manifest)])
    bands.main()
    printed = capsys.readouterr().out
    assert all(f"| {style} | 1 |" in printed for style in HELD_OUT[:2])


def test_spectrum_and_flatness() -> None:
    bands = import_module("bands")
    t = np.arange(22050) / 22050
    low, high = np.sin(2 * np.pi * 110 * t), np.sin(2 * np.pi * 880 * t)
    assert bands.spectrum(low + 2 * high, 22050) == pytest.approx([0.2, 0.8, 0.0], abs=0.01)
    noise = np.random.default_rng(0).standard_normal(22050)
    assert bands.flatness(high, 22050) < 0.1 < 0.9 < bands.flatness(noise, 22050)
