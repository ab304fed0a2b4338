"""Time a 24-class training step of batch 16 against that of a plain implementation.

The step: 48 crops of 84 x 646, forward, losses, backward, AdamW. The plain one follows the
architecture line by line: eager, float32, one forward pass per view. The two take turns in one
run. Also times the loader, for which the step must not wait.

    python benchmarks/train_step.py --threads 2 --rounds 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# On a shared machine, threads that spin while waiting slow each other down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional

from stonekey.data.batch import TrainingBatch
from stonekey.data.cache import build_cache
from stonekey.data.loaders import CachedLoader
from stonekey.keys import Key
from stonekey.model.settings import Architecture, FrontEnd
from stonekey.network.chromanet import ChromaNet
from stonekey.synthesis import cadence
from stonekey.training.config import LossConfig
from stonekey.training.losses import stone_losses
from stonekey.training.objective import Objective, Probabilities
from stonekey.training.schedule import clip_each, parameter_groups
from stonekey.training.views import Crops, random_crops

BATCH = 16
CHANNELS = (2, 3, 40, 40, 30, 10, 3)
KERNELS = (7, 7, 7, 7, 7, 5, 5)
# Lowest ratios accepted: plain step / our step, and our step / the loader's batch.
STEP_RATIO, LOADER_RATIO = 2.0, 5.0


class PlainStage(nn.Module):
    """Time downsampling and ConvNeXt block, channels first but for the pointwise layers."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(c_in, c_out, (1, 2), stride=(1, 2))
        self.pad = nn.ReplicationPad2d(kernel // 2)
        self.depthwise = nn.Conv2d(c_out, c_out, kernel, groups=c_out)
        self.expand = nn.Linear(c_out, 4 * c_out)
        self.reduce = nn.Linear(4 * c_out, c_out)
        self.gamma = nn.Parameter(torch.full((c_out,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, c_in, 84, frames) -> (batch, c_out, 84, frames / 2)."""
        x = functional.gelu(self.down(functional.layer_norm(x, x.shape[1:])))
        y = self.depthwise(self.pad(x))
        y = functional.layer_norm(y, y.shape[1:])
        y = y.permute(0, 2, 3, 1)
        y = self.gamma * self.reduce(functional.gelu(self.expand(y)))
        y = y.permute(0, 3, 1, 2)
        keep = torch.rand(len(x), 1, 1, 1) < 0.9
        return x + y * keep / 0.9


class PlainChromaNet(nn.Module):
    """(batch, 1, 84, frames) -> probabilities (batch, 24)."""

    def __init__(self) -> None:
        super().__init__()
        ins = (1, *CHANNELS[:-1])
        self.stages = nn.Sequential(*map(PlainStage, ins, CHANNELS, KERNELS))
        self.classifier = nn.Conv2d(3, 2, 1)
        self.batch_norm = nn.BatchNorm2d(2, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Seven stages, octave pooling, classifier, softmax."""
        x = self.stages(x)
        x = x.reshape(len(x), 3, 7, 12, -1).mean(dim=2).mean(dim=-1, keepdim=True)
        return torch.softmax(self.batch_norm(self.classifier(x)).flatten(1), dim=1)


def plain_step() -> Callable[[TrainingBatch, Crops], None]:
    network = PlainChromaNet()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def cut(x: Tensor, first: Tensor) -> Tensor:
        return torch.stack([item[:, c : c + 84] for item, c in zip(x, first.tolist(), strict=True)])

    def step(batch: TrainingBatch, crops: Crops) -> None:
        assert batch.b is not None
        optimizer.zero_grad()
        y_a = network(cut(batch.a, crops.first))
        y_b = network(cut(batch.b, crops.first))
        y_c = network(cut(batch.a, crops.second))
        stone_losses(y_a, y_b, y_c, crops.second - crops.first)["total"].backward()
        for parameter in network.parameters():
            nn.utils.clip_grad_norm_([parameter], 3.0)
        optimizer.step()

    return step


def our_step() -> Callable[[TrainingBatch, Crops], None]:
    network = Probabilities(ChromaNet(Architecture(outputs=24, norm="joint")))
    optimizer = torch.optim.AdamW(parameter_groups(network), 1e-3)
    objective = Objective(LossConfig("stone", 1.0, 1.5, 15.0), 7, FrontEnd(), 24)

    def step(batch: TrainingBatch, crops: Crops) -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(network, batch, crops)["total"].backward()
        clip_each(network.parameters(), 3.0)
        optimizer.step()

    return step


def time_steps(rounds: int) -> dict[str, list[float]]:
    """Seconds of each kind of step; they take turns so that a busy machine slows both."""
    steps = {"plain": plain_step(), "ours": our_step()}
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(BATCH, 1, 99, 646, generator=generator) for _ in range(2))
    batch = TrainingBatch(a, b)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            crops = random_crops(BATCH, generator)
            start = time.perf_counter()
            step(batch, crops)
            if number:  # the first call allocates memory
                times[name].append(time.perf_counter() - start)
        if number:
            shown = ", ".join(f"{name} {1e3 * t[-1]:.0f} ms" for name, t in times.items())
            print(f"round {number}: {shown}", flush=True)
    return times


def time_loader(batches: int) -> float:
    """Median seconds that the loader takes to make a batch of 2 x 16 segments from the cache."""
    with tempfile.TemporaryDirectory() as name:
        paths = []
        for number in range(8):
            music = cadence(Key.from_index(number), seconds=40.0, seed=number)
            paths.append(Path(name, f"{number}.wav"))
            soundfile.write(paths[-1], music.astype(np.float32), 22050)
        tracks = build_cache(paths, Path(name, "cache"), workers=1, progress=False).tracks
        loader = CachedLoader(tracks, batch_size=BATCH)
        times = []
        for number in range(batches + 1):
            start = time.perf_counter()
            loader.make(number)
            times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="torch threads (2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 below the accepted ratios"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {arguments.threads} threads")
    times = time_steps(arguments.rounds)
    for name, values in times.items():
        print(f"{name}: {1e3 * statistics.median(values):.0f} ms a step")
    ratios = [plain / ours for plain, ours in zip(times["plain"], times["ours"], strict=True)]
    ratio = statistics.median(ratios)
    print(f"ratio plain / ours: {ratio:.2f} (median of the rounds; wanted {STEP_RATIO:g})")
    loader = time_loader(20)
    slack = min(times["ours"]) / loader
    print(f"loader: {1e3 * loader:.1f} ms a batch, on one thread")
    print(f"ratio step / loader: {slack:.0f} (wanted {LOADER_RATIO:g})")
    return int(arguments.check and (ratio < STEP_RATIO or slack < LOADER_RATIO))


if __name__ == "__main__":
    sys.exit(main())
