r"""The shipped stone24, and all the ways to train one, on the same music and budget.

    python recipes/stone24.py ship --recordings ../shared/audio/train \
        --scores ../shared/symbolic/keys.csv --init stone12
    python recipes/stone24.py compare --recordings ... --scores ... --init stone12 \
        --dev ../shared/audio/dev/manifest.csv

``ship`` adds to stone12, whose network stays as it is, a mode head (`stonekey.network.heads`)
learnt from the rendered scores' labels, and finds the temperature and the limit of "no key" on
pieces held out. ``compare`` trains 24-STONE and S-KEY (no labels), Semi-TONE (`mix`) and Sup-TONE
with 1, 10 and 100 % of the labels, with ``--init`` all from the same weights and the mode heads
beside them, and scores each on the test split of the renderings and, where given, on recordings.
Stopped and started again, both go on where they were.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import replace
from pathlib import Path

from open_music import CONFIG, keyless_unheard, rendered, write_manifest
from shipping import ship, with_confidence
from stone12 import run

from stonekey.data.cache import build_cache
from stonekey.data.manifest import Track, read_manifest
from stonekey.estimate.estimator import KeyEstimator
from stonekey.evaluation import score_keys, score_signatures
from stonekey.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stonekey.model.registry import find_model
from stonekey.training.mode_fit import with_mode_head
from stonekey.training.options import Options

# Name -> share of labels in percent, and gin bindings.
SELF = 'data.dataset_type_train = "selfsupervised"'
SUPERVISED = ('data.dataset_type_train = "supervised"', 'data.dataset_type_test = "supervised"')
MIX = ('data.dataset_type_train = "mix"', 'data.dataset_type_test = "supervised"')
WAYS: dict[str, tuple[int, tuple[str, ...]]] = {
    "sup100": (100, SUPERVISED),
    "semi100": (100, MIX),
    "sup10": (10, SUPERVISED),
    "semi10": (10, MIX),
    "sup1": (1, SUPERVISED),
    "semi1": (1, MIX),
    "skey": (0, (SELF, 'loss.objective = "skey"')),
    "stone24": (0, (SELF,)),
}


def with_labels(tracks: list[Track], share: int) -> list[Track]:
    """The tracks with keys for ``share`` percent of the training pieces, all to validate with.

    A piece is chosen by its name, so that 1 % is part of 10 %. What is set apart for tests is
    left out.
    """
    kept = []
    for track in tracks:
        if track.split == "test":
            continue
        name = str(track.metadata.get("score", track.id))
        known = track.split == "valid" or zlib.crc32(name.encode()) % 100 < share
        kept.append(track if known else replace(track, key=None))
    return kept


def train_one(
    name: str,
    share: int,
    bindings: tuple[str, ...],
    tracks: list[Track],
    folder: Path,
    epochs: int,
    seed: int,
    init: str | None = None,
    learning_rate: float = 1e-3,
) -> Path:
    """Train one way; returns the folder of its models."""
    options = Options(
        exp_name=name,
        train_type="ks_mode",
        save_dir=folder,
        n_epochs=epochs,
        train_steps=50,
        gin_file=str(CONFIG / "stone24.gin"),
        bindings=bindings,
        data=write_manifest(folder / f"{name}.csv", with_labels(tracks, share)),
        learning_rate=learning_rate,
        seed=seed,
        init=init,
    )
    run(options)
    return options.models


def head_of(signatures: Path, share: int, tracks: list[Track], folder: Path) -> Checkpoint:
    """A 12-signature model with a mode head learnt from ``share`` percent of the labels."""
    twelve = load_checkpoint(signatures)
    known = [t for t in with_labels(tracks, share) if t.split != "valid"]
    built = build_cache([t for t in known if t.key is not None], folder, twelve.info.front_end)
    print(f"mode head: {len(built.tracks)} labelled pieces")
    return with_mode_head(twelve, built.tracks)


def score(models: dict[str, Path], tracks: list[Track], title: str) -> None:
    """Print MIREX score and KSEA of each model, with intervals."""
    tracks = [t for t in tracks if t.key is not None]
    keys = [t.key for t in tracks if t.key is not None]
    print(f"\n{title}, N = {len(tracks)}; MIREX score with both fifths, KSEA, 95 % intervals")
    for name, path in models.items():
        if not path.exists():
            print(f"{name:9} not calibrated: its two rows of outputs fit no table of 24 keys")
            continue
        estimator = KeyEstimator(path)
        answers = [estimator(t.path) for t in tracks if t.path is not None]
        mirex = score_keys(keys, [a.key for a in answers]).mirex
        signatures = [key.signature for key in keys]
        ksea = score_signatures(signatures, [a.signature for a in answers]).ksea
        print(f"{name:9} {mirex.percent()}  {ksea.percent()}", flush=True)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=("compare", "ship"))
    parser.add_argument("--recordings", type=Path, required=True, help="folder or manifest")
    parser.add_argument("--scores", type=Path, required=True, help="CSV of scores and keys")
    parser.add_argument("--dev", type=Path, help="labelled recordings to score with")
    parser.add_argument("--folder", type=Path, default=Path("runs/stone24"))
    parser.add_argument("--only", action="append", choices=sorted(WAYS), help="ways to compare")
    parser.add_argument("--epochs", type=int, default=5, help="of 50 steps")
    parser.add_argument("--binding", action="append", default=[], help="a line of gin")
    parser.add_argument("--init", help="model to start from: stone12")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--output", type=Path, help="where to ship: src/stonekey/model/weights")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    pieces = rendered(arguments.scores, folder / "rendered")
    tracks = [*read_manifest(arguments.recordings).present, *pieces]
    init = find_model(arguments.init).with_suffix(".safetensors") if arguments.init else None
    models: dict[str, Path] = {}
    if arguments.task == "ship":
        if init is None:
            parser.error("ship needs --init, a 12-signature model")
        finished = make_stone24(init, tracks, pieces, folder)
        record = {"mode_head": "recipes/stone24.py ship"}
        models["stone24"] = ship(finished, "stone24", record, arguments.output or folder)
    else:
        epochs = arguments.epochs
        for name in arguments.only or WAYS:
            share, bindings = WAYS[name]
            trained = train_one(
                name, share, bindings + tuple(arguments.binding), tracks, folder, epochs,
                arguments.seed, arguments.init, arguments.learning_rate,
            )  # fmt: skip
            models[name] = trained / "best.onnx"
        for share in (1, 10, 100):
            if init is None:
                break
            path = folder / f"head{share}.safetensors"
            save_checkpoint(head_of(init, share, tracks, folder / "cache"), path)
            models[path.stem] = path
    score(models, [t for t in pieces if t.split == "test"], "rendered scores, test split")
    if arguments.dev:
        score(models, list(read_manifest(arguments.dev).present), arguments.dev.parent.name)


def make_stone24(init: Path, tracks: list[Track], pieces: list[Track], folder: Path) -> Checkpoint:
    """The model that ships: stone12, a mode head, temperature and limit."""
    model = folder / "head.safetensors"
    save_checkpoint(head_of(init, 100, tracks, folder / "cache"), model)
    valid = [t for t in pieces if t.split == "valid"]
    music = [t.path for t in (*valid, *tracks[:200]) if t.path is not None]
    return with_confidence(model, valid, keyless_unheard(folder), music)


if __name__ == "__main__":
    main()
