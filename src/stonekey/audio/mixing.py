"""Decoded samples of any type to mono float32: the mean of the channels, if it can be heard."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stonekey.audio.phase import PhaseWatch
from stonekey.audio.spikes import FACTOR, find_spikes

Samples: TypeAlias = npt.NDArray[np.float32]

# Larger floats are not sound, and overflow when filtered.
LOUDEST = 1e30
# Samples per channel that are mixed in the same way.
BLOCK = 32768


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
    return _mean(_floats(samples), full_scale(samples.dtype))


def _floats(samples: npt.NDArray[np.generic]) -> Samples:
    """The same samples, centred on 0, as float32; not scaled."""
    with np.errstate(over="ignore"):
        floats: Samples = samples.astype(np.float32, copy=False)
    if samples.dtype.kind == "u":
        floats = floats - np.float32(full_scale(samples.dtype))
    return floats


def _mean(floats: Samples, scale: float) -> Samples:
    with np.errstate(over="ignore", invalid="ignore"):
        if floats.ndim == 1 or floats.shape[1] == 1:
            floats = floats.reshape(-1)
            return floats if scale == 1.0 else floats * np.float32(1.0 / scale)
        # A product with the constant weights is twice as fast as a mean over a short axis.
        channels = floats.shape[1]
        weights = np.full(channels, 1.0 / (channels * scale), np.float32)
        mono: Samples = np.dot(floats, weights)
        return mono


class Mixer:
    """Mixes the blocks of one file to the mean of the channels, unless they cancel each other.

    What is no sound becomes 0 and is counted: samples that are not finite, or beyond `LOUDEST`, and
    spikes.
    """

    def __init__(self) -> None:
        self.replaced = self.spikes = 0
        self._phases = PhaseWatch()

    def __call__(self, samples: npt.NDArray[np.generic], rate: float) -> Samples:
        """Return the mono mix of ``samples``, (n,) or (n, channels), at ``rate`` Hz."""
        scale = full_scale(samples.dtype)
        floats = _floats(samples)
        mono = _mean(floats, scale)
        with np.errstate(over="ignore", invalid="ignore"):
            # Cheap; samples from 1e17 on trip it too.
            if samples.dtype.kind == "f" and not np.isfinite(np.dot(mono, mono)):
                floats = samples.astype(np.float32)
                bad = ~(np.abs(floats) <= LOUDEST)
                self.replaced += int(bad.sum())
                floats[bad] = 0.0
                mono = _mean(floats, scale)
            for start in range(0, len(mono), BLOCK):
                part = slice(start, start + BLOCK)
                energy = float(np.dot(mono[part], mono[part]))
                spikes = find_spikes(floats[part], mono[part], energy, scale)
                if spikes is not None:
                    self.spikes += int(spikes.sum())
                    if np.may_share_memory(floats, samples):
                        floats = floats.copy()
                        mono = mono.copy()
                    floats[part][spikes] = 0.0
                    mono[part] = _mean(floats[part], scale)
                    energy = float(np.dot(mono[part], mono[part]))
                if floats.ndim == 2 and floats.shape[1] > 1:
                    mixed = self._phases.mix(floats[part], mono[part], energy, scale, rate)
                    if mixed is not None:
                        mono[part] = mixed
        return mono

    @property
    def warnings(self) -> list[str]:
        """Warnings about the blocks so far."""
        found = []
        if self._phases.seconds:
            found.append(
                f"channels out of phase for {self._phases.seconds:.1f} s: their mean cancels"
                " there, so what does not was heard instead"
            )
        if self.replaced:
            found.append(
                f"{self.replaced} samples were no sound (not finite, or beyond {LOUDEST:g})"
                " and were set to 0"
            )
        if self.spikes:
            found.append(
                f"{self.spikes} samples were {FACTOR:g} times louder than all around them and"
                " were set to 0"
            )
        return found


def mix(samples: npt.NDArray[np.generic], rate: float) -> tuple[Samples, list[str]]:
    """The mono mix of samples (n,) or (n, channels) at ``rate`` Hz, as of a file, and warnings."""
    mixer = Mixer()
    return mixer(samples, rate), mixer.warnings
