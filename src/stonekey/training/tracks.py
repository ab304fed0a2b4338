"""The data of a run: which tracks train and which validate, and the batches made of them."""

from __future__ import annotations

import hashlib
import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from stonekey.data.audio_loader import AudioLoader
from stonekey.data.augment import variant_cents
from stonekey.data.batch import TrainingBatch, training_batch
from stonekey.data.batch_loader import BatchLoader, DataError
from stonekey.data.cache import build_cache, front_end_folder
from stonekey.data.cached import CachedTracks
from stonekey.data.loaders import CachedLoader, fixed_batches
from stonekey.data.manifest import ManifestError, Track, read_manifest
from stonekey.data.shard_index import INDEX, ShardIndex, members, shard_paths
from stonekey.data.shard_loader import ShardLoader
from stonekey.data.shards import ShardTrack, open_audio_shards
from stonekey.files import LockedError, locked
from stonekey.model.settings import FrontEnd
from stonekey.network.vqt import VQT
from stonekey.text import address, counted, is_address
from stonekey.training.config import Config, ConfigError
from stonekey.training.options import DATA_HELP, Options
from stonekey.training.own_loader import OwnLoader, validation_loader

# Set while processes are started by one that has prepared the data.
PREPARED = "STONEKEY_DATA_PREPARED"
LOCK_SECONDS = 0.5


@dataclass(frozen=True)
class Data:
    """Tracks of a run: in the cache, or in shards of transforms or of recordings."""

    train: CachedTracks | ShardIndex | list[ShardTrack]
    valid: CachedTracks


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


def open_shards(place: Path, front_end: FrontEnd) -> ShardIndex | list[ShardTrack] | None:
    """The shards in a folder or at an address; None when the folder holds none."""
    if is_address(place):
        return ShardIndex.load(place, front_end)
    if not place.is_dir() or not any(place.glob("*.tar")):
        return None
    if (place / INDEX).exists() or members(shard_paths(place)[0])[0].extension == "npy":
        return ShardIndex.load(place, front_end)
    return open_audio_shards(place)


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


def prepare_data(options: Options, config: Config) -> Data:
    """Read the manifests or shards and build the cache; call it before processes form a group.

    Of several processes on a cache the first one builds, and the others wait for its lock, which
    no time limit of the group ends. A folder of shards (``stonekey data shard``) is not cached;
    the recordings to validate on then come from ``--valid``.
    """
    assert options.data is not None
    shards = open_shards(options.data, config.front_end)
    if shards is not None and options.valid is None:
        shown = address(options.data)
        raise ConfigError(f"{shown} holds shards: give --valid, a folder or manifest")
    folder = options.cache or options.save_dir / "cache"
    count = config.data.detune_variants
    cents = (0.0, *(c for c in variant_cents(count) if c != 0.0)) if count > 1 else (0.0,)
    sources = (options.data, options.labels, options.valid)
    of = repr([*map(str, map(_absolute, sources)), config.data.holdout_percent, cents])
    name = hashlib.sha256(of.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    target = front_end_folder(folder, config.front_end)
    lists = [target / f"list-{name}-{kind}.npz" for kind in ("train", "valid")]
    with _alone(folder) as waited:
        if (waited or os.environ.get(PREPARED)) and all(path.exists() for path in lists):
            train, valid = map(CachedTracks.load, lists)
        else:
            train, valid = _build(options, config, folder, cents, shards)
            train.save(lists[0])
            valid.save(lists[1])
    return Data(train if shards is None else shards, valid)


def _build(
    options: Options, config: Config, folder: Path, cents: tuple[float, ...], shards: object
) -> tuple[CachedTracks, CachedTracks]:
    """Transform what is not in the cache yet; the tracks to train on there, and to validate on."""
    train, valid = (
        ([], _valid(options))
        if shards is not None
        else split_tracks(options, config.data.holdout_percent)
    )
    if not train and shards is None:
        raise DataError(f"{options.data}: no audio file found\n\n{DATA_HELP}")
    made = []
    for tracks, name, variants in ((train, "training", cents), (valid, "validation", (0.0,))):
        report = build_cache(tracks, folder, config.front_end, cents=variants)
        if tracks:
            print(f"{name} data: {counted(len(report.tracks), 'track')}, {report.summary()}")
        for path, reason in report.failed:
            print(f"skipped {path}: {reason}", file=sys.stderr)
        made.append(report.tracks)
    return made[0], made[1]


def _absolute(path: Path | None) -> str:
    return "" if path is None else address(path) if is_address(path) else os.path.abspath(path)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Hold the lock of a cache; tells whether another process had it first."""
    waited = False
    while True:
        try:
            with locked(folder / ".build.lock"):
                yield waited
            return
        except LockedError:
            waited = True
            time.sleep(LOCK_SECONDS)


def to_score(options: Options, config: Config, data: Data) -> tuple[list[Track], list[Path]]:
    """Labelled recordings to score models on, and a few to listen to: those to validate on."""
    known = {track.path for track in data.valid}
    if options.valid is not None:
        valid = _valid(options)
    else:
        valid = split_tracks(options, config.data.holdout_percent)[1]
    valid = [track for track in valid if str(track.path) in known]
    examples = [t.path for t in valid[:3] if t.path is not None]
    return [t for t in valid if t.key is not None], examples


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
    tracks = data.train
    if not len(tracks):
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
    if settings.sampler is not None and isinstance(tracks, (list, ShardIndex)):
        raise ConfigError("data.sampler needs a cache, not shards")
    if isinstance(tracks, list):
        fabric.print(f"training data: {counted(len(tracks), 'recording')} in shards")
        return AudioLoader(tracks, **shared)
    loader: CachedLoader | ShardLoader
    if isinstance(tracks, ShardIndex):
        if settings.shares or "detune" in settings.augment:
            raise ConfigError("data.shares and detune need a cache, not shards")
        made = f"{counted(len(tracks), 'transform')} in {counted(len(tracks.shards), 'shard')}"
        fabric.print(f"training data: {made}")
        loader = ShardLoader(tracks, device=fabric.device, **shared)
    else:
        loader = CachedLoader(
            tracks, device=fabric.device, shares=settings.shares, sampler=settings.sampler, **shared
        )
    if loader.skipped_short:
        seconds = config.front_end.segment_seconds
        fabric.print(f"{loader.skipped_short} recordings shorter than {seconds:g} s are left out")
    if fabric.broadcast(loader.identity) != loader.identity:
        raise DataError("this process has other training data than the first one")
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
