"""How far a recording's pitch lies from A = 440 Hz, in cents.

A cent is a hundredth of a semitone. A deviation of +20 means that the music sounds 20 cents
higher than written. Only the distance to the nearest semitone can be heard, so it lies between
-50 and +50, and music half a semitone off may be taken for either neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Length of the start of a recording that is examined; it is held in memory.
LOOK_SECONDS = 60.0
# If a stretch this long of it is not music, the rest of the recording is examined too, until there
# is enough music: in parts of a frame or two at this interval, or a longer one if that would give
# more parts than the limit.
PAUSE_SECONDS = 12.0
PART_SECONDS, PARTS_EVERY = 0.52, 2.0
_MOST_PARTS, _LONG_PARTS_EVERY, _MOST_LONG_PARTS = 48, 10.0, 256
_ENOUGH_FRAMES = 12
_GOLDEN = (math.sqrt(5) - 1) / 2
# Smaller deviations are not corrected: they change no answer, and music in tune has them too (other
# temperaments, vibrato, errors of the estimate).
DEAD_BAND = 8.0
# Length of the mean of unit vectors, one for each peak: 1 if all peaks agree, near 0 if they are
# scattered (drums, noise), which tells nothing.
MIN_AGREEMENT = 0.05
# Less is rare in music (speech: 0.02 to 0.13), so more of the recording is examined.
DOUBTFUL = 0.15

_FRAMES = 48
_FRAME_SECONDS = 0.37
_LOWEST, _HIGHEST = 130.0, 2100.0  # Hz; below, a bin is as wide as a semitone
_PEAK_FLOOR = 10 ** (-40 / 20)  # of the frame's loudest
_ROUNDING = 1e-5  # of the frame's peak: 90 dB below it, a sine's peak being size / 4
# A steady partial stands out of its neighbourhood (a twelfth of the spectrum) as no peak of noise
# does, and is as narrow as the window leaves a sine: the second difference of its logarithms is
# -1.4 to -1.6. Music has several of them at a time; applause, drums and noise hardly ever have.
_BANDS, _PROMINENCE, _NARROW = 12, math.log(4), -1.2
_FEWEST_PARTIALS, _FEWEST_FRAMES = 3, 3
# The partials of mains hum are multiples of one of these frequencies, within this many Hz.
_MAINS, _MAINS_DRIFT, _MAINS_ERROR = (50.0, 60.0), 0.01, 1.5

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

    def __call__(
        self,
        samples: NDArray[np.float32],
        rate: float,
        rest: Iterable[NDArray[np.float32]] | None = None,
    ) -> float:
        """Hear a recording, mono (n,) at ``rate`` Hz; returns ``correction``.

        Args:
            rest: where ``samples`` are the first `LOOK_SECONDS` only: parts of what follows
                (`part_starts`), at the same rate.
        """
        frames, seconds = hear(samples[: round(LOOK_SECONDS * rate)], rate)
        cents, agreement = _direction(frames)
        if agreement < DOUBTFUL or _longest_pause(frames) * seconds >= PAUSE_SECONDS:
            later: list[Frame] = []
            for part in _parts(samples, rate) if rest is None else rest:
                later += hear(part, rate)[0]
                if sum(frame.is_music for frame in later) >= _ENOUGH_FRAMES:
                    break
            cents, agreement = _direction(_of_music(frames + later))
        self.cents = cents if agreement >= MIN_AGREEMENT else None
        if self._option == "auto" and self.cents is not None and abs(cents) > DEAD_BAND:
            self.correction = cents
        return self.correction


def checked_option(option: TuneOption | str) -> TuneOption:
    """The option, with text that is a number converted to one.

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


def part_starts(total: float) -> list[float]:
    """Starts of the parts after the first minute of a recording of ``total`` seconds.

    Ordered so that the first few, however many, are spread over all of it.
    """
    rest = total - LOOK_SECONDS
    count = min(rest / PARTS_EVERY, max(_MOST_PARTS, rest / _LONG_PARTS_EVERY), _MOST_LONG_PARTS)
    share = rest / max(1, int(count))
    starts = [LOOK_SECONDS + (i + 0.5) * share - PART_SECONDS / 2 for i in range(int(count))]
    return sorted(starts, key=lambda start: start / share * _GOLDEN % 1)


def _parts(samples: NDArray[np.float32], rate: float) -> Iterator[NDArray[np.float32]]:
    for start in part_starts(len(samples) / rate):
        yield samples[round(start * rate) :][: round(PART_SECONDS * rate)]


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
    return _direction(hear(samples, rate)[0])


