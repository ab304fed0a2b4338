r"""The shipped stone24: 24 keys, learnt from chord charts, scores and other estimators' answers.

    python recipes/stone24.py --recordings train/manifest.csv --recordings train2/manifest.csv \
        --teachers teachers.csv --charts billboard.jsonl --scores keys.csv --device cuda

Recordings bear the product of other estimators' answers as a label that is not sure; charts and
scores are rendered and bear their own keys; noise, drums, speech and single bass notes bear none.
All are packed (`packed`), so the training itself can be done where the music is not: copy
FOLDER/packed there, run this with --folder alone, and copy FOLDER/models back. Some models are
trained on the labels; the one that ships learns from their mean answer too. Each keeps the
epoch with the lowest loss on music held out. At last the confidence and the limit of "no key" are
found on music held out. An interrupted run resumes when started again. `--only NAME` makes a single
one of the runs, among them those that show what each source is worth. The model's card is
`src/stonekey/model/weights/stone24.md`; LOG.md has the runs by which the recipe was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from charts import bands
from open_music import (
    CONFIG,
    held_out,
    keyless_unheard,
    of_scores,
    without_key,
)
from packed import pack
from shipping import ship, with_confidence
from stone12 import run
from teachers import with_answers

from stonekey.data.cache import build_cache
from stonekey.data.manifest import Track, read_manifest
from stonekey.keys import Key
from stonekey.model.checkpoint import load_checkpoint, save_checkpoint
from stonekey.training.config import load_config
from stonekey.training.options import Options

CHARTS = 2400
STEPS = 500  # in an epoch
# The temperature is found on recordings held out whose label is at least so sure, and on
# renderings held out, many of them loops that could be in either of two keys.
AGREED = 0.8
# Of segments before their mean; of 1 to 4 and the mean of logarithms the best on charts held out.
SEGMENT_TEMPERATURE = 4.0

SHARES = {"train": 0.24, "train2": 0.2, "charts": 0.4, "scores": 0.1, "keyless": 0.06}
RENDERED = {"charts": 0.75, "scores": 0.18, "keyless": 0.07}
RECORDED = {"train": 0.5, "train2": 0.42, "keyless": 0.08}
# Channels of the stages.
SHIPPED = (8, 16, 48, 64, 24)
WIDE = (32, 48, 64, 48, 24)


@dataclass(frozen=True)
class Run:
    """A model to train: see `packed.Loader`.

    ``teachers`` and ``init``, whose weights it starts from, are other runs. The learning rate
    reaches its end after ``cosine`` epochs, of which only ``epochs`` may be run.
    """

    channels: Sequence[int] = SHIPPED
    seed: int = 0
    shares: Mapping[str, float] = field(default_factory=SHARES.copy)
    mask: float = 0.3
    noise: float = 0.3
    targets: str = "target"
    teachers: Sequence[str] = ()
    trust: float = 0.6
    init: str | None = None
    epochs: int = 9
    cosine: int = 20
    learning_rate: float = 3e-3


TEACHERS = ("wide_1", "wide_2", "wide_3")
LAST = Run(seed=11, init="alone", epochs=8, cosine=8, learning_rate=2e-3)
RUNS = {
    **{name: Run(WIDE, seed, epochs=6) for seed, name in enumerate(TEACHERS, 1)},
    "alone": Run(),
    "stone24": replace(LAST, teachers=TEACHERS),
    # What the teachers, the augmentations and each source are worth.
    "untaught": replace(LAST, epochs=16, cosine=16),
    "plain": Run(mask=0, noise=0, epochs=8),
    "rendered": Run(shares=RENDERED, epochs=8),
    "recorded": Run(shares=RECORDED, epochs=8),
    "skey": Run(targets="skey"),
}


def music(arguments: argparse.Namespace) -> Iterator[Track]:
    """All tracks, by group, with splits; those set apart for tests are left out."""
    folder: Path = arguments.folder
    for manifest in arguments.recordings:
        for track in with_answers(read_manifest(manifest).present, manifest, arguments.teachers):
            yield replace(track, group=manifest.parent.name, split=held_out(track))
    pieces: dict[str, list[Track]] = {"charts": [], "scores": []}
    for source in arguments.charts:
        if source.suffix == ".csv":
            pieces["charts"] += read_manifest(source).present
        else:
            pieces["charts"] += bands(source, folder / "charts", CHARTS)
    if arguments.scores:
        pieces["scores"] = of_scores(arguments.scores, folder / "scores")
    for group, tracks in pieces.items():
        yield from (replace(t, group=group) for t in tracks if t.split != "test")
    yield from (replace(t, group="keyless") for t in without_key(folder / "keyless"))


def prepare(tracks: Sequence[Track], arguments: argparse.Namespace) -> None:
    """Transform and pack the tracks, a file for each group."""
    folder: Path = arguments.folder
    front_end = load_config(str(CONFIG / "stone24.gin"), "ks_mode").front_end
    report = build_cache(tracks, folder / "cache", front_end)
    for path, reason in report.failed:
        print(f"{path}: {reason}")
    valid = {str(t.path): t.split == "valid" for t in tracks}
    skey = {
        str(t.path): t.probabilities
        for manifest in arguments.recordings
        for t in with_answers(read_manifest(manifest).present, manifest, arguments.teachers, "skey")
    }
    for group in sorted({t.group for t in report.tracks}):
        found = [t for t in report.tracks if t.group == group]
        pack(
            found,
            [valid[t.path] for t in found],
            front_end,
            folder / "packed" / f"{group}.npz",
            skey=[skey.get(t.path) or t.target or () for t in found],
        )


def train(name: str, arguments: argparse.Namespace) -> Path:
    """Train or resume a run; the model's checkpoint."""
    this, folder = RUNS[name], arguments.folder
    options = Options(
        exp_name=name,
        train_type="ks_mode",
        save_dir=folder,
        n_epochs=this.epochs,
        train_steps=STEPS,
        learning_rate=this.learning_rate,
        gin_file=str(CONFIG / "stone24.gin"),
        device=arguments.device,
        precision="32-true",
        init=this.init and str(train(this.init, arguments)),
        seed=this.seed,
    )
    packed = sorted(map(str, (folder / "packed").glob("*.npz")))
    config = load_config(options.gin_file, "ks_mode")
    place = {
        "paths": packed,
        "device": arguments.device,
        "batch_size": config.data.batch_size,
        "segment": config.front_end.network_frames(config.front_end.segment_samples),
    }
    training = {
        "seed": this.seed,
        "shares": dict(this.shares),
        "mask": this.mask,
        "noise": this.noise,
        "targets": this.targets,
        "teachers": [str(train(teacher, arguments)) for teacher in this.teachers],
        "trust": this.trust,
    }
    uses = {"loader": place | training, "validation": place}
    bindings = [
        "import packed",
        "data.train_loader = @packed.loader",
        "data.test_loader = @packed.validation",
        f"ChromaNet.out_channels = {list(this.channels)}",
        f"optimizer.n_epochs_cosine = {this.cosine}",
        *(f"packed.{use}.{k} = {v!r}" for use in uses for k, v in uses[use].items()),
    ]
    run(replace(options, bindings=(*bindings, *arguments.binding)))
    return options.models / "best.safetensors"


