"""Proof that training learns, on music synthesised in known keys: minutes on a CPU.

    python recipes/learns.py stone12            12 signatures, no labels
    python recipes/learns.py mix                24 keys, labels for a tenth of the pieces
    python recipes/learns.py skey               24 keys, no labels

Makes the pieces, trains a full-size ChromaNet on 4 s segments of them, and scores it on other
pieces. Labels serve the scores, and in ``mix`` a tenth of the training set. An interrupted run
resumes when started again.

Unlabelled pieces go back and forth between relative keys, as songs do. The loss compares
segments of one piece only: were every piece in one mode, nothing would tie the answers for major
music to those for minor music, and a model may well settle on two conventions.

The 24-key recipes begin with the weights of ``stone12``, which they train first if need be: from
nothing, signature and mode together take several times as long.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stonekey.evaluation import score_keys, score_signatures
from stonekey.files import write_atomically
from stonekey.keys import Key

SECONDS = 20.0
# Keeps the seeds of the held-out pieces apart from those of the training set.
HELD_OUT = 1_000_000


@dataclass(frozen=True)
class Recipe:
    """What differs between the recipes."""

    train_type: str
    bindings: tuple[str, ...]
    labelled: int  # every how manieth piece has a label; 0 for none
    epochs: int
    wandering: bool = False  # whether pieces visit the relative key


RECIPES = {
    "stone12": Recipe("ks", ('ChromaNet.norm = "joint"',), 0, 8, wandering=True),
    "mix": Recipe("ks_mode", ('data.dataset_type_train = "mix"',), 10, 8, wandering=True),
    "skey": Recipe("ks_mode", ('loss.objective = "skey"',), 0, 8, True),
}


def make_pieces(
    folder: Path, pieces: int, first_seed: int, labelled: int, wandering: bool = False
) -> Path:
    """Synthesise pieces through all 24 keys; returns the manifest, labels where asked for."""
    from stonekey.synthesis import piece, write_wav

    def sound(key: Key, seed: int, one_key: bool) -> np.ndarray:
        if one_key:
            return piece(key, SECONDS, seed=seed)
        visited = (key, key.relative, key, key.relative)
        return np.concatenate(
            [piece(k, SECONDS / 4, seed=4 * seed + i) for i, k in enumerate(visited)]
        )

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(pieces):
        key = Key.from_index(number % 24)
        path = folder / f"{number:04d}.wav"
        # Counted within each key, so that labels reach all of them.
        known = labelled > 0 and (number // 24) % labelled == 0
        if not path.exists():
            write_wav(path, sound(key, first_seed + number, known or not wandering))
        rows.append((path.name, str(key) if known else ""))
    manifest = folder / f"manifest_{labelled}.csv"

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("path", "key"), *rows])

    write_atomically(manifest, write)
    return manifest


def score(model: Path, folder: Path, pieces: int) -> None:
    """Print KSEA and, of 24 keys, the MIREX score on held-out pieces, with their intervals."""
    from stonekey.estimate.estimator import KeyEstimator

    estimator = KeyEstimator(model)
    keys = [Key.from_index(number % 24) for number in range(pieces)]
    answers = [estimator(folder / f"{number:04d}.wav") for number in range(pieces)]
    signatures = score_signatures([k.signature for k in keys], [a.signature for a in answers])
    print(f"held-out synthesised pieces, N = {pieces}: KSEA {signatures.ksea.percent()}")
    if len(estimator.class_table) == 24:
        result = score_keys(keys, [a.key for a in answers])
        print(f"MIREX score (both fifths) {result.mirex.percent()}")


def learn(
    name: str,
    folder: Path,
    pieces: int = 360,
    held_out: int = 72,
    epochs: int | None = None,
    steps: int = 50,
    batch_size: int = 16,
    seed: int = 0,
) -> Path:
    """Make the music and train on it.

    Args:
        name: of `RECIPES`.
        folder: for everything that is made.
        pieces, held_out: pieces to train on and to score with.
        epochs, steps, batch_size, seed: of the training; ``epochs`` by default the recipe's.

    Returns:
        The folder of the run's models; ``best.onnx`` in it if the model could be calibrated.
    """
    from stonekey.training.options import Options
    from stonekey.training.run import train

    recipe = RECIPES[name]
    init = None
    if recipe.train_type == "ks_mode":
        first = learn("stone12", folder, pieces, held_out, None, steps, batch_size, seed)
        init = str(first / "best.safetensors")
    kind = f"{'wandering' if recipe.wandering else 'plain'}_{recipe.labelled}"
    options = Options(
        exp_name=name,
        train_type=recipe.train_type,  # type: ignore[arg-type]
        save_dir=folder / "runs",
        n_epochs=epochs or recipe.epochs,
        train_steps=steps,
        data=make_pieces(folder / kind, pieces, 0, recipe.labelled, recipe.wandering),
        valid=make_pieces(folder / "held_out", held_out, HELD_OUT, 1),
        bindings=(
            "data.duration = 4",
            f"data.batch_size = {batch_size}",
            *recipe.bindings,
        ),
        init=init,
        seed=seed,
    )
    train(options, _report)
    return options.models


def _report(progress: object, values: dict[str, float]) -> None:
    step = getattr(progress, "step", 0)
    if step % 10 == 0:
        print(f"step {step}: loss {values['total']:.4f}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--folder", type=Path, default=Path("runs/learns"))
    parser.add_argument("--pieces", type=int, default=360)
    parser.add_argument("--held-out", type=int, default=72)
    parser.add_argument("--epochs", type=int, help="of 50 steps; default depends on the recipe")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    models = learn(
        arguments.recipe,
        arguments.folder,
        arguments.pieces,
        arguments.held_out,
        arguments.epochs,
        seed=arguments.seed,
    )
    if not (models / "best.onnx").exists():
        sys.exit(f"{arguments.recipe}: the model has not learnt enough to be calibrated")
    score(models / "best.onnx", arguments.folder / "held_out", arguments.held_out)


if __name__ == "__main__":
    main()
