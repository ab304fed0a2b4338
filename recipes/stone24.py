r"""The shipped stone24, and all the ways to train one, on the same music and budget.

    python recipes/stone24.py compare --recordings ../shared/audio/train \
        --scores ../shared/symbolic/keys.csv --dev ../shared/audio/dev/manifest.csv
    python recipes/stone24.py ship --recordings ... --scores ... --init stone12

``compare`` trains 24-STONE and S-KEY (no labels), Semi-TONE (`mix`) and Sup-TONE with 1, 10 and
100 % of the labels, which are those of the rendered scores, and scores each on the test split of
the renderings and, where given, on recordings. ``ship`` trains the model that the package has,
longer, from stone12's weights, and with sounds that have no key; fits its temperature and the limit
of "no key" on pieces held out. Stopped and started again, both go on where they were.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import replace
from pathlib import Path

from shipping import ship, with_confidence
from stone12 import CONFIG, rendered, write_manifest

from stonekey.data.keyless import write_keyless
from stonekey.data.manifest import Track, read_manifest
from stonekey.data.render.sound import find_soundfonts

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


KEYLESS_CLIPS = 300
LIMIT_SEED = 500_000


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
) -> Path:
    """Train one way; returns the folder of its models."""
    from stonekey.cli.train import progress
    from stonekey.training.options import Options
    from stonekey.training.run import train

    options = Options(
        exp_name=name,
        train_type="ks_mode",
        save_dir=folder,
        n_epochs=epochs,
        train_steps=50,
        gin_file=str(CONFIG / "stone24.gin"),
        bindings=bindings,
        data=write_manifest(folder / f"{name}.csv", with_labels(tracks, share)),
        seed=seed,
        init=init,
    )
    with progress(options.n_epochs * options.train_steps) as report:
        train(options, report)
    return options.models


def without_key(folder: Path) -> list[Track]:
    """Noise, drums, speech, applause and clicks, labelled as having no key."""
    paths = write_keyless(folder, KEYLESS_CLIPS, 12.0, 0, find_soundfonts())
    return [
        Track(path.name, path, split="valid" if i % 10 == 9 else "train", keyless=True)
        for i, path in enumerate(paths)
    ]


def score(models: dict[str, Path], tracks: list[Track], title: str) -> None:
    """Print MIREX score and KSEA of each model, with intervals."""
    from stonekey.estimator import KeyEstimator
    from stonekey.evaluation import score_keys, score_signatures

    tracks = [t for t in tracks if t.key is not None]
    keys = [t.key for t in tracks]
    print(f"\n{title}, N = {len(tracks)}; MIREX score with both fifths, KSEA, 95 % intervals")
    for name, folder in models.items():
        path = folder / "best.onnx"
        if not path.exists():
            print(f"{name:9} not calibrated: its two rows of outputs fit no table of 24 keys")
            continue
        estimator = KeyEstimator(path)
        answers = [estimator(t.path) for t in tracks if t.path is not None]
        mirex = score_keys(keys, [a.key for a in answers]).mirex
        ksea = score_signatures(
            [k.signature for k in keys if k is not None], [a.signature for a in answers]
        ).ksea
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
    parser.add_argument("--name", default="ship")
    parser.add_argument("--epochs", type=int, help="of 50 steps; default 8, to ship 24")
    parser.add_argument("--binding", action="append", default=[], help="a line of gin")
    parser.add_argument("--init", help="model to start from")
    parser.add_argument("--output", type=Path, help="where to ship: stonekey/models")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    pieces = rendered(arguments.scores, folder / "rendered")
    tracks = [*read_manifest(arguments.recordings).present, *pieces]
    extra = tuple(arguments.binding)
    if arguments.task == "ship":
        tracks += without_key(folder / "keyless")
        runs = {arguments.name: (100, MIX)}
        epochs = arguments.epochs or 24
    else:
        runs = {name: WAYS[name] for name in arguments.only or WAYS}
        epochs = arguments.epochs or 8
    models = {
        name: train_one(
            name, share, bindings + extra, tracks, folder, epochs, arguments.seed, arguments.init
        )
        for name, (share, bindings) in runs.items()
    }
    if arguments.task == "ship":
        best = models[arguments.name] / "best.safetensors"
        unheard = write_keyless(folder / "keyless_limit", 100, 12.0, LIMIT_SEED, find_soundfonts())
        valid = [t for t in pieces if t.split == "valid"]
        music = [t.path for t in (*valid, *tracks[:100]) if t.path is not None]
        finished = with_confidence(best, valid, unheard, music)
        record = {"recipe": "recipes/stone24.py ship", "tracks": len(tracks)}
        print(ship(finished, "stone24", record, arguments.output or models[arguments.name]))
    score(models, [t for t in pieces if t.split == "test"], "rendered scores, test split")
    if arguments.dev:
        score(models, list(read_manifest(arguments.dev).present), arguments.dev.parent.name)


if __name__ == "__main__":
    main()
