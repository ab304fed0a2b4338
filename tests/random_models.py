"""Networks with random weights whose answers depend on what they hear."""

from __future__ import annotations

from typing import Any

import torch

from stonekey.keys import ClassLabel, Key, KeySignature
from stonekey.model.checkpoint import Checkpoint
from stonekey.model.settings import Architecture
from stonekey.network.stone import Stone

KEYS = tuple(Key.from_index(i) for i in range(24))
SIGNATURES = tuple(KeySignature(i) for i in range(12))


def random_stone(norm: str = "joint", seed: int = 0, gamma: float = 1.0, **settings: Any) -> Stone:
    """Untrained, in evaluation mode; ``gamma`` well above its initial 0.1 uses every block."""
    outputs = 12 if norm == "frame" else 24
    labels: tuple[ClassLabel, ...] = SIGNATURES if outputs == 12 else KEYS
    architecture = Architecture(**{"outputs": outputs, "norm": norm, **settings})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stone = Stone(architecture=architecture, class_table=labels[: architecture.outputs])
        with torch.no_grad():
            for name, parameter in stone.chromanet.named_parameters():
                if name.endswith("gamma"):
                    parameter.fill_(gamma)
                elif ".norm." in name:  # as far from 1 and 0 as training takes them
                    parameter.add_(0.3 * torch.randn_like(parameter))
            stone.chromanet.classifier.weight.mul_(10)
            for name, buffer in stone.chromanet.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_()
                elif name.endswith("running_var"):
                    buffer.uniform_(0.5, 2.0)
    return stone.eval()


def random_checkpoint(norm: str = "joint", seed: int = 0, **info: Any) -> Checkpoint:
    return random_stone(norm, seed).to_checkpoint("random", **info)
