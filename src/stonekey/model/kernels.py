"""The VQT's fixed arrays: decimation filter and constant-Q kernels, in NumPy.

The torch module (`stonekey.network.vqt`) and the ONNX graph (`stonekey.graph.model`) are both
built from these, so the arithmetic has one source. Values follow the constant-Q transform of Brown
and Puckette computed octave by octave (Schörkhuber and Klapuri, 2010), with gamma = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stonekey.model.settings import FrontEnd

FILTER_TAPS = 256
# Outputs computed per row of the decimation product: a small block wastes few multiplications
# on the matrix's zeros, a large one reads less overlapping input.
BLOCK = 64


def lowpass() -> NDArray[np.float32]:
    """Half-band low-pass, shape (256,): frequency sampling with a Hamming window.

    Pass band to 0.5 / 1.001 and stop band from 0.5 * 1.001 of the Nyquist frequency.
    """
    grid_size = 1 + 2 ** int(np.ceil(np.log2(FILTER_TAPS)))
    grid = np.linspace(0.0, 1.0, grid_size)
    gain = np.interp(grid, [0.0, 0.5 / 1.001, 0.5 * 1.001, 1.0], [1.0, 1.0, 0.0, 0.0])
    phase = np.exp(-(FILTER_TAPS - 1) / 2.0 * 1j * np.pi * grid)
    response = np.fft.irfft(gain * phase)[:FILTER_TAPS]
    return np.asarray(response * np.hamming(FILTER_TAPS), dtype=np.float32)


def decimation_matrix(block: int = BLOCK) -> NDArray[np.float32]:
    """Filtering and decimation by 2 as a matrix product, shape (2 * block + 254, block).

    With the input padded by 127 zeros on the left, outputs ``block * i`` to
    ``block * (i + 1) - 1`` are ``input[2 * block * i : 2 * block * i + 2 * block + 254] @
    matrix``. One product rather than several that are added: every output is then summed in
    the order of the filter's taps, which the golden arrays need in the quietest bins.
    """
    taps = lowpass()
    matrix = np.zeros((2 * block + FILTER_TAPS - 2, block), dtype=np.float32)
    for n in range(block):
        matrix[2 * n : 2 * n + FILTER_TAPS, n] = taps
    return matrix


@dataclass(frozen=True)
class OctaveKernels:
    """Kernels of one octave, the same for all: each octave halves the sample rate.

    ``kernels`` has shape (taps, 2 * bins_per_octave): the cosine parts of the octave's bins,
    lowest first, then their sine parts, L1-normalised. ``scale`` (n_bins,), lowest bin first,
    is the square root of each bin's length at the full sample rate (librosa's normalisation)
    and multiplies the magnitudes.
    """

    kernels: NDArray[np.float32]
    scale: NDArray[np.float32]
    hops: tuple[int, ...]

    @property
    def taps(self) -> int:
        """Length of a kernel in samples of its octave's rate."""
        return int(self.kernels.shape[0])


def octave_kernels(front_end: FrontEnd) -> OctaveKernels:
    """Constant-Q kernels for the front end's settings (paper, section 2.1)."""
    fe = front_end
    per_octave = fe.bins_per_octave
    q = 1.0 / (2 ** (1 / per_octave) - 1)
    top_low = fe.n_bins - per_octave  # index of the lowest bin of the uppermost octave
    low = fe.fmin * 2.0 ** (top_low / per_octave)
    freqs = low * 2.0 ** (np.arange(per_octave) / per_octave)
    lengths = np.ceil(q * fe.sample_rate / freqs).astype(int)
    taps = int(2 ** np.ceil(np.log2(lengths.max())))
    base = np.zeros((taps, per_octave), dtype=np.complex128)
    for k, (freq, length) in enumerate(zip(freqs, lengths, strict=True)):
        start = int(np.ceil(taps / 2 - length / 2)) - length % 2
        n = np.arange(length) + (-length // 2)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)  # periodic Hann
        kernel = window * np.exp(2j * np.pi * freq / fe.sample_rate * n)
        base[start : start + length, k] = kernel / np.abs(kernel).sum()
    both = np.concatenate([base.real, base.imag], axis=1).astype(np.float32)
    all_freqs = fe.fmin * 2.0 ** (np.arange(fe.n_bins) / per_octave)
    scale = np.sqrt(np.ceil(q * fe.sample_rate / all_freqs).astype(np.float32))
    hops = tuple(fe.hop // 2**octave for octave in range(fe.octaves))
    return OctaveKernels(both, scale, hops)
