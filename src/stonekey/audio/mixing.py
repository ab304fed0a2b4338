"""Decoded samples of any type to mono float32: the mean of the channels."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]

# Floats beyond this are no sound, and overflow when they are filtered.
LOUDEST = 1e30


def full_scale(dtype: np.dtype[np.generic]) -> float:
    """Return the value that stands for 1.0 in samples of this type."""
    if dtype.kind == "f":
        return 1.0
    if dtype.kind in "iu":
        return float(2 ** (8 * dtype.itemsize - 1))
    raise ValueError(f"samples of type {dtype} are not sound")


def to_mono(samples: npt.NDArray[np.generic]) -> Samples:
    """Return the mean of the channels of ``samples``, (n,) or (n, channels), as float32 (n,).

    Integers become -1..1; unsigned ones are centred first. The result may share memory with
    ``samples`` where nothing had to be done.
    """
    scale = full_scale(samples.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        floats: Samples = samples.astype(np.float32, copy=False)
        if samples.dtype.kind == "u":
            floats = floats - np.float32(scale)
        if floats.ndim == 1 or floats.shape[1] == 1:
            floats = floats.reshape(-1)
            return floats if scale == 1.0 else floats * np.float32(1.0 / scale)
        # A product with the constant weights is twice as fast as a mean over a short axis.
        channels = floats.shape[1]
        weights = np.full(channels, 1.0 / (channels * scale), np.float32)
        mono: Samples = np.dot(floats, weights)
        return mono


class Mixer:
    """``to_mono`` for the blocks of one file; what is no sound becomes 0 and is counted.

    That is samples that are not finite, or beyond `LOUDEST`.
    """

    def __init__(self) -> None:
        self.replaced = 0

    def __call__(self, samples: npt.NDArray[np.generic]) -> Samples:
        """Return the mono mix of ``samples``, (n,) or (n, channels)."""
        mono = to_mono(samples)
        if samples.dtype.kind != "f":
            return mono
        with np.errstate(over="ignore", invalid="ignore"):
            suspect = not np.isfinite(np.dot(mono, mono))  # cheap; samples from 1e17 on trip it too
            if suspect:
                floats = samples.astype(np.float32)
                bad = ~(np.abs(floats) <= LOUDEST)
                self.replaced += int(bad.sum())
                floats[bad] = 0.0
                mono = to_mono(floats)
        return mono
