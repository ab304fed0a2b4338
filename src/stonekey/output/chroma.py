"""Chroma of a recording, for plots: the energy of each pitch class over time, in NumPy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stonekey.estimate.segments import cut
from stonekey.model.kernels import BLOCK, FILTER_TAPS, decimation_matrix, octave_kernels
from stonekey.model.settings import FrontEnd

# Frames hardly overlap at this hop, but a picture shows far fewer of them anyway.
HOP = 2048
_CHUNK_FRAMES = 320  # about 30 s at once
_MARGIN = 4  # frames at a chunk's edge, where padding distorts them: its neighbour's are used


def vqt(samples: NDArray[np.float32], front_end: FrontEnd) -> NDArray[np.float32]:
    """Constant-Q magnitudes (n_bins, samples // hop + 1), as `stonekey.network.vqt.VQT` gives.

    Args:
        samples: mono (n,) at the front end's rate, long enough to be halved once per octave.
    """
    octaves = octave_kernels(front_end)
    half, per_octave = octaves.taps // 2, front_end.bins_per_octave
    decimate = decimation_matrix()
    count = len(samples) // front_end.hop + 1
    parts = []
    for octave, hop in enumerate(octaves.hops):
        if octave:
            samples = _halved(samples, decimate)
        frames = np.lib.stride_tricks.sliding_window_view(
            np.pad(samples, half, mode="reflect"), octaves.taps
        )
        spectrum = frames[::hop][:count] @ octaves.kernels
        parts.append(np.hypot(spectrum[:, :per_octave], spectrum[:, per_octave:]))
    frames_all = min(len(part) for part in parts)
    magnitude = np.concatenate([part[:frames_all] for part in parts[::-1]], axis=1)
    return np.asarray((magnitude[:, -front_end.n_bins :] * octaves.scale).T)


def _halved(samples: NDArray[np.float32], decimate: NDArray[np.float32]) -> NDArray[np.float32]:
    """Low-pass and keep every second sample."""
    width, outputs = decimate.shape[0], len(samples) // 2
    blocks = -(-outputs // BLOCK)
    left = (FILTER_TAPS - 1) // 2
    padded = np.zeros((blocks - 1) * 2 * BLOCK + width, dtype=np.float32)
    used = samples[: len(padded) - left]
    padded[left : left + len(used)] = used
    rows = np.lib.stride_tricks.sliding_window_view(padded, width)[:: 2 * BLOCK]
    return np.asarray((rows @ decimate).reshape(-1)[:outputs])


def chroma(blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> NDArray[np.float64]:
    """Energy of each pitch class over time, in bounded memory.

    Args:
        blocks: consecutive parts of a recording, mono, at ``sample_rate`` Hz.

    Returns:
        (12, frames), C first, one frame every ``HOP`` samples: the energies of all octaves from
        C2 up, added. Below C2, semitones are too close in frequency to separate.
    """
    front_end = FrontEnd(sample_rate=sample_rate, hop=HOP, fmin=55 * 2 ** (3 / 12), n_bins=72,
                         crop_bins=72)  # fmt: skip
    parts: dict[int, NDArray[np.float64]] = {}
    for start, samples in cut(blocks, _CHUNK_FRAMES * HOP, 2 * _MARGIN / _CHUNK_FRAMES):
        frames_here = max(1, len(samples) // HOP)
        if len(samples) < HOP:
            samples = np.pad(samples, (0, HOP - len(samples)))
        energy = vqt(samples, front_end).astype(np.float64) ** 2
        frames = energy.reshape(-1, 12, energy.shape[1]).sum(axis=0)
        margin = _MARGIN if start else 0
        parts[round(start / HOP) + margin] = frames[:, margin:frames_here]
    end = max((start + part.shape[1] for start, part in parts.items()), default=0)
    whole = np.zeros((12, end))
    for start, part in parts.items():
        whole[:, start : start + part.shape[1]] = part
    return whole
