r"""The runs by which stone12's recipe was found, and their scores on labelled recordings.

    python recipes/stone12_runs.py --recordings ../shared/audio/train \
        --scores ../shared/symbolic/keys.csv --dev ../shared/audio/dev/manifest.csv

Each run differs from "base" in one thing: a setting, the circle, the music, the seed or the
length. All validate on the same music, so their losses may be compared, but for those of other
circles and segments. `--only NAME` makes a run by itself, `--table` prints what is done so far.
An interrupted run resumes when started again; each run leaves a JSON of its scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from open_music import CONFIG, PARTS, music, unlabelled
from stone12 import STEPS, run

from stonekey.data.manifest import Track, read_manifest
from stonekey.data.subsets import write_manifest
from stonekey.estimate.estimator import KeyEstimator
from stonekey.evaluation import score_signatures
from stonekey.files import write_atomically
from stonekey.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stonekey.model.class_table import Calibration, CalibrationError
from stonekey.training.options import Options
from stonekey.training.scores import calibration_of


@dataclass(frozen=True)
class Run:
    """One run: a small difference from the base."""

    bindings: tuple[str, ...] = ()
    circle: int = 7
    music: tuple[str, ...] = ("recordings", "scores", "plain")
    seed: int = 0
    epochs: int = 8


RUNS = {
    "base": Run(),
    "seed_1": Run(seed=1),
    "omega_1": Run(circle=1),
    "recordings_only": Run(music=("recordings",)),
    "recordings_and_songs": Run(music=("recordings", "plain")),
    "rendered_only": Run(music=("scores", "plain")),
    "coloured_songs": Run(music=("recordings", "scores", "coloured")),
    "no_augmentation": Run(bindings=("data.augment = []",)),
    "all_augmentations": Run(bindings=('data.augment = ["gain", "equaliser", "noise"]',)),
    "near_segments": Run(bindings=("data.window_seconds = 12",)),
    "long_segments": Run(bindings=("data.duration = 15", "data.batch_size = 10")),
    "frame_norm": Run(bindings=('ChromaNet.norm = "frame"',)),
}
# On whose held-out part all runs validate.
VALIDATE_ON = ("recordings", "scores", "plain")


def train(name: str, parts: dict[str, list[Track]], folder: Path) -> Options:
    """Train or resume a run; returns its options."""
    this = RUNS[name]
    held_out = [t for part in VALIDATE_ON for t in parts[part] if t.split == "valid"]
    training = [t for part in this.music for t in parts[part] if t.split == "train"]
    data, valid = folder / f"{name}.csv", folder / f"{name}_valid.csv"
    write_manifest(training, data)
    write_manifest(held_out, valid)
    options = Options(
        exp_name=name,
        circle_type=this.circle,
        save_dir=folder,
        n_epochs=this.epochs,
        train_steps=STEPS,
        gin_file=str(CONFIG / "stone12.gin"),
        bindings=this.bindings,
        data=data,
        valid=valid,
        seed=this.seed,
    )
    run(options)
    return options


def heard(checkpoint: Checkpoint) -> tuple[Calibration, bool]:
    """The class table that fits the cadences best, and whether it is refused."""
    try:
        return calibration_of(checkpoint), False
    except CalibrationError as error:
        if error.best is None:
            raise
        return error.best, True


def score(options: Options, dev: list[Track]) -> dict[str, Any]:
    """Loss, cadences and KSEA of a run; of a refused model with the table that fits best."""
    checkpoint = load_checkpoint(options.models / "best.safetensors")
    found, refused = heard(checkpoint)
    path = options.save_dir / f"{options.exp_name}.safetensors"
    save_checkpoint(checkpoint.with_class_table(found.class_table), path)
    estimator = KeyEstimator(path, threads=1)
    keys = [t.key.signature for t in dev if t.key is not None]
    answers = [estimator(t.path).signature for t in dev if t.path is not None]
    pairs = zip(answers, keys, strict=True)
    off = [(answer.tonic - key.tonic) % 12 for answer, key in pairs if answer is not None]
    training = checkpoint.info.training
    return {
        "steps": training["steps"],
        "loss": training["validation"]["key"],
        "cadences": round(24 * found.agreement),
        "refused": refused,
        "ksea": score_signatures(keys, answers).ksea.percent(),
        "n": len(keys),
        "a fifth flat, sharp": [off.count(5), off.count(7)],
    }


def print_table(folder: Path) -> None:
    """The runs made so far, as Markdown."""
    print("| run | omega | music | seed | best step | loss | cadences | KSEA, dev |")
    print("|---|---|---|---|---|---|---|---|")
    for name in RUNS:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        r = json.loads(path.read_text())
        refused = ", refused" if r["refused"] else ""
        print(
            f"| {name} | {r['circle']} | {', '.join(r['music'])} | {r['seed']} "
            f"| {r['steps']} of {r['epochs'] * STEPS} | {r['loss']:.3f} "
            f"| {r['cadences']} of 24{refused} | {r['ksea']} |"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, train and score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=Path, required=True, help="folder or manifest")
    parser.add_argument("--scores", type=Path, required=True, help="folder or CSV of scores")
    parser.add_argument("--dev", type=Path, required=True, help="labelled recordings")
    parser.add_argument("--songs", type=float, default=1.0, help="scales the composed songs")
    parser.add_argument("--folder", type=Path, default=Path("runs/stone12"))
    parser.add_argument("--only", action="append", choices=RUNS, help="runs to make")
    parser.add_argument("--table", action="store_true", help="only print the runs made so far")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    names = [] if arguments.table else arguments.only or list(RUNS)
    names = [name for name in names if not (folder / f"{name}.json").exists()]
    if names:
        torch.set_num_threads(1)
        wanted = [p for p in PARTS if any(p in (*VALIDATE_ON, *RUNS[n].music) for n in names)]
        sources = (arguments.recordings, arguments.scores, folder, arguments.songs)
        parts = {part: unlabelled(music(part, *sources)) for part in wanted}
        dev = list(read_manifest(arguments.dev).usable)
    for name in names:
        result = asdict(RUNS[name]) | score(train(name, parts, folder), dev)
        text = json.dumps(result, indent=1)
        write_atomically(folder / f"{name}.json", lambda p, text=text: p.write_text(text))
    print_table(folder)


if __name__ == "__main__":
    main()
