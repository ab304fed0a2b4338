"""How far a recording's pitch lies from A = 440 Hz, in cents.

A cent is a hundredth of a semitone. A deviation of +20 means that the music sounds 20 cents
higher than written. Only the distance to the nearest semitone can be heard, so it lies between
-50 and +50, and music half a semitone off may be taken for either neighbour.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Of a recording, from its start; it has to be held in memory.
LOOK_SECONDS = 60.0
# Deviations up to this are left as they are: no answer changes over them, and those of music in
# tune (other temperaments, vibrato, the estimate's own error) lie within.
DEAD_BAND = 8.0
# Length of the mean of unit vectors, one for each peak: 1 where all peaks agree, near 0 where
# they are anywhere (drums, noise), which says nothing.
MIN_AGREEMENT = 0.05

_FRAMES = 48
_FRAME_SECONDS = 0.37
_LOWEST, _HIGHEST = 130.0, 2100.0  # Hz; below, a bin is as wide as a semitone
_PEAK_FLOOR = 10 ** (-40 / 20)  # of the frame's loudest
_ROUNDING = 1e-5  # of the frame's peak: 90 dB below it, a sine's peak being size / 4

TuneOption = Literal["auto", "off"] | float


class Tuner:
    """Hears one recording and says by how many cents to lower its pitch.

    Args:
        option: "auto", "off", or the cents to lower it by.

    Attributes:
        cents: deviation heard, -50 to 50; None before, and where there is no steady tone.
        correction: cents by which the pitch is to be lowered.
    """

    def __init__(self, option: TuneOption = "auto") -> None:
        self._option = checked_option(option)
        self.cents: float | None = None
        self.correction = 0.0 if isinstance(self._option, str) else self._option

    def __call__(self, samples: NDArray[np.float32], rate: float) -> float:
        """Hear the start of a recording, mono (n,) at ``rate`` Hz; returns ``correction``."""
        cents, agreement = deviation(samples[: round(LOOK_SECONDS * rate)], rate)
        self.cents = cents if agreement >= MIN_AGREEMENT else None
        if self._option == "auto" and self.cents is not None and abs(cents) > DEAD_BAND:
            self.correction = cents
        return self.correction


def checked_option(option: TuneOption | str) -> TuneOption:
    """The option, a number in text turned into one.

    Raises:
        ValueError: when it is neither "auto", "off" nor cents within a semitone.
    """
    if option in ("auto", "off"):
        return option
    try:
        cents = float(option)
    except ValueError:
        cents = math.nan
    if not -100 <= cents <= 100:
        raise ValueError(f"tune must be auto, off, or cents from -100 to 100; got {option}")
    return cents


def deviation(samples: NDArray[np.float32], rate: float) -> tuple[float, float]:
    """Deviation from A = 440 Hz and how far the peaks agree on it.

    The loudest spectral peaks of up to 48 frames spread over the recording, each a distance to
    its nearest semitone on a circle of 100 cents; the answer is the direction of their mean,
    weighted by magnitude.

    Args:
        samples: mono, (n,).
        rate: their rate in Hz.

    Returns:
        (cents from -50 to 50, agreement from 0 to 1); the agreement is 0 where there is no peak.
    """
    size = 2 ** round(math.log2(_FRAME_SECONDS * rate))
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    count = min(_FRAMES, 1 + (len(samples) - size) // (size // 2))
    window = np.hanning(size).astype(np.float32)
    low, high = int(_LOWEST * size / rate), math.ceil(min(_HIGHEST, 0.45 * rate) * size / rate)
    total, weights = 0j, 0.0
    for start in np.linspace(0, len(samples) - size, count).astype(int):
        frame = samples[start : start + size]
        # The mean would leak into the peaks, and rounding must not be taken for them.
        least = _ROUNDING * size * float(np.abs(frame).max())
        spectrum = np.abs(np.fft.rfft((frame - frame.mean()) * window)[low - 1 : high + 1])
        bins, magnitudes = _peaks(spectrum, least)
        turns = 12 * np.log2((bins + low - 1) * rate / size / 440.0)
        total += complex(np.sum(magnitudes * np.exp(2j * np.pi * turns)))
        weights += float(magnitudes.sum())
    if weights <= 0:
        return 0.0, 0.0
    return 100 * math.atan2(total.imag, total.real) / (2 * math.pi), abs(total) / weights


def _peaks(
    spectrum: NDArray[np.floating], least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places (in bins, by a parabola through the decibels) and magnitudes of the local maxima."""
    inner = spectrum[1:-1]
    floor = max(_PEAK_FLOOR * float(spectrum.max(initial=0.0)), least)
    found = (inner > spectrum[:-2]) & (inner >= spectrum[2:]) & (inner > floor)
    at = np.flatnonzero(found) + 1
    left, middle, right = (np.log(spectrum[at + step].astype(np.float64) + 1e-30)
                           for step in (-1, 0, 1))  # fmt: skip
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    return at + shift, np.exp(middle)
