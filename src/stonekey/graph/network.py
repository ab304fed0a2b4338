"""ChromaNet as ONNX nodes, algebraically equal to the torch network but faster.

- Layer scale is folded into the second pointwise product, and the batch norm's running
  statistics into the classifier.
- Runtimes convolve in blocks of 16 channels, which a stage of 2 or 3 channels would leave mostly
  empty. Its bins are therefore cut into strips that become channels: (channels, bins, frames)
  and (channels * strips, bins / strips, frames) are the same memory. Depthwise weights are
  repeated for each strip; pointwise weights become block diagonal.
- A wide stage computes its expanded activations in parts that fit in cache.
"""

from __future__ import annotations

import math

import numpy as np

from stonekey.graph.builder import Graph
from stonekey.model.settings import Architecture, FrontEnd

EPS = 1e-5
LANES = 16
ALIGNED = 4  # ONNX Runtime is fast for multiples of this many channels
CACHED_VALUES = 300_000  # float32 values that fill about half of a second-level cache

Weights = dict[str, np.ndarray]


def add_chromanet(
    g: Graph, x: str, arch: Architecture, front_end: FrontEnd, tensors: Weights
) -> str:
    """Cropped log-VQTs (batch, harmonics * bins, frames) -> probabilities (batch, outputs)."""
    bins = front_end.crop_bins
    frames = front_end.network_frames(front_end.segment_samples)
    inputs = len(front_end.harmonics)
    for stage, channels in enumerate(arch.channels):
        down = _sub(tensors, f"time_downsampling_blocks.{stage}.")
        block = _sub(tensors, f"convnext_blocks.{stage}.")
        frames //= 2
        strips = _strips(channels, bins) if channels < LANES // 2 else 1
        x = _add_norm(g, x, arch, _sub(down, "norm."), bins)
        x = g.reshape(x, 0, inputs * strips, bins // strips, -1)
        x = g.conv(x, *_in_strips(down["conv.weight"], down["conv.bias"], strips), strides=[1, 2])
        x = g.gelu(x)
        y = _add_depthwise(g, x, block["dwconv.weight"], block["dwconv.bias"], bins, strips)
        y = _add_norm(g, y, arch, _sub(block, "norm."), bins)
        y = g.reshape(y, 0, channels * strips, bins // strips, -1)
        y = _add_pointwise(g, y, block, strips, bins // strips, frames)
        x = g.op("Add", x, y)
        inputs = channels
    logits = _add_classifier(g, x, arch, tensors, front_end)
    scaled = g.op("Mul", logits, g.const(1 / arch.temperature))
    return g.op("Softmax", scaled, axis=1)


def _sub(tensors: Weights, prefix: str) -> Weights:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _strips(channels: int, bins: int) -> int:
    """The number of strips that leaves the fewest channels of a block empty."""
    if channels >= LANES and channels % ALIGNED == 0:
        return 1  # cutting costs more than a few empty channels

    def waste(strips: int) -> tuple[bool, float]:
        count = channels * strips
        return count % ALIGNED > 0, -(-count // LANES) * LANES / count

    return min((n for n in (1, 2, 4) if bins % n == 0), key=waste)


def _in_strips(weight: np.ndarray, bias: np.ndarray, strips: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight (outputs, inputs, ...) and bias applied to each strip; channels are outermost."""
    out, inputs = weight.shape[:2]
    wide = np.zeros((out * strips, inputs * strips, *weight.shape[2:]), dtype=np.float32)
    for strip in range(strips):
        wide[strip::strips, strip::strips] = weight
    return wide, np.repeat(bias, strips)


def _add_norm(g: Graph, x: str, arch: Architecture, weights: Weights, bins: int) -> str:
    """The norm of (batch, ...), flattened: the caller reshapes it."""
    if arch.norm == "joint":
        flat = g.reshape(x, 0, 1, -1)
        return g.op("InstanceNormalization", flat, g.const([1.0]), g.const([0.0]), epsilon=EPS)
    scale, shift = (weights[name].T.reshape(-1, 1) for name in ("weight", "bias"))
    flat = g.reshape(x, 0, len(scale), -1)
    # Frames are columns, so means are products with a row: much faster than reductions.
    mean = g.const(np.full((1, len(scale)), 1 / len(scale)))
    centred = g.op("Sub", flat, g.op("MatMul", mean, flat))
    variance = g.op("MatMul", mean, g.op("Mul", centred, centred))
    gain = g.op("Reciprocal", g.op("Sqrt", g.op("Add", variance, g.const(EPS))))
    scaled = g.op("Mul", g.op("Mul", centred, gain), g.const(scale))
    return g.op("Add", scaled, g.const(shift))


def _add_depthwise(
    g: Graph, x: str, weight: np.ndarray, bias: np.ndarray, bins: int, given: int
) -> str:
    """Depthwise convolution with replicate padding of (batch, channels * given, ...)."""
    channels, kernel = weight.shape[0], weight.shape[-1]
    strips, pad = _strips(channels, bins), kernel // 2
    if given > 1:
        x = g.reshape(x, 0, channels, bins, -1)
    if strips == 1:
        x = g.op("Pad", x, g.ints(0, 0, pad, pad, 0, 0, pad, pad), mode="edge")
        return g.conv(x, weight, bias, group=channels)
    x = g.op("Pad", x, g.ints(0, 0, 0, pad, 0, 0, 0, pad), mode="edge")
    # Each strip includes the rows around it; rows beyond the edges repeat the outermost.
    height = bins // strips
    rows = np.concatenate([np.arange(-pad, height + pad) + n * height for n in range(strips)])
    x = g.op("Gather", x, g.const(rows.clip(0, bins - 1), np.int64), axis=2)
    x = g.reshape(x, 0, channels * strips, height + 2 * pad, -1)
    return g.conv(x, weight.repeat(strips, axis=0), bias.repeat(strips), group=channels * strips)


def _add_pointwise(g: Graph, x: str, block: Weights, strips: int, rows: int, frames: int) -> str:
    """Expand by 4, GELU, and back, scaled: (batch, channels * strips, rows, frames) -> same."""
    gamma = block["gamma"]
    expand = _in_strips(block["pwconv1.weight"][..., None, None], block["pwconv1.bias"], strips)
    reduce = _in_strips(
        (block["pwconv2.weight"] * gamma[:, None])[..., None, None],
        block["pwconv2.bias"] * gamma,
        strips,
    )

    def mlp(part: str) -> str:
        return g.conv(g.gelu(g.conv(part, *expand)), *reduce)

    values = len(expand[1]) * rows * frames
    wanted = min(rows, math.ceil(values / CACHED_VALUES))
    parts = next(n for n in range(wanted, rows + 1) if rows % n == 0)
    if parts == 1:
        return mlp(x)
    step = rows // parts
    pieces = [mlp(g.part(x, i * step, (i + 1) * step, 2)) for i in range(parts)]
    return g.op("Concat", *pieces, axis=2)


def _add_classifier(
    g: Graph, x: str, arch: Architecture, tensors: Weights, front_end: FrontEnd
) -> str:
    """Octave pooling, mean over time, classifier: -> logits (batch, 12 * rows)."""
    per_octave, channels = front_end.bins_per_octave, arch.channels[-1]
    octaves = g.reshape(x, 0, channels, front_end.crop_bins // per_octave, per_octave, -1)
    pooled = g.op("ReduceMean", octaves, g.ints(2, 4), keepdims=0)
    if front_end.bins_per_semitone > 1:
        pooled = g.reshape(pooled, 0, channels, 12, -1)
        pooled = g.op("ReduceMean", pooled, g.ints(3), keepdims=0)
    weight, bias = tensors["classifier.weight"], tensors["classifier.bias"]
    if arch.rows == 2:
        gain = 1 / np.sqrt(tensors["batch_norm.running_var"] + EPS)
        weight = weight * gain[:, None, None, None]
        bias = (bias - tensors["batch_norm.running_mean"]) * gain
    return g.reshape(g.conv(pooled, weight[..., 0], bias), 0, -1)
