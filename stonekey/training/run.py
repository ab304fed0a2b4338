"""A whole training run: options in, a usable model out."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from stonekey.calibration import CalibrationError
from stonekey.data.batch import TrainingBatch, training_batch
from stonekey.data.batch_loader import DataError
from stonekey.data.cache import CachedTrack, CacheReport, build_cache
from stonekey.data.loaders import CachedLoader, fixed_batches
from stonekey.data.manifest import ManifestError, Track, read_manifest
from stonekey.training.config import Config, ConfigError, TrainType, load_config
from stonekey.training.logs import Logs
from stonekey.training.loop import Plan, Report, Trainer
from stonekey.training.scores import Scorer, finish
from stonekey.vqt import VQT

DATA_HELP = """\
There is nothing to train on. Give a folder of music, or a manifest:

  --data ~/Music
  --data tracks.csv        with the columns path and, where known, key and split:

    path,key,split
    song.mp3,C# minor,train
    other.flac,,train
    held/out.ogg,Eb major,valid
"""


@dataclass(frozen=True)
class Options:
    """What the command line says; see ``stonekey train --help``."""

    exp_name: str
    train_type: TrainType = "ks"
    circle_type: int = 7
    save_dir: Path = Path("runs")
    n_epochs: int = 100
    train_steps: int = 512
    val_steps: int = 256
    learning_rate: float = 1e-3
    gin_file: str | None = None
    bindings: tuple[str, ...] = ()
    data: Path | None = None
    labels: Path | None = None
    valid: Path | None = None
    cache: Path | None = None
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str | None = None
    compile: bool = False
    seed: int = 0
    resume: bool = True

    def __post_init__(self) -> None:
        if self.train_type not in ("ks", "ks_mode"):
            raise ConfigError(f"train type must be ks or ks_mode, got {self.train_type!r}")
        if self.circle_type not in (1, 7):
            raise ConfigError(f"circle type must be 1 or 7, got {self.circle_type}")
        for name in ("n_epochs", "train_steps", "val_steps", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning rate must be positive, got {self.learning_rate}")

    @property
    def place(self) -> Path:
        """``<train type>/<circle>/<name>``, below the folders of models and of events."""
        return Path(self.train_type) / str(self.circle_type) / self.exp_name

    @property
    def models(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.save_dir / "models" / self.place


@dataclass(frozen=True)
class Data:
    """Tracks of a run, transformed for training."""

    train: list[CachedTrack]
    valid: list[CachedTrack]
    labelled_valid: list[Track]
    examples: list[Path]


def held_out(track: Track, percent: float) -> bool:
    """Whether a track belongs to the held-out share: a function of its name alone."""
    return zlib.crc32(track.id.encode("utf-8", "surrogateescape")) % 10_000 < percent * 100


def split_tracks(options: Options, percent: float) -> tuple[list[Track], list[Track]]:
    """Training and validation tracks.

    Validation tracks are those of ``--valid``, else those whose split in the manifest is
    ``valid`` or ``validation``, else a share of the data chosen by name. None is in both.
    """
    assert options.data is not None
    tracks = list(read_manifest(options.data).present)
    if options.labels is not None:
        tracks = _merged([*tracks, *read_manifest(options.labels).present])
    train = [t for t in tracks if t.split in (None, "", "train")]
    if options.valid is not None:
        valid = list(read_manifest(options.valid).present)
        away = {_real_path(t) for t in valid}
        return [t for t in train if _real_path(t) not in away], valid
    valid = [t for t in tracks if t.split in ("valid", "validation")]
    if valid:
        return train, valid
    valid = [t for t in train if held_out(t, percent)] or train[:1]
    away = {_real_path(t) for t in valid}
    rest = [t for t in train if _real_path(t) not in away]
    return rest or train, valid


def _real_path(track: Track) -> str:
    return track.id if track.path is None else os.path.realpath(track.path)


def _merged(tracks: Iterable[Track]) -> list[Track]:
    """One entry for each file: its first, with the label of any."""
    known: dict[str, Track] = {}
    for track in tracks:
        first = known.setdefault(_real_path(track), track)
        if first.key is None and track.key is not None:
            known[_real_path(track)] = replace(first, key=track.key)
        elif track.key not in (None, first.key):
            raise ManifestError(f"{track.path} has two keys: {first.key} and {track.key}")
    return list(known.values())


def prepare_data(options: Options, config: Config, fabric: Fabric) -> Data:
    """Read the manifests and build the cache, on one process first."""
    train, valid = split_tracks(options, config.data.holdout_percent)
    if not train:
        raise DataError(f"{options.data}: no audio file found\n\n{DATA_HELP}")
    from stonekey.data.augment import variant_cents

    folder = options.cache or options.save_dir / "cache"
    count = config.data.detune_variants
    cents = (0.0, *(c for c in variant_cents(count) if c != 0.0)) if count > 1 else (0.0,)

    def build(first: bool) -> tuple[CacheReport, CacheReport]:
        return (
            build_cache(train, folder, config.front_end, cents=cents, progress=first),
            build_cache(valid, folder, config.front_end, progress=first),
        )

    if fabric.is_global_zero:
        built = build(first=True)
        for report, name in zip(built, ("training", "validation"), strict=True):
            fabric.print(f"{name} data: {len(report.tracks)} tracks, {report.summary()}")
            for path, reason in report.failed:
                print(f"skipped {path}: {reason}", file=sys.stderr)
    fabric.barrier()
    if not fabric.is_global_zero:
        built = build(first=False)
    examples = [t.path for t in valid[:3] if t.path is not None]
    labelled = [t for t in valid if t.key is not None]
    return Data(built[0].tracks, built[1].tracks, labelled, examples)


class Converted:
    """A loader's batches in the form that training takes, on the device; keeps its state."""

    def __init__(self, loader: Any, fabric: Fabric, config: Config) -> None:
        self.loader = loader
        self.device = fabric.device
        self.vqt = VQT(config.front_end).to(self.device)
        self._batches = iter(loader)
        for name in ("state_dict", "load_state_dict"):
            if hasattr(loader, name):
                setattr(self, name, getattr(loader, name))

    def __iter__(self) -> Iterator[TrainingBatch]:
        return self

    def __next__(self) -> TrainingBatch:
        try:
            batch = next(self._batches)
        except StopIteration:  # a user's finite loader starts again
            self._batches = iter(self.loader)
            try:
                batch = next(self._batches)
            except StopIteration:
                raise DataError(
                    "the training loader gives no more batches: it must be endless, or an "
                    "iterable that can be started again"
                ) from None
        return training_batch(batch, self.vqt, self.device)