def finish(trained: Path, tracks: Sequence[Track], arguments: argparse.Namespace) -> Path:
    """Find the confidence and the limit of "no key", and ship."""
    folder: Path = arguments.folder
    checkpoint = load_checkpoint(trained)
    softer = folder / "stone24_softer.safetensors"
    info = replace(checkpoint.info, segment_temperature=SEGMENT_TEMPERATURE)
    save_checkpoint(replace(checkpoint, info=info), softer)
    valid = [t for t in tracks if t.split == "valid"]
    finished = with_confidence(
        softer,
        [list(agreed(valid)), [t for t in valid if t.group in ("charts", "scores")]],
        keyless_unheard(folder),
        [t.path for t in valid if t.path is not None],
    )
    groups = [t.group for t in tracks if t.split == "train"]
    counts = {name: groups.count(name) for name in sorted(set(groups))}
    record = {"recipe": "recipes/stone24.py", "groups": counts}
    return ship(finished, "stone24", record, arguments.output or folder)


def agreed(tracks: Iterable[Track]) -> Iterator[Track]:
    """The recordings on whose key the teachers agree, with that key."""
    for track in tracks:
        if track.probabilities is not None and max(track.probabilities) >= AGREED:
            key = Key.from_index(track.probabilities.index(max(track.probabilities)))
            yield replace(track, key=key)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, pack, train and ship."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=Path, action="append", default=[], help="manifests")
    parser.add_argument("--teachers", type=Path, help="CSV of other estimators' answers to them")
    parser.add_argument("--charts", type=Path, action="append", default=[],
                        help="chord charts, or a manifest (CSV) of renderings")  # fmt: skip
    parser.add_argument("--scores", type=Path, help="folder or CSV of scores")
    parser.add_argument("--folder", type=Path, default=Path("runs/stone24"))
    parser.add_argument("--only", choices=RUNS, help="make this run and ship nothing")
    parser.add_argument("--binding", action="append", default=[], help="a line of gin")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, help="where to ship: the package's weights")
    arguments = parser.parse_args(argv)
    tracks: list[Track] = []
    if arguments.recordings or arguments.charts or arguments.scores:
        tracks = list(music(arguments))
        prepare(tracks, arguments)
    trained = train(arguments.only or "stone24", arguments)
    if tracks and not arguments.only:
        print(finish(trained, tracks, arguments))


if __name__ == "__main__":
    main()