@dataclass(frozen=True)
class Frame:
    """The spectral peaks of a frame: their Hz, magnitudes, and which are steady partials."""

    hz: NDArray[np.float64]
    magnitudes: NDArray[np.float64]
    steady: NDArray[np.bool_]

    @cached_property
    def is_music(self) -> bool:
        """Whether it has several steady partials that are not mains hum."""
        return int(self.steady.sum()) >= _FEWEST_PARTIALS and not self.hum

    @cached_property
    def hum(self) -> float:
        """The mains frequency in Hz if nearly all steady partials are its multiples, else 0."""
        hz = self.hz[self.steady]
        if len(hz) < _FEWEST_PARTIALS:
            return 0.0
        loudest = hz[np.argmax(self.magnitudes[self.steady])]
        for mains in _MAINS:
            step = float(loudest / round(loudest / mains))
            if abs(step / mains - 1) < _MAINS_DRIFT and _multiples(hz, step).mean() > 0.75:
                return step
        return 0.0

    def without(self, step: float) -> Frame:
        """The peaks that are not multiples of ``step`` Hz."""
        keep = ~_multiples(self.hz, step)
        return Frame(self.hz[keep], self.magnitudes[keep], self.steady[keep])


def hear(samples: NDArray[np.float32], rate: float) -> tuple[list[Frame], float]:
    """Up to 48 frames spread over samples (n,), and the seconds from one to the next."""
    size = 2 ** round(math.log2(_FRAME_SECONDS * rate))
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    count = min(_FRAMES, 1 + (len(samples) - size) // (size // 2))
    window = _window(size)
    low, high = int(_LOWEST * size / rate), math.ceil(min(_HIGHEST, 0.45 * rate) * size / rate)
    frames = []
    for start in np.linspace(0, len(samples) - size, count).astype(int):
        frame = samples[start : start + size]
        # An offset would leak into the peaks, and rounding noise must not count as peaks.
        least = _ROUNDING * size * float(np.abs(frame).max())
        spectrum = np.abs(np.fft.rfft((frame - frame.mean()) * window)[low - 1 : high + 1])
        bins, magnitudes, steady = _peaks(spectrum, least)
        frames.append(Frame((bins + low - 1) * rate / size, magnitudes, steady))
    return frames, (len(samples) - size) / max(1, count - 1) / rate


@cache
def _window(size: int) -> NDArray[np.float32]:
    return np.hanning(size).astype(np.float32)


def _longest_pause(frames: list[Frame]) -> int:
    """Length of the longest run of frames that are not music."""
    longest = now = 0
    for frame in frames:
        now = 0 if frame.is_music else now + 1
        longest = max(longest, now)
    return longest


def _of_music(frames: list[Frame]) -> list[Frame]:
    """The frames that are music, without hum; if there are too few, all frames that are not hum."""
    hums = [frame.hum for frame in frames]
    found = [frame for frame in frames if frame.is_music]
    if len(found) < _FEWEST_FRAMES:
        return [frame for frame, hum in zip(frames, hums, strict=True) if not hum]
    heard = [hum for hum in hums if hum]
    if len(heard) < _FEWEST_FRAMES:
        return found
    return [frame.without(float(np.median(heard))) for frame in found]


def _multiples(hz: NDArray[np.float64], step: float) -> NDArray[np.bool_]:
    return np.asarray(np.abs(hz - step * np.round(hz / step)) < _MAINS_ERROR)


def _direction(frames: list[Frame]) -> tuple[float, float]:
    """What `deviation` returns."""
    total, weights = 0j, 0.0
    for frame in frames:
        turns = 12 * np.log2(frame.hz / 440.0)
        total += complex(np.sum(frame.magnitudes * np.exp(2j * np.pi * turns)))
        weights += float(frame.magnitudes.sum())
    if weights <= 0:
        return 0.0, 0.0
    return 100 * math.atan2(total.imag, total.real) / (2 * math.pi), abs(total) / weights


def _peaks(
    spectrum: NDArray[np.floating], least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Places (in bins, by a parabola through the decibels) and magnitudes of the local maxima.

    And which of them are steady partials.
    """
    inner = spectrum[1:-1]
    floor = max(_PEAK_FLOOR * float(spectrum.max(initial=0.0)), least)
    found = (inner > spectrum[:-2]) & (inner >= spectrum[2:]) & (inner > floor)
    at = np.flatnonzero(found) + 1
    left, middle, right = (np.log(spectrum[at + step].astype(np.float64) + 1e-30)
                           for step in (-1, 0, 1))  # fmt: skip
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend
    width = max(1, len(spectrum) // _BANDS)
    count = len(spectrum) // width
    medians = np.median(spectrum[: count * width].reshape(count, width), axis=1)
    around = np.log(medians[np.minimum(at // width, count - 1)] + 1e-30)
    return at + shift, np.exp(middle), (middle - around > _PROMINENCE) & (bend < _NARROW)
