"""The front end as ONNX nodes: waveform to log-VQT, as `stonekey.network.vqt` computes it.

All heavy work is 2-d convolution over an image of height 1: runtimes have fast kernels for it,
which read overlapping windows in place instead of copying them.
"""

from __future__ import annotations

import numpy as np

from stonekey.graph.builder import Graph
from stonekey.model.kernels import FILTER_TAPS, decimation_matrix, octave_kernels
from stonekey.model.settings import LOG_SLOPE, FrontEnd

# Decimated samples per step of the convolution, which are its output channels. A multiple of 16
# fills the vector registers; larger blocks waste more products on the matrix's zeros.
BLOCK = 32


def add_log_vqt(g: Graph, waveform: str, front_end: FrontEnd) -> str:
    """(batch, samples) -> log-VQT (batch, n_bins, frames)."""
    octaves = octave_kernels(front_end)
    bins, count = front_end.bins_per_octave, len(octaves.hops)
    kernels = octaves.kernels.T[:, None, None, :]
    # The kernels are stored zero-padded to a power of two: use only the part that is not zero.
    used = np.flatnonzero(np.abs(octaves.kernels).max(axis=1))
    first, end = int(used[0]), int(used[-1]) + 1
    half = octaves.taps // 2
    pads = g.ints(0, 0, 0, half - first, 0, 0, 0, end - half)
    x = g.op("Unsqueeze", waveform, g.ints(1, 2))
    parts = []
    for octave, hop in enumerate(octaves.hops):
        if octave:
            x = _add_decimation(g, x)
        padded = g.op("Pad", x, pads, mode="reflect")
        parts.append(g.conv(padded, kernels[..., first:end], strides=[1, hop]))
    # (batch, real and imaginary parts of an octave's bins, octaves, frames)
    spectrum = g.op("Concat", *parts[::-1], axis=2)
    squared = g.op("Mul", spectrum, spectrum)
    power = g.op("Add", g.part(squared, 0, bins, 1), g.part(squared, bins, 2 * bins, 1))
    stacked = g.op("Transpose", g.op("Sqrt", power), perm=[0, 2, 1, 3])
    flat = g.reshape(stacked, 0, count * bins, -1)
    magnitude = g.part(flat, count * bins - front_end.n_bins, count * bins, 1)
    magnitude = g.op("Mul", magnitude, g.const(octaves.scale[:, None]))
    # 10 log10(m) / 80 + 1, at least the item's maximum minus 1 (80 dB).
    log = g.op("Log", g.op("Max", magnitude, g.const(1e-10)))
    level = g.op("Add", g.op("Mul", log, g.const(1 / LOG_SLOPE)), g.const(1.0))
    loudest = g.op("ReduceMax", level, g.ints(1, 2), keepdims=1)
    floored = g.op("Max", level, g.op("Sub", loudest, g.const(1.0)))
    if front_end.average == 1:
        return floored
    length = [front_end.average]
    return g.op("AveragePool", floored, kernel_shape=length, strides=length)


def _add_decimation(g: Graph, x: str) -> str:
    """Low-pass and keep every second sample: (batch, 1, 1, n) -> (batch, 1, 1, n // 2)."""
    matrix = decimation_matrix(BLOCK)
    left = (FILTER_TAPS - 1) // 2
    right = len(matrix) - left - 1  # so that the last sample can start a step
    samples = g.slice(g.op("Shape", x), g.ints(3), g.ints(4), 0)
    steps = g.conv(x, matrix.T[:, None, None, :], strides=[1, 2 * BLOCK], pads=[0, left, 0, right])
    in_order = g.reshape(g.op("Transpose", steps, perm=[0, 2, 3, 1]), 0, 1, 1, -1)
    return g.slice(in_order, g.ints(0), g.op("Div", samples, g.ints(2)), 3)
