"""Start a training from the weights of another model."""

from __future__ import annotations

import torch
from torch import nn

from stonekey.model.checkpoint import Checkpoint
from stonekey.network.stone import Stone
from stonekey.training.config import ConfigError

CLASSIFIER = "classifier."


def initialise(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into a network.

    A 12-signature model can initialise a 24-key one: both rows of outputs start as copies of its
    one row, with a fresh batch norm, and learn to differ.

    Raises:
        ConfigError: when channels, kernels, norm or bins differ.
    """
    state = network.state_dict()
    theirs = Stone.from_checkpoint(checkpoint).chromanet.state_dict()
    for name, value in theirs.items():
        if name.startswith(CLASSIFIER) and name in state and len(state[name]) == 2 * len(value):
            value = torch.cat([value, value])
        if name.startswith("batch_norm.") and name not in state:
            continue
        if name not in state or state[name].shape != value.shape:
            raise ConfigError(f"--init: {checkpoint.info.name} is another network ({name})")
        state[name] = value
    new = "batch_norm."
    missing = [name for name in state if name not in theirs and not name.startswith(new)]
    if missing:
        raise ConfigError(f"--init: {checkpoint.info.name} is another network ({missing[0]})")
    network.load_state_dict(state)
