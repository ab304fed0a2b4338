r"""The shipped stone12: 12 key signatures, learnt from open music without a single label.

    python recipes/stone12.py --recordings ../shared/audio/train \
        --scores ../shared/symbolic/keys.csv

Renders the scores (`stonekey data render`) and songs composed for the purpose, joins them with
the recordings, trains with config/stone12.gin, chooses the epoch by the loss on music held out,
and calibrates on synthesised cadences. No key label is read: the manifest that is trained on has
none. A second, short run goes on with noise, drums and speech, for which the outputs are to be
flat, so that low confidence can mean "no key". Stopped and started again, it goes on where it was.
`stonekey/models/stone12.md` is the card of the model made so.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
from dataclasses import replace
from pathlib import Path

from shipping import ship, with_confidence

from stonekey.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from stonekey.cli.progress import counted
from stonekey.cli.train import progress
from stonekey.data.keyless import write_keyless
from stonekey.data.manifest import KEYLESS, Track, read_manifest
from stonekey.data.render.run import RenderSettings, render
from stonekey.data.render.scores import ScoreEntry, composed_songs, list_scores
from stonekey.data.render.sound import find_soundfonts
from stonekey.training.options import Options
from stonekey.training.run import train
from stonekey.training.scores import calibrated
from stonekey.training.tracks import held_out

CONFIG = Path(__file__).resolve().parents[1] / "config"
SECONDS = 30.0
PIECES = 1000
# Songs that go between relative keys: without them the model finds two conventions, one for
# major and one for minor keys, a fifth apart.
COMPOSED = 700
KEYLESS_CLIPS = 300
KEYLESS_EPOCHS = 8
LIMIT_SEED = 500_000  # of clips that training does not hear


def rendered(scores: Path, folder: Path) -> list[Track]:
    """Renderings of a thousand scores, with keys and splits."""
    entries = list_scores(scores)
    # A thousand folk tunes for one melody and chords each would outweigh everything else.
    entries = [e for i, e in enumerate(entries) if e.source != "nottingham" or i % 3 == 0]
    random.Random(0).shuffle(entries)
    return play(entries[:PIECES], folder)


def play(entries: list[ScoreEntry], folder: Path) -> list[Track]:
    """Render scores into a folder, or find them there."""
    settings = RenderSettings(tuple(find_soundfonts()), seconds=SECONDS)
    with counted("rendering") as watch:
        report = render(entries, folder, settings, os.cpu_count() or 1, watch)
    for name, reason in report.failed:
        print(f"{name}: {reason}")
    return list(read_manifest(report.manifest).present)


def write_manifest(path: Path, tracks: list[Track]) -> Path:
    """Write tracks as path, key and split."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("path", "key", "split"))
            for track in tracks:
                assert track.path is not None
                key = KEYLESS if track.keyless else str(track.key or "")
                writer.writerow((track.path.resolve(), key, track.split or ""))

    write_atomically(path, write)
    return path


def unlabelled(tracks: list[Track]) -> list[Track]:
    """The same recordings without their keys; those set apart for tests are left out."""
    return [replace(t, key=None, split=None) for t in tracks if t.split != "test"]


def without_key(folder: Path) -> list[Track]:
    """Noise, drums, speech, applause and clicks, labelled as having no key."""
    paths = write_keyless(folder, KEYLESS_CLIPS, 12.0, 0, find_soundfonts())
    return [Track(path.name, path, split="train", keyless=True) for path in paths]


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=Path, help="folder or manifest of music")
    parser.add_argument("--scores", type=Path, help="folder or CSV of scores")
    parser.add_argument("--composed", type=int, default=COMPOSED, help="songs to compose")
    parser.add_argument("--folder", type=Path, default=Path("runs/stone12"))
    parser.add_argument("--name", default="stone12")
    parser.add_argument("--epochs", type=int, default=30, help="of 50 steps")
    parser.add_argument("--circle-type", type=int, choices=(1, 7), default=7)
    parser.add_argument("--binding", action="append", default=[], help="a line of gin")
    parser.add_argument("--output", type=Path, help="where to ship: stonekey/models")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not (arguments.recordings or arguments.scores):
        parser.error("give --recordings, --scores or both")
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    tracks: list[Track] = []
    if arguments.recordings:
        tracks += read_manifest(arguments.recordings).present
    if arguments.scores:
        tracks += rendered(arguments.scores, folder / "rendered")
    if arguments.composed:
        tracks += play(composed_songs(arguments.composed), folder / "composed")
    tracks = unlabelled(tracks)
    manifest = write_manifest(folder / f"{arguments.name}.csv", tracks)
    first = Options(
        exp_name=arguments.name,
        circle_type=arguments.circle_type,
        save_dir=folder,
        n_epochs=arguments.epochs,
        train_steps=50,
        gin_file=str(CONFIG / "stone12.gin"),
        bindings=tuple(arguments.binding),
        data=manifest,
        seed=arguments.seed,
    )
    run(first)
    keyless = without_key(folder / "keyless")
    second = replace(
        first,
        exp_name=f"{arguments.name}_keyless",
        n_epochs=KEYLESS_EPOCHS,
        learning_rate=3e-4,
        bindings=(*first.bindings, 'data.dataset_type_train = "mix"'),
        data=write_manifest(folder / f"{arguments.name}_keyless.csv", tracks + keyless),
        init=str(first.models / "best.safetensors"),
    )
    run(second)
    # Not the best by the loss on music, which knows nothing of the second aim.
    last = load_checkpoint(second.models / f"epoch_{KEYLESS_EPOCHS}.safetensors")
    model = folder / f"{arguments.name}.safetensors"
    save_checkpoint(calibrated(last, supervised=False), model)
    unheard = write_keyless(folder / "keyless_limit", 100, 12.0, LIMIT_SEED, find_soundfonts())
    trained_on = read_manifest(manifest)
    music = [t.path for t in trained_on if t.path is not None and held_out(t, 3.0)]
    finished = with_confidence(model, [], unheard, music)
    record = {"recipe": "recipes/stone12.py", "tracks": len(tracks)}
    print(ship(finished, "stone12", record, arguments.output or folder))


def run(options: Options) -> None:
    """Train with a progress bar."""
    with progress(options.n_epochs * options.train_steps) as report:
        train(options, report)


if __name__ == "__main__":
    main()
