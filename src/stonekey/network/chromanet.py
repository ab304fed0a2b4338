"""ChromaNet: the octave-equivariant network from the log-VQT to the logits of keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stonekey.model.settings import Architecture, Norm
from stonekey.network.depthwise import depthwise
from stonekey.network.mlp import pointwise_mlp

PITCH_CLASSES = 12
EPS = 1e-5
# Training on a CPU passes segments of at least LONG_FRAMES through the stages PART at a time: the
# activations of a whole batch are so large that the system would map their pages anew every step.
PART = 16
LONG_FRAMES = 400


# Modules exchange tensors as (batch, channels, bins, frames), stored in memory as
# (batch, frames, bins, channels), called "inner" here. Pointwise products and both norms then
# read memory in order, and switching between the two only permutes axes.


def _inner(x: Tensor) -> Tensor:
    return x.permute(0, 3, 2, 1)


class FrameNorm(nn.Module):
    """Layer norm of each frame over (bins, channels), with weights of shape (bins, channels)."""

    def __init__(self, bins: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(bins, channels))
        self.bias = nn.Parameter(torch.zeros(bins, channels))

    def forward(self, inner: Tensor) -> Tensor:
        """(batch, frames, bins, channels) -> same."""
        return functional.layer_norm(inner, self.weight.shape, self.weight, self.bias, EPS)


class JointNorm(nn.Module):
    """Layer norm over channels, bins and frames at once, without weights."""

    def forward(self, inner: Tensor) -> Tensor:
        """(batch, frames, bins, channels) -> same."""
        return functional.layer_norm(inner, inner.shape[1:], eps=EPS)


def _norm(kind: Norm, bins: int, channels: int) -> nn.Module:
    return FrameNorm(bins, channels) if kind == "frame" else JointNorm()


class TimeDownsampling(nn.Module):
    """Norm, convolution over pairs of frames, GELU: (b, c_in, bins, t) -> (b, c_out, bins, t/2)."""

    def __init__(self, norm: Norm, bins: int, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm = _norm(norm, bins, c_in)
        self.conv = nn.Conv2d(c_in, c_out, kernel_size=(1, 2), stride=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Halve the number of frames, dropping an odd last frame."""
        inner = self.norm(_inner(x))
        if inner.shape[1] % 2:
            inner = inner[:, :-1]
        # With the frames of a pair side by side, the convolution is a matrix product.
        pairs = inner.unflatten(1, (-1, 2)).transpose(2, 3).flatten(3)
        weight = self.conv.weight[:, :, 0].transpose(1, 2).flatten(1)
        return _inner(functional.gelu(functional.linear(pairs, weight, self.conv.bias)))


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
        inner = _inner(x)
        if not (self.training and self.drop_path > 0):
            return _inner(inner + self._branch(inner, self.gamma))
        keep = 1.0 - self.drop_path
        kept = x.new_empty(x.shape[0]).bernoulli_(keep)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            # Compute only the branches that drop path keeps.
            index = kept.nonzero().flatten()
            branch = self._branch(inner.index_select(0, index), self.gamma / keep)
            return _inner(inner.index_add(0, index, branch.to(inner.dtype)))
        return _inner(inner + self._branch(inner, self.gamma / keep) * kept[:, None, None, None])

    def _branch(self, inner: Tensor, gamma: Tensor) -> Tensor:
        """(batch, frames, bins, channels) -> same."""
        padded = _replicated(inner.permute(0, 3, 1, 2), self.pad)
        y = depthwise(padded, self.dwconv.weight.transpose(2, 3), self.dwconv.bias)
        y = self.norm(y.permute(0, 2, 3, 1))
        return pointwise_mlp(y, self.pwconv1, self.pwconv2, gamma)


def _replicated(x: Tensor, pad: tuple[int, ...]) -> Tensor:
    """Replicate padding of the last two axes, equal on all sides."""
    if not torch.compiler.is_compiling():
        return functional.pad(x, pad, mode="replicate")
    # torch.compile gets the strides of replicate padding's gradient wrong.
    for axis in (2, 3):
        size = [-1 if i != axis else pad[0] for i in range(4)]
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
        x = torch.cat([first.expand(size), x, last.expand(size)], dim=axis)
    return x


class RowBatchNorm(nn.Module):
    """Batch norm of (batch, rows, 12, 1) without weights, over the batches of all processes.

    Has the state and evaluation of ``nn.BatchNorm2d(rows, affine=False)``. In a process group
    it normalises by the statistics of all processes' batches, on any device
    (``nn.SyncBatchNorm`` needs a GPU).
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, rows: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(rows))
        self.register_buffer("running_var", torch.ones(rows))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each row; in training, also update the running statistics."""
        if not self.training:
            mean, variance = self.running_mean, self.running_var
        else:
            wide = x.float()
            mean = mean_across_ranks(wide.mean(dim=(0, 2, 3)))
            variance = mean_across_ranks((wide - mean[:, None, None]).square().mean(dim=(0, 2, 3)))
            with torch.no_grad():
                count = x.numel() // x.shape[1] * _world_size()
                unbiased = variance * (count / max(1, count - 1))
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
                self.num_batches_tracked.add_(1)
        gain = torch.rsqrt(variance + EPS)
        return (x - mean[:, None, None]) * gain[:, None, None]


