"""The VQT front end as a torch module, and its log scaling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stonekey.model.kernels import BLOCK, FILTER_TAPS, decimation_matrix, octave_kernels
from stonekey.model.settings import FrontEnd

LOG_FLOOR = 1e-10
DYNAMIC_RANGE_DB = 80.0


class VQT(nn.Module):
    """Magnitudes of a constant-Q transform, computed octave by octave.

    With the default settings it equals ``nnAudio.features.vqt.VQT`` with gamma 0, a Hann window
    and librosa's normalisation, at a fraction of the cost: low-pass filtering and decimation
    are matrix products over blocks instead of strided single-channel convolutions. (If the top
    bin is low, nnAudio also decimates before the first octave; this does not.)

    Args:
        front_end: sample rate, hop, lowest frequency and bins.
    """

    decimate: Tensor
    kernels: Tensor
    scale: Tensor

    def __init__(self, front_end: FrontEnd | None = None) -> None:
        super().__init__()
        self.front_end = front_end or FrontEnd()
        octaves = octave_kernels(self.front_end)
        self.hops = octaves.hops
        self.taps = octaves.taps
        # Constants, not state: kept out of checkpoints.
        self.register_buffer("decimate", torch.from_numpy(decimation_matrix()), persistent=False)
        self.register_buffer("kernels", torch.from_numpy(octaves.kernels), persistent=False)
        self.register_buffer("scale", torch.from_numpy(octaves.scale), persistent=False)

    @property
    def min_samples(self) -> int:
        """Fewest samples that the lowest octave's reflect padding allows."""
        return (self.taps // 2 + 1) * int(2 ** (len(self.hops) - 1))

    def forward(self, waveform: Tensor) -> Tensor:
        """The magnitudes of a waveform.

        Args:
            waveform: (batch, samples) at the front end's sample rate.

        Returns:
            Magnitudes (batch, n_bins, samples // hop + 1), lowest frequency first.

        Raises:
            ValueError: the waveform is not 2-d, or is shorter than `min_samples`.
        """
        if waveform.ndim != 2:
            raise ValueError(f"expected (batch, samples), got {tuple(waveform.shape)}")
        if waveform.shape[1] < self.min_samples:
            raise ValueError(f"needs at least {self.min_samples} samples, got {waveform.shape[1]}")
        bins = self.front_end.bins_per_octave
        parts = []
        for octave, hop in enumerate(self.hops):
            if octave:
                waveform = self._decimate(waveform)
            padded = functional.pad(waveform[:, None], (self.taps // 2,) * 2, mode="reflect")
            frames = padded[:, 0].unfold(1, self.taps, hop)
            spectrum = frames @ self.kernels
            real, imaginary = spectrum[..., :bins], spectrum[..., bins:]
            parts.append(torch.sqrt(real.square() + imaginary.square()))
        magnitude = torch.cat(parts[::-1], dim=-1)[..., -self.front_end.n_bins :]
        return (magnitude * self.scale).transpose(1, 2)

    def _decimate(self, waveform: Tensor) -> Tensor:
        """Low-pass and keep every second sample: (batch, n) -> (batch, n // 2)."""
        width = self.decimate.shape[0]
        outputs = waveform.shape[1] // 2
        blocks = -(-outputs // BLOCK)
        left = (FILTER_TAPS - 1) // 2
        right = (blocks - 1) * 2 * BLOCK + width - left - waveform.shape[1]
        # A negative right pad drops samples that no output needs.
        rows = functional.pad(waveform, (left, right)).unfold(1, width, 2 * BLOCK)
        return (rows @ self.decimate).flatten(1)[:, :outputs]


def log_vqt(magnitude: Tensor, average: int = 1) -> Tensor:
    """Log scaling: (batch, bins, frames) -> (batch, 1, bins, frames // average).

    A magnitude of 1 becomes 1, and 80 dB less becomes 0; each item is clipped 80 dB below its
    own maximum. The decibels are ``10 log10`` of a magnitude, a formula meant for
    powers, because every published model was trained with it.
    """
    db = 10.0 * torch.log10(torch.clamp(magnitude, min=LOG_FLOOR))
    floor = db.amax(dim=(1, 2), keepdim=True) - DYNAMIC_RANGE_DB
    return frame_means((torch.maximum(db, floor) / DYNAMIC_RANGE_DB + 1.0)[:, None], average)


def frame_means(x: Tensor, average: int) -> Tensor:
    """Means of every ``average`` frames, the last axis; a remainder is left out."""
    if average == 1:
        return x
    frames = x.shape[-1] // average
    return x[..., : frames * average].reshape(*x.shape[:-1], frames, average).mean(dim=-1)
