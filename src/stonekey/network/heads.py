"""Major or minor for each of 12 key signatures, from one weight per pitch class.

A 12-signature model finds the seven notes of the scale, but not which of its two keys they make.
That depends on which of the notes sound most, so a logistic function of the chroma decides it:
twelve weights, shared by all signatures, learnt from few labels. (Not in the paper: the published
24-key models learn mode and signature in one network.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stonekey.model.settings import LOG_SLOPE

PITCH_CLASSES = 12


class ModeHead(nn.Module):
    """Log-odds of minor against major for each key signature."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(PITCH_CLASSES))
        self.bias = nn.Parameter(torch.zeros(1))

    @staticmethod
    def chroma(x: Tensor) -> Tensor:
        """Cropped log-VQT (batch, 1, bins, frames) -> chroma (batch, 12) with a mean of 1.

        Amplitudes, each frame divided by its largest, averaged over time and octaves.
        """
        bins = x[:, 0].float()
        loudness = torch.exp(LOG_SLOPE * (bins - bins.amax(dim=1, keepdim=True))).mean(dim=2)
        chroma = loudness.reshape(len(x), -1, PITCH_CLASSES).mean(dim=1)
        return chroma / chroma.mean(dim=1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """Cropped log-VQT (batch, 1, bins, frames) -> (batch, 12): entry j for output j."""
        index = torch.arange(PITCH_CLASSES, device=x.device)
        rotated = self.weight[(index[:, None] - index) % PITCH_CLASSES]  # (chroma, output)
        return self.chroma(x) @ rotated + self.bias

    def split(self, logits: Tensor, x: Tensor) -> Tensor:
        """Logits (batch, 12) of signatures -> (batch, 24) of major, then minor keys.

        Summed over the two modes, the softmax of the result is the softmax of ``logits``.
        """
        minor = self(x)
        parts = (functional.logsigmoid(-minor), functional.logsigmoid(minor))
        return torch.cat([logits + part for part in parts], dim=1)
