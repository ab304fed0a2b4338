"""Channels out of phase, whose mean cancels: find a mix that does not.

What the mean of the channels leaves of a sound: 1 where the channels have nothing to do with each
other or only one of them sounds, their number where they are alike, 0 where they cancel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]
Matrix: TypeAlias = npt.NDArray[np.floating]

# Drop a mix that keeps less of the sound than this (11 dB below unrelated channels); return to the
# mean once that keeps more than the second limit.
LOST, REGAINED = 0.08, 0.3
# Music can cancel under drums that do not, so its partials are checked too: at this interval, in
# frames of this many samples, between these frequencies in Hz.
_EVERY_SECONDS = 10.0
_FRAME = 8192
_LOWEST, _HIGHEST = 100.0, 2100.0
_PROMINENCE = 16.0  # power over the median: noise has no such peaks
_FLOOR = 1e-4  # of the loudest partial's power
_FADE = 1024  # samples from one mix to the next


class PhaseWatch:
    """Watches the channels of one file, block by block.

    Attributes:
        seconds: how much sound so far was not mixed to the mean of its channels.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._weights: Samples | None = None  # of the channels in the mix; None at first
        self._wait = 0.0

    def mix(
        self, channels: Samples, mono: Samples, energy: float, scale: float, rate: float
    ) -> Samples | None:
        """The mix of a block; None if the mean keeps the music.

        Args:
            channels: (n, channels); ``scale`` stands for 1.
            mono: the mean of the channels, (n,).
            energy: the sum of its squares.
            rate: in Hz.
        """
        values = channels.ravel(order="K")
        power = float(np.dot(values, values))
        if not 0 < power < math.inf:
            return None
        self._wait -= len(mono) / rate
        # A cheap check first; inaudible sound (an offset, a rumble) passes it too.
        cancels = (channels.shape[1] * scale) ** 2 * energy < LOST * power
        if not (cancels or self._wait <= 0 or self.seconds):
            return None
        mean = _mean(channels.shape[1])
        begun = self._weights is not None and len(self._weights) == len(mean)
        old = new = self._weights if self._weights is not None and begun else mean
        seen = _heard(channels[:_FRAME], rate, cancels)
        self._wait = _EVERY_SECONDS if seen.any() else 0.0
        if _left(new, seen) < LOST:  # then so does the whole block
            seen = np.sum([_heard(frame, rate, cancels) for frame in _frames(channels)], axis=0)
        self._weights = new = _weights(seen, new)
        old = old if begun else new
        if np.array_equal(new, mean) and np.array_equal(old, mean):
            return None
        self.seconds += len(mono) / rate
        mixed: Samples = np.dot(channels, new / np.float32(scale))
        fade = np.linspace(0, 1, min(_FADE, len(mono)), dtype=np.float32)
        start = np.dot(channels[: len(fade)], old / np.float32(scale))
        mixed[: len(fade)] = fade * mixed[: len(fade)] + (1 - fade) * start
        return mixed


def _mean(channels: int) -> Samples:
    return np.full(channels, 1 / channels, np.float32)


def _weights(seen: Matrix, now: Samples) -> Samples:
    """The weights for channels whose covariance is ``seen``, after the weights ``now``."""
    mean = _mean(len(now))
    if not np.trace(seen):
        return now
    if _left(mean, seen) > REGAINED:
        return mean
    if _left(now, seen) >= LOST:
        return now
    # The direction in which the channels move together, as loud as a mean.
    strongest = np.linalg.eigh(seen)[1][:, -1] / math.sqrt(len(now))
    return np.asarray(-strongest if strongest @ now < 0 else strongest, np.float32)


def _left(weights: Samples, seen: Matrix) -> float:
    """The share of the sound that a mix keeps, for channels with the covariance ``seen``."""
    power = float(np.trace(seen))
    return float(len(weights) * (weights @ seen @ weights)) / power if power else 1.0


def _frames(channels: Samples) -> Iterator[Samples]:
    for start in range(0, max(1, len(channels) - _FRAME // 2), _FRAME):
        yield channels[start : start + _FRAME]


def _heard(frame: Samples, rate: float, noise: bool) -> Matrix:
    """The channels' covariance in the steady partials of a frame (n, channels), 0 without any.

    With ``noise``, that in everything between the limits where there is no partial.
    """
    size = len(frame)
    low, high = round(_LOWEST * size / rate), round(min(_HIGHEST, 0.45 * rate) * size / rate)
    window = np.hanning(size).astype(np.float32)
    spectra = np.fft.rfft(np.ascontiguousarray(frame.T) * window)[:, low:high]
    power = np.sum(spectra.real**2 + spectra.imag**2, axis=0)
    if len(power) < 3:
        return np.zeros((len(spectra),) * 2)
    least = max(_PROMINENCE * float(np.median(power)), _FLOOR * float(power.max()))
    inner = power[1:-1]
    partial = (inner > power[:-2]) & (inner >= power[2:]) & (inner > least)
    found = spectra[:, 1:-1][:, partial | (noise and not partial.any())]
    return np.asarray((found @ found.conj().T).real)
