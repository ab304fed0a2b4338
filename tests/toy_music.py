"""Runs small enough for tests: a tiny network, segments of 4 s, random log-VQTs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tools import ROOT
from data_music import SHORT, write_tracks
from lightning_fabric import Fabric

from stonekey.data.batch import TrainingBatch, key_targets
from stonekey.data.cache import build_cache
from stonekey.training.config import Config, load_config
from stonekey.training.loop import Trainer
from stonekey.training.state import Plan

TINY = (
    "ChromaNet.out_channels = [2, 3, 4, 4, 4, 3, 3]",
    "ChromaNet.kernels = [3, 3, 3, 3, 3, 3, 3]",
    "data.duration = 4",
    "data.batch_size = 2",
)
# What the command line needs to train such a network on what `write_music` writes.
SMALL = tuple(word for line in TINY for word in ("-b", line))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """In the modules that import it. Threads only wait for each other in networks so small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_config(train_type: str = "ks", *bindings: str) -> Config:
    return load_config(None, train_type, (*TINY, *bindings))  # type: ignore[arg-type]


def write_music(folder: Path) -> Path:
    """Six recordings of 6 to 9 s, their cache, and a manifest; two labelled, two to validate."""
    music = folder / "music"
    music.mkdir(parents=True)
    tracks = write_tracks(music, [9, 8.5, 9, 8.5, 6, 8.5], labelled=2)
    build_cache(tracks, folder / "cache", SHORT, workers=1, progress=False)
    lines = ["path,key,split"]
    for number, track in enumerate(tracks):
        lines.append(f"music/{track.id},{track.key or ''},{'valid' if number > 3 else 'train'}")
    manifest = folder / "tracks.csv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def random_batch(size: int = 2, supervised: bool = False, seed: int = 0) -> TrainingBatch:
    generator = torch.Generator().manual_seed(seed)
    shape = (size, 1, 99, 130)
    a = torch.rand(shape, generator=generator)
    if supervised:
        labels = torch.randint(24, (size,), generator=generator)
        return TrainingBatch(a, labels=key_targets(labels))
    return TrainingBatch(a, torch.rand(shape, generator=generator))


class Batches:
    """Endless and resumable: batch i is a function of i; those in ``broken`` hold a NaN."""

    def __init__(self, broken: Any = (), size: int = 2) -> None:
        self.step, self.size, self.broken = 0, size, broken

    def __iter__(self) -> Iterator[TrainingBatch]:
        return self

    def __next__(self) -> TrainingBatch:
        batch = random_batch(self.size, seed=self.step)
        if self.step in self.broken:
            batch.a[0, 0, :, 3] = float("nan")
        self.step += 1
        return batch

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


def tiny_trainer(
    folder: Path, config: Config | None = None, batches: Any = None, **plan: Any
) -> Trainer:
    settings: dict[str, Any] = {
        "name": "test", "omega": 7, "epochs": 2, "train_steps": 3, "val_steps": 2,
        "learning_rate": 1e-3, "seed": 0, "folder": folder,
    }  # fmt: skip
    return Trainer(
        Fabric(accelerator="cpu", devices=1),
        config or tiny_config(),
        Plan(**(settings | plan)),
        Batches() if batches is None else batches,
        lambda: iter([random_batch(3, seed=77), random_batch(2, seed=78)]),
    )


def main_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "main", *map(str, arguments)]


def start_main(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """``python -m main`` from the root of the repository, on one thread."""
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    return subprocess.Popen(
        main_command(*arguments),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for(stream: Any, text: str) -> str:
    """Read lines up to one that holds the text, and return it."""
    seen = []
    for line in stream:
        seen.append(line)
        if text in line:
            return str(line)
    raise AssertionError(f"ended before {text!r}:\n{''.join(seen)}")
