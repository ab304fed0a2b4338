"""ChromaNet: the octave-equivariant network between the log-VQT and the key profile."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stonekey.settings import Architecture, Norm

PITCH_CLASSES = 12
EPS = 1e-5


class FrameNorm(nn.Module):
    """Layer norm of each frame over (bins, channels), with weights of shape (bins, channels)."""

    def __init__(self, bins: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(bins, channels))
        self.bias = nn.Parameter(torch.zeros(bins, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> same."""
        variance, mean = torch.var_mean(x.float(), dim=(1, 2), keepdim=True, correction=0)
        normed = ((x - mean) * torch.rsqrt(variance + EPS)).to(x.dtype)
        return normed * self.weight.t()[..., None] + self.bias.t()[..., None]


class JointNorm(nn.Module):
    """Layer norm over channels, bins and frames at once, without weights."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> same."""
        return functional.layer_norm(x, x.shape[1:], eps=EPS)


def _norm(kind: Norm, bins: int, channels: int) -> nn.Module:
    return FrameNorm(bins, channels) if kind == "frame" else JointNorm()


class TimeDownsampling(nn.Module):
    """Norm, convolution over pairs of frames, GELU: (b, c_in, bins, t) -> (b, c_out, bins, t/2)."""

    def __init__(self, norm: Norm, bins: int, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm = _norm(norm, bins, c_in)
        self.conv = nn.Conv2d(c_in, c_out, kernel_size=(1, 2), stride=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Halve the number of frames; an odd last frame is left out."""
        return functional.gelu(self.conv(self.norm(x)))


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, pointwise expansion by 4 and back, layer scale, residual."""

    def __init__(self, norm: Norm, bins: int, channels: int, kernel: int, drop_path: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, kernel, groups=channels)
        self.norm = _norm(norm, bins, channels)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 0.1))
        self.pad = (kernel // 2,) * 4
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> same."""
        y = self.norm(self.dwconv(functional.pad(x, self.pad, mode="replicate")))
        # 1 x 1 convolutions on channels-first data: no transposition is needed.
        y = functional.conv2d(y, self.pwconv1.weight[..., None, None], self.pwconv1.bias)
        y = functional.gelu(y)
        y = functional.conv2d(y, self.pwconv2.weight[..., None, None], self.pwconv2.bias)
        y = y * self.gamma[:, None, None]
        if self.training and self.drop_path > 0:
            keep = 1.0 - self.drop_path
            y = y * (x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(keep) / keep)
        return x + y


class ChromaNet(nn.Module):
    """ChromaNet (paper, section 2.2), for 12 key signatures or 24 keys.

    Args:
        architecture: outputs, norm, channels and kernels of the stages.
        bins: bins of the cropped input, whole octaves of 12 (84).
    """

    def __init__(self, architecture: Architecture | None = None, bins: int = 84) -> None:
        super().__init__()
        arch = architecture or Architecture()
        if bins % PITCH_CLASSES:
            raise ValueError(f"bins must be whole octaves of 12, got {bins}")
        self.architecture = arch
        self.bins = bins
        ins = (1, *arch.channels[:-1])
        self.time_downsampling_blocks = nn.ModuleList(
            TimeDownsampling(arch.norm, bins, i, o)
            for i, o in zip(ins, arch.channels, strict=True)
        )
        self.convnext_blocks = nn.ModuleList(
            ConvNeXtBlock(arch.norm, bins, c, k, arch.drop_path)
            for c, k in zip(arch.channels, arch.kernels, strict=True)
        )
        self.classifier = nn.Conv2d(arch.channels[-1], arch.rows, kernel_size=1)
        self.batch_norm = (
            nn.BatchNorm2d(arch.rows, eps=EPS, affine=False) if arch.rows == 2 else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score the classes.

        Args:
            x: cropped log-VQT (batch, 1, bins, frames), at least 128 frames. Bin 0 has pitch
                class index 0 of the output, whichever note that is.

        Returns:
            Logits (batch, 12) or (batch, 24), row-major: index 12 * row + pitch class index.

        Raises:
            ValueError: when the shape is not as above.
        """
        return self.classify(self.pool(self.features(x)))

    def features(self, x: Tensor) -> Tensor:
        """Seven stages: (batch, 1, bins, frames) -> (batch, channels, bins, frames / 128)."""
        if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] != self.bins:
            raise ValueError(f"expected (batch, 1, {self.bins}, frames), got {tuple(x.shape)}")
        if x.shape[3] < self.architecture.min_frames:
            raise ValueError(
                f"needs at least {self.architecture.min_frames} frames, got {x.shape[3]}"
            )
        for down, block in zip(self.time_downsampling_blocks, self.convnext_blocks, strict=True):
            x = block(down(x))
        return x

    def pool(self, x: Tensor) -> Tensor:
        """Octave pooling, then the mean over time: -> (batch, channels, 12, 1)."""
        octaves = x.reshape(x.shape[0], x.shape[1], -1, PITCH_CLASSES, x.shape[3])
        return octaves.mean(dim=2).mean(dim=-1, keepdim=True)

    def classify(self, pooled: Tensor) -> Tensor:
        """Pooled features (batch, channels, 12, 1) -> logits (batch, outputs)."""
        logits: Tensor = self.batch_norm(self.classifier(pooled))
        return logits.flatten(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over all outputs at the architecture's temperature, in float32."""
        return torch.softmax(logits.float() / self.architecture.temperature, dim=1)
