"""The data of a run: which tracks train and which validate, and the batches made of them."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from stonekey.data.audio_loader import AudioLoader
from stonekey.data.batch import TrainingBatch, training_batch
from stonekey.data.batch_loader import BatchLoader, DataError
from stonekey.data.cache import CachedTrack, CacheReport, build_cache
from stonekey.data.loaders import CachedLoader, fixed_batches
from stonekey.data.manifest import ManifestError, Track, read_manifest
from stonekey.data.shards import ShardTrack, open_audio_shards
from stonekey.network.vqt import VQT
from stonekey.training.config import Config, ConfigError
from stonekey.training.options import DATA_HELP, Options
from stonekey.training.own_loader import OwnLoader, validation_loader


@dataclass(frozen=True)
class Data:
    """Tracks of a run: in the cache, or recordings in shards, which are decoded as they come."""

    train: list[CachedTrack] | list[ShardTrack]
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
        valid = _valid(options)
        away = {_real_path(t) for t in valid}
        return [t for t in train if _real_path(t) not in away], valid
    valid = [t for t in tracks if t.split in ("valid", "validation")]
    if valid:
        return train, valid
    valid = [t for t in train if held_out(t, percent)] or train[:1]
    away = {_real_path(t) for t in valid}
    rest = [t for t in train if _real_path(t) not in away]
    return rest or train, valid


def _valid(options: Options) -> list[Track]:
    assert options.valid is not None
    return list(read_manifest(options.valid).present)


def _shards(folder: Path) -> list[ShardTrack]:
    if not folder.is_dir() or not any(folder.glob("*.tar")):
        return []
    return open_audio_shards(folder)


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
    """Read the manifests or shards and build the cache, on one process first.

    A folder of shards (``stonekey data shard``) is not cached, being too large for that; the
    recordings to validate on then come from ``--valid``.
    """
    assert options.data is not None
    shards = _shards(options.data)
    if shards and options.valid is None:
        raise ConfigError(f"{options.data} holds shards: give --valid, a folder or manifest")
    train, valid = (
        ([], _valid(options)) if shards else split_tracks(options, config.data.holdout_percent)
    )
    if not train and not shards:
        raise DataError(f"{options.data}: no audio file found\n\n{DATA_HELP}")
    from stonekey.data.augment import variant_cents

    folder = options.cache or options.save_dir / "cache"
    count = config.data.detune_variants
    cents = (0.0, *(c for c in variant_cents(count) if c != 0.0)) if count > 1 else (0.0,)

    built: tuple[CacheReport, ...] = ()
    if fabric.is_global_zero:
        built = (
            build_cache(train, folder, config.front_end, cents=cents),
            build_cache(valid, folder, config.front_end),
        )
        if shards:
            fabric.print(f"training data: {len(shards)} recordings in shards")
        for report, name in zip(built, ("training", "validation"), strict=True):
            if shards and name == "training":
                continue
            fabric.print(f"{name} data: {len(report.tracks)} tracks, {report.summary()}")
            for path, reason in report.failed:
                print(f"skipped {path}: {reason}", file=sys.stderr)
    built = fabric.broadcast(built)  # not built again, which would try what was skipped
    skipped = {path for path, _ in built[1].failed}
    valid = [track for track in valid if str(track.path) not in skipped]
    examples = [t.path for t in valid[:3] if t.path is not None]
    labelled = [t for t in valid if t.key is not None]
    return Data(shards or built[0].tracks, built[1].tracks, labelled, examples)


class Converted:
    """A loader's batches in the form that training takes, on the device; keeps its state."""

    def __init__(self, loader: BatchLoader | OwnLoader, fabric: Fabric, config: Config) -> None:
        self.loader = loader
        self.device = fabric.device
        self.vqt = VQT(config.front_end).to(self.device)
        self.state_dict = loader.state_dict
        self.load_state_dict = loader.load_state_dict

    def __iter__(self) -> Iterator[TrainingBatch]:
        return self

    def __next__(self) -> TrainingBatch:
        return training_batch(next(self.loader), self.vqt, self.device)


def train_loader(
    config: Config, options: Options, data: Data | None, fabric: Fabric
) -> BatchLoader | OwnLoader:
    """The user's own loader where the configuration names one, else ours for the data."""
    settings = config.data
    if settings.train_loader is not None:
        return OwnLoader(settings.train_loader, fabric, options.seed)
    assert data is not None
    if not data.train:
        raise DataError("no track is long enough: no recording could be transformed")
    shared: dict[str, Any] = {
        "mode": settings.dataset_type_train,
        "batch_size": settings.batch_size,
        "front_end": config.front_end,
        "seed": options.seed,
        "rank": fabric.global_rank,
        "world": fabric.world_size,
        "augment": settings.augment,
        "window_seconds": settings.window_seconds,
    }
    if isinstance(data.train[0], ShardTrack):
        if settings.sampler is not None:
            raise ConfigError("data.sampler needs transforms, not shards of audio")
        return AudioLoader(data.train, **shared)
    loader = CachedLoader(
        data.train, device=fabric.device, shares=settings.shares, sampler=settings.sampler, **shared
    )
    if loader.skipped_short:
        seconds = config.front_end.segment_seconds
        fabric.print(f"{loader.skipped_short} recordings shorter than {seconds:g} s are left out")
    return loader


def validation_batches(
    config: Config, data: Data | None, fabric: Fabric, seed: int
) -> Iterator[TrainingBatch]:
    """The validation batches of a run, the same at each call."""
    vqt = VQT(config.front_end).to(fabric.device)
    batches: Any
    if config.data.test_loader is not None:
        batches = validation_loader(config.data.test_loader, fabric, seed)
    elif data is not None:
        batches = fixed_batches(
            data.valid,
            config.data.batch_size,
            supervised=config.data.dataset_type_test == "supervised",
            front_end=config.front_end,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
    else:
        raise ConfigError("with a train_loader of your own, bind data.test_loader or give --data")
    for batch in batches:
        yield training_batch(batch, vqt, fabric.device)
