r"""Chord charts as labelled audio: to train on, and set apart to measure with.

    python recipes/charts.py billboard.jsonl rendered/ --train 2000 --test 280

Songs are divided by a hash of their names. Those to train on are played in the styles that are
trained on, with all soundfonts but one; those to test with in other styles, with that one. An
interrupted run resumes when started again; larger numbers add to what is there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from open_music import soundfonts

from stonekey.data.manifest import Track, read_manifest
from stonekey.data.render.balance import draw
from stonekey.data.render.run import RenderSettings, render
from stonekey.data.render.scores import list_scores
from stonekey.data.render.styles import HELD_OUT, TRAINED
from stonekey.output.progress import counted

SECONDS = 25.0


def bands(
    charts: Path, folder: Path, number: int, test: bool = False, seed: int = 0
) -> list[Track]:
    """Renderings of charts with keys, styles and modes even; those to test with if ``test``.

    Args:
        charts: see `stonekey.data.render.charts.read_charts`.
        folder: for the audio and its manifest.
        number: how many.
        test: songs, styles and a soundfont that training does not hear.
        seed: of every choice.
    """
    entries = [entry for entry in list_scores(charts) if (entry.split == "test") == test]
    drawn = draw(entries, number, HELD_OUT if test else TRAINED, seed)
    settings = RenderSettings(soundfonts(test), SECONDS, seed=seed)
    with counted(f"rendering {folder.name}") as watch:
        report = render(drawn, folder, settings, os.cpu_count() or 1, watch)
    for name, reason in report.failed:
        print(f"{name}: {reason}")
    return list(read_manifest(report.manifest).present)


def main() -> None:
    """Render both, and say how many there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("charts", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=280)
    options = parser.parse_args()
    for name, number in (("train", options.train), ("test", options.test)):
        tracks = bands(options.charts, options.folder / name, number, name == "test")
        print(f"{name}: {len(tracks)}")


if __name__ == "__main__":
    main()