def train(options: Options, report: Report | None = None) -> Path | None:
    """Run or resume a training.

    Args:
        options: of the command.
        report: called after every step on the first process.

    Returns:
        The exported model, or None when it could not be calibrated.

    Raises:
        ConfigError, DataError, ManifestError, CheckpointError, DivergedError: as they say.
    """
    config = load_config(options.gin_file, options.train_type, options.bindings)
    if options.data is None and config.data.train_loader is None:
        raise ConfigError(DATA_HELP)
    fabric = _fabric(options)
    fabric.launch()
    first = fabric.is_global_zero
    fabric.print(config.text)
    data = None if options.data is None else prepare_data(options, config, fabric)
    batches = Converted(_train_loader(config, options, data, fabric), fabric, config)
    plan = Plan(
        options.exp_name,
        options.circle_type,
        options.n_epochs,
        options.train_steps,
        options.val_steps,
        options.learning_rate,
        options.seed,
        options.models,
        keep_epochs=max(1, options.n_epochs // 10),
    )
    supervised = config.data.train_mode != "selfsupervised"
    trainer = Trainer(
        fabric,
        config,
        plan,
        batches,
        lambda: _validation(config, options, data, fabric),
        Scorer(data.labelled_valid, supervised) if data and data.labelled_valid else None,
        compiled=options.compile,
    )
    if options.resume:
        if trainer.resume():
            fabric.print(f"resumed at epoch {trainer.progress.epoch}, step {trainer.progress.step}")
    elif (plan.folder / "last.pt").exists() and first:
        (plan.folder / "last.pt").unlink()
    fabric.barrier()
    folder = options.save_dir / "tensorboard" / options.place
    logs = trainer.logs = Logs(folder if first else None, trainer.progress.step + 1)
    logs.text("config", config.text)
    if data is not None:
        logs.audio(data.examples, config.front_end.sample_rate)
    try:
        trainer.fit(report if first else None)
    finally:
        logs.close()
        close = getattr(batches.loader, "close", None)
        if close is not None:
            close()
    if not first:
        return None
    try:
        path = finish(plan.folder, supervised)
    except CalibrationError as error:
        fabric.print(f"not calibrated: {error}. {plan.folder / 'best.safetensors'} has no names")
        return None
    fabric.print(f"done: stonekey FILE --model {plan.folder / 'best'}")
    return path


def _fabric(options: Options) -> Fabric:
    many = options.devices * options.nodes > 1
    accelerator = options.device.split(":")[0]
    precision: Any = options.precision
    if precision is None:
        import torch

        gpu = accelerator in ("cuda", "gpu") or (
            accelerator == "auto" and torch.cuda.is_available()
        )
        precision = "bf16-mixed" if gpu else "32-true"
    devices: Any = options.devices
    if ":" in options.device:
        devices = [int(options.device.split(":")[1])]
    try:
        return Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=options.nodes,
            precision=precision,
            strategy="ddp" if many else "auto",
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"--device {options.device}, --precision {precision}: {error}") from error


def _train_loader(config: Config, options: Options, data: Data | None, fabric: Fabric) -> Any:
    settings = config.data
    if settings.train_loader is not None:
        return settings.train_loader()
    assert data is not None
    loader = CachedLoader(
        data.train,
        settings.train_mode,
        settings.batch_size,
        front_end=config.front_end,
        seed=options.seed,
        rank=fabric.global_rank,
        world=fabric.world_size,
        augment=settings.augment,
        device=fabric.device,
    )
    if loader.skipped_short:
        seconds = config.front_end.segment_seconds
        fabric.print(f"{loader.skipped_short} recordings shorter than {seconds:g} s are left out")
    return loader


def _validation(
    config: Config, options: Options, data: Data | None, fabric: Fabric
) -> Iterator[TrainingBatch]:
    vqt = VQT(config.front_end).to(fabric.device)
    batches: Any
    if config.data.test_loader is not None:
        batches = config.data.test_loader()
    elif data is not None:
        batches = fixed_batches(
            data.valid,
            config.data.batch_size,
            supervised=config.data.test_mode == "supervised",
            front_end=config.front_end,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
    else:
        raise ConfigError("with a train_loader of your own, bind data.test_loader or give --data")
    for batch in batches:
        yield training_batch(batch, vqt, fabric.device)