def _world_size() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mean_across_ranks(x: Tensor) -> Tensor:
    """Differentiable mean over processes, whose batches must have equal size."""
    if _world_size() == 1:
        return x
    total: Tensor = _SumAcrossRanks.apply(x)  # type: ignore[no-untyped-call]
    return total / _world_size()


class _SumAcrossRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total


class ChromaNet(nn.Module):
    """ChromaNet (paper, section 2.2), for 12 key signatures or 24 keys.

    Args:
        architecture: outputs, norm, and channels and kernels of the stages.
        bins: bins of the cropped input, whole octaves (84).
        bins_per_octave: 12, or a multiple of it: a semitone's bins share a pitch class.
        inputs: channels of the input, one for each harmonic.
    """

    def __init__(
        self,
        architecture: Architecture | None = None,
        bins: int = 84,
        bins_per_octave: int = PITCH_CLASSES,
        inputs: int = 1,
    ) -> None:
        super().__init__()
        arch = architecture or Architecture()
        if bins_per_octave % PITCH_CLASSES or bins % bins_per_octave:
            raise ValueError(f"bins must be whole octaves of {bins_per_octave}, got {bins}")
        self.bins_per_octave = bins_per_octave
        self.architecture = arch
        self.bins = bins
        self.inputs = inputs
        ins = (inputs, *arch.channels[:-1])
        self.time_downsampling_blocks = nn.ModuleList(
            TimeDownsampling(arch.norm, bins, i, o) for i, o in zip(ins, arch.channels, strict=True)
        )
        self.convnext_blocks = nn.ModuleList(
            ConvNeXtBlock(arch.norm, bins, c, k, arch.drop_path)
            for c, k in zip(arch.channels, arch.kernels, strict=True)
        )
        self.classifier = nn.Conv2d(arch.channels[-1], arch.rows, kernel_size=1)
        self.batch_norm = RowBatchNorm(arch.rows) if arch.rows == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes.

        Args:
            x: cropped log-VQT (batch, 1, bins, frames), at least `Architecture.min_frames`. Bin
                0 has pitch class index 0 of the output, whichever note that is.

        Returns:
            Logits (batch, 12) or (batch, 24), row-major: index 12 * row + pitch class index.

        Raises:
            ValueError: the shape of ``x`` is not as above.
        """
        parts = [x]
        by_parts = self.training and x.device.type == "cpu" and not torch.compiler.is_compiling()
        if by_parts and x.shape[3] >= LONG_FRAMES:
            parts = list(x.split(PART))
        return self.classify(torch.cat([self.pool(self.features(part)) for part in parts]))

    def features(self, x: Tensor) -> Tensor:
        """All stages: (batch, 1, bins, frames) -> (batch, channels, bins, frames / 2 ** stages)."""
        if x.ndim != 4 or x.shape[1] != self.inputs or x.shape[2] != self.bins:
            wanted = f"(batch, {self.inputs}, {self.bins}, frames)"
            raise ValueError(f"expected {wanted}, got {tuple(x.shape)}")
        if x.shape[3] < self.architecture.min_frames:
            raise ValueError(
                f"needs at least {self.architecture.min_frames} frames, got {x.shape[3]}"
            )
        for down, block in zip(self.time_downsampling_blocks, self.convnext_blocks, strict=True):
            x = block(down(x))
        return x

    def pool(self, x: Tensor) -> Tensor:
        """Mean over octaves, then over time: -> (batch, channels, 12, 1)."""
        octaves = x.reshape(x.shape[0], x.shape[1], -1, self.bins_per_octave, x.shape[3])
        means = octaves.mean(dim=2).mean(dim=-1, keepdim=True)
        if self.bins_per_octave > PITCH_CLASSES:
            means = means.unflatten(2, (PITCH_CLASSES, -1)).mean(dim=3)
        return means

    def classify(self, pooled: Tensor) -> Tensor:
        """Pooled features (batch, channels, 12, 1) -> logits (batch, 12 * rows)."""
        logits: Tensor = self.batch_norm(self.classifier(pooled))
        return logits.flatten(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over all outputs at the architecture's temperature, in float32."""
        return probabilities(logits, self.architecture.temperature)


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Softmax of logits (batch, outputs) over all outputs, in float32."""
    return torch.softmax(logits.float() / temperature, dim=1)
