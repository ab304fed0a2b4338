r"""The shipped stone24: 24 keys, learnt from chord charts and other estimators' answers.

    python recipes/stone24.py --recordings train/manifest.csv --recordings train2/manifest.csv \
        --teachers teachers.csv --charts billboard.jsonl

Recordings bear the product of their teachers' answers as a label that is not sure; charts are
rendered and bear their own key; noise, drums, speech and single bass notes bear none.
Trains with config/stone24.gin, keeps the epoch with the lowest loss on music held out, and finds
the confidence and the limit of "no key" on music held out. An interrupted run resumes
when started again. `src/stonekey/model/weights/stone24.md` is the model's card; LOG.md has the
runs by which the recipe was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from charts import bands
from open_music import (
    CONFIG,
    held_out,
    keyless_unheard,
    without_key,
    write_manifest,
)
from shipping import ship, with_confidence
from stone12 import run
from teachers import with_answers

from stonekey.data.manifest import Track, read_manifest
from stonekey.keys import Key
from stonekey.model.checkpoint import load_checkpoint, save_checkpoint
from stonekey.training.options import Options

STEPS = 100  # in an epoch
EPOCHS = 40
SEED = 0
LEARNING_RATE = 2e-3
CHARTS = 1000
# The temperature is found on recordings held out whose label is at least so sure: charts, many of
# them loops that could be in either of two keys, are harder than music.
AGREED = 0.8
# Of segments before their mean; of 1 to 4 and the mean of logarithms the best on charts held out.
SEGMENT_TEMPERATURE = 4.0


def music(arguments: argparse.Namespace) -> Iterator[Track]:
    """All tracks, by group, with splits; those set apart for tests are left out."""
    folder: Path = arguments.folder
    for manifest in arguments.recordings:
        for track in with_answers(read_manifest(manifest).present, manifest, arguments.teachers):
            yield replace(track, group="recordings", split=held_out(track))
    pieces: list[Track] = []
    for source in arguments.charts:
        if source.suffix == ".csv":
            pieces += read_manifest(source).present
        else:
            pieces += bands(source, folder / "charts", CHARTS)
    yield from (replace(t, group="charts") for t in pieces if t.split != "test")
    yield from (replace(t, group="keyless") for t in without_key(folder / "keyless"))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, train and ship."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=Path, action="append", default=[], help="manifests")
    parser.add_argument("--teachers", type=Path, help="CSV of other estimators' answers to them")
    parser.add_argument("--charts", type=Path, action="append", default=[],
                        help="chord charts, or a manifest (CSV) of renderings")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=Path("runs/stone24"))
    parser.add_argument("--name", default="stone24")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of {STEPS} steps")
    parser.add_argument("--binding", action="append", default=[], help="a line of gin")
    parser.add_argument("--init", help="model to start from")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--output", type=Path, help="where to ship: the package's weights")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    tracks = list(music(arguments))
    options = Options(
        exp_name=arguments.name,
        train_type="ks_mode",
        save_dir=folder,
        n_epochs=arguments.epochs,
        train_steps=STEPS,
        learning_rate=LEARNING_RATE,
        gin_file=str(CONFIG / "stone24.gin"),
        bindings=tuple(arguments.binding),
        data=write_manifest(folder / f"{arguments.name}.csv", tracks),
        device=arguments.device,
        init=arguments.init,
        seed=arguments.seed,
    )
    run(options)
    trained = load_checkpoint(options.models / "best.safetensors")
    softer = folder / f"{arguments.name}_softer.safetensors"
    save_checkpoint(
        replace(trained, info=replace(trained.info, segment_temperature=SEGMENT_TEMPERATURE)),
        softer,
    )
    valid = [t for t in tracks if t.split == "valid"]
    finished = with_confidence(
        softer,
        list(agreed(valid)),
        keyless_unheard(folder),
        [t.path for t in valid if t.path is not None],
    )
    record = {"recipe": "recipes/stone24.py", "groups": _counts(tracks)}
    print(ship(finished, "stone24", record, arguments.output or folder))


def agreed(tracks: Iterable[Track]) -> Iterator[Track]:
    """The recordings on whose key the teachers agree, with that key."""
    for track in tracks:
        if track.probabilities is not None and max(track.probabilities) >= AGREED:
            key = Key.from_index(track.probabilities.index(max(track.probabilities)))
            yield replace(track, key=key)


def _counts(tracks: Sequence[Track]) -> dict[str, int]:
    groups = [t.group for t in tracks if t.split == "train"]
    return {name: groups.count(name) for name in sorted(set(groups))}


if __name__ == "__main__":
    main()
