"""Stone: waveform to class probabilities, as one torch module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stonekey.keys import ClassLabel
from stonekey.model.checkpoint import Checkpoint
from stonekey.model.info import ModelInfo
from stonekey.model.settings import Architecture, FrontEnd
from stonekey.network.chromanet import ChromaNet, probabilities
from stonekey.network.vqt import VQT, log_vqt


class Stone(nn.Module):
    """Front end, ChromaNet and class table.

    Args:
        front_end: settings of the VQT.
        architecture: shape of the network.
        class_table: label of each output; None for a model that is not calibrated yet.
        network: class of the network, if not `ChromaNet`: made with ``architecture`` and ``bins``
            (and ``bins_per_octave`` where that is not 12, ``inputs`` where there are several
            harmonics), it gives logits (batch, outputs) for cropped log-VQTs (batch, inputs, bins,
            frames).
    """

    def __init__(
        self,
        front_end: FrontEnd | None = None,
        architecture: Architecture | None = None,
        class_table: Sequence[ClassLabel] | None = None,
        network: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.front_end = front_end or FrontEnd()
        self.vqt = VQT(self.front_end)
        self.architecture = architecture or Architecture()
        made = network or ChromaNet
        bins: dict[str, int] = {"bins": self.front_end.crop_bins}
        if self.front_end.bins_per_semitone > 1:
            bins["bins_per_octave"] = self.front_end.bins_per_octave
        if len(self.front_end.harmonics) > 1:
            bins["inputs"] = len(self.front_end.harmonics)
        self.chromanet = made(architecture=self.architecture, **bins)
        if class_table is not None and len(class_table) != self.architecture.outputs:
            raise ValueError(
                f"a class table of {len(class_table)} entries for "
                f"{self.architecture.outputs} outputs"
            )
        self.class_table = None if class_table is None else tuple(class_table)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, network: Callable[..., nn.Module] | None = None
    ) -> Stone:
        """The module with a checkpoint's weights, in evaluation mode.

        Args:
            checkpoint: from `stonekey.model.checkpoint.load_checkpoint`.
            network: class of the network, if not `ChromaNet`.
        """
        info = checkpoint.info
        stone = cls(info.front_end, info.architecture, info.class_table, network)
        weights = {k: torch.from_numpy(np.array(v)) for k, v in checkpoint.tensors.items()}
        stone.chromanet.load_state_dict(weights)
        return stone.eval()

    def to_checkpoint(self, name: str, **info: Any) -> Checkpoint:
        """The current weights as a checkpoint; ``info`` holds further fields of `ModelInfo`."""
        state = self.chromanet.state_dict()
        tensors = {key: value.detach().cpu().numpy() for key, value in state.items()}
        return Checkpoint(
            ModelInfo(name, self.front_end, self.architecture, self.class_table, **info), tensors
        )

    def log_vqt(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples) -> log-VQT (batch, 1, n_bins, frames), not cropped."""
        return log_vqt(self.vqt(waveform), self.front_end.average)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, samples), peak 1 per track -> probabilities (batch, outputs)."""
        logits = self.chromanet(lowest_crop(self.log_vqt(waveform), self.front_end))
        return probabilities(logits, self.architecture.temperature)


def lowest_crop(x: Tensor, front_end: FrontEnd) -> Tensor:
    """What the network sees at inference of a log-VQT (batch, 1, n_bins, frames).

    Returns:
        (batch, harmonics, crop_bins, frames).
    """
    size = front_end.crop_bins
    return torch.cat([x[:, :, first : first + size] for first in front_end.harmonic_bins], dim=1)
