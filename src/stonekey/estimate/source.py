"""A recording as one stream of segments: a file or samples, heard whole or in parts."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import tee
from typing import Any, BinaryIO, Protocol, TypeAlias, cast

import numpy as np

from stonekey.audio.excerpts import Excerpts, read_excerpts, spread
from stonekey.audio.mixing import LOUDEST, mix
from stonekey.audio.resampling import check_rate, resample
from stonekey.audio.stream import stream_audio
from stonekey.audio.tuning import Tuner
from stonekey.estimate.segments import PEAK_BLOCK_SECONDS, Windows, cut, peak_normalised
from stonekey.estimate.settings import EstimatorSettings


class Tensor(Protocol):
    """A torch tensor, as far as it is used here; the core has no torch to ask for its type."""

    def detach(self) -> Any:
        """The same without a gradient."""

    def is_floating_point(self) -> bool:
        """Whether its values are floats."""


class BinaryFile(Protocol):
    """Anything that is read like a file opened with "rb"."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to ``size`` bytes."""


Samples: TypeAlias = np.ndarray | Tensor
Recording: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Samples
)
# More channels than this are no sound.
MOST_CHANNELS = 32

# Full scale is 1. Dither of 16-bit silence stays below this peak.
SILENCE_PEAK = 1e-4
# A segment this far below the recording's peak (60 dB) is a pause, not music.
PAUSE = 1e-3
# Less sound than this in a whole recording (a click, a beep) says nothing about a key.
MIN_SIGNAL_SECONDS = 0.5
ACTIVITY_FRAME_SECONDS = 0.05
# Seconds that a fast estimate hears: more adds little (docs/results.md).
FAST_SECONDS = 75.0
# Correcting the pitch by a semitone takes this much more sound.
FAST_MARGIN = 1.06


@dataclass
class Source:
    """One recording, ready for the network.

    Attributes:
        segments: (first sample, samples) in their order, mono float32 at a peak of 1, once; all
            are equally long but for a recording that is shorter than one.
        windows: further segments of the same, as they were asked for; read with the others, in
            step (`stonekey.estimate.segments.in_step`), or all are held.
        tuner: what it heard of the tuning, and corrects.
        activity: how much sound there was; complete after the last segment.
        model_rate: rate of the samples in Hz, as the network takes it.
        whole_seconds: length of a recording that is heard in parts; None for one heard whole.
        warnings: what decoding had to say; complete after the last segment.
        promised_seconds: length of the recording as far as it is known before the end.
    """

    segments: Iterable[tuple[int, np.ndarray]]
    tuner: Tuner
    activity: Activity
    model_rate: float
    whole_seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    promised_seconds: float | None = None
    windows: Iterable[tuple[int, np.ndarray]] = ()

    @property
    def rate(self) -> float:
        """Samples for a second of the recording itself; the correction of the pitch is in it."""
        return self.model_rate * 2 ** (self.tuner.correction / 1200)

    @property
    def seconds(self) -> float:
        """Length of the recording; for one heard whole only after the last segment."""
        heard = self.activity.samples / self.rate
        return heard if self.whole_seconds is None else self.whole_seconds


@contextmanager
def open_source(
    recording: Recording,
    sample_rate: float | None,
    settings: EstimatorSettings,
    model_rate: float,
    segment_seconds: float,
    windows: Windows | None = None,
    channels_first: bool | None = None,
) -> Iterator[Source]:
    """A recording as the settings want it heard; a file that is named is closed at the end.

    Args:
        recording: a path; a file's content as bytes or as a binary file object, which is read from
            where it is; or samples of any scale, (samples,), (samples, channels) or
            (channels, samples).
        sample_rate: of samples, in Hz.
        model_rate: rate that the network takes, in Hz.
        segment_seconds: length of a segment.
        windows: to be cut too, of a recording that is heard whole.
        channels_first: whether samples are (channels, samples); None where their shape tells.

    Raises:
        AudioError: when a file cannot be read.
        TypeError: for what is no recording.
        ValueError: for samples without a rate, or of another shape or type.
    """
    tuner = settings.tuner()
    count, length = fast_parts(segment_seconds), FAST_MARGIN * segment_seconds
    file = _as_file(recording)
    if file is not None:
        if settings.fast:
            if parts := read_excerpts(file, count, length, settings.timeout):
                yield in_parts(parts, tuner, model_rate, segment_seconds)
                return
            if not isinstance(file, (str, os.PathLike)):
                file.seek(0)
        with stream_audio(file, round(model_rate), tuner, settings.timeout) as stream:
            source = whole(
                stream, settings, model_rate, segment_seconds, tuner, stream.warnings, windows
            )
            source.promised_seconds = stream.expected_seconds
            yield source
        return
    array = _as_samples(recording, sample_rate, channels_first)
    assert sample_rate is not None
    mono, warnings = mix(array, sample_rate)
    if settings.fast and (parts := _excerpts_of(mono, warnings, sample_rate, count, length)):
        yield in_parts(parts, tuner, model_rate, segment_seconds)
        return
    rate = model_rate * 2 ** (tuner(mono, sample_rate) / 1200)
    blocks = [resample(mono, sample_rate, rate)]
    yield whole(blocks, settings, model_rate, segment_seconds, tuner, warnings, windows)


def fast_parts(segment_seconds: float) -> int:
    """How many segments a fast estimate hears."""
    return max(1, round(FAST_SECONDS / segment_seconds))


def whole(
    blocks: Iterable[np.ndarray],
    settings: EstimatorSettings,
    model_rate: float,
    segment_seconds: float,
    tuner: Tuner | None = None,
    warnings: list[str] | None = None,
    windows: Windows | None = None,
) -> Source:
    """A recording from its mono blocks at the model's rate, in tune."""
    activity = Activity(model_rate)
    level = peak_normalised(activity.watch(blocks), round(PEAK_BLOCK_SECONDS * model_rate))
    more: Iterable[tuple[int, np.ndarray]] = ()
    if windows is not None:
        level, again = tee(level)
        more = cut(again, round(windows.seconds * model_rate), 1 - windows.hop / windows.seconds)
    segments = cut(
        level,
        round(segment_seconds * model_rate),
        settings.overlap,
        whole=not settings.published_segments,
    )
    # The list itself, which fills while the segments are read.
    warnings = [] if warnings is None else warnings
    return Source(
        segments, tuner or Tuner("off"), activity, model_rate, warnings=warnings, windows=more
    )


def in_parts(excerpts: Excerpts, tuner: Tuner, model_rate: float, segment_seconds: float) -> Source:
    """A recording of which only parts are heard, each a segment."""
    tuner(np.concatenate(excerpts.parts), excerpts.rate)
    rate = model_rate * 2 ** (tuner.correction / 1200)
    length = round(segment_seconds * model_rate)
    activity = Activity(model_rate)
    parts = [resample(part, excerpts.rate, rate)[:length] for part in excerpts.parts]
    level = peak_normalised(activity.watch(parts), len(parts) * length)
    starts = [round(start * rate) for start in excerpts.starts]
    segments = zip(starts, level, strict=True)
    warnings, seconds = list(excerpts.warnings), excerpts.seconds
    return Source(segments, tuner, activity, model_rate, seconds, warnings, seconds)


def _excerpts_of(
    mono: np.ndarray, warnings: list[str], rate: float, count: int, length: float
) -> Excerpts | None:
    """What `read_excerpts` would read from a file of these samples."""
    starts = spread(len(mono) / rate, count, length)
    parts = [mono[round(s * rate) :][: round(length * rate)] for s in starts]
    if not parts:
        return None
    return Excerpts(rate, len(mono) / rate, starts, tuple(parts), tuple(warnings))


class Activity:
    """Watches a stream go by: how long it is, and whether it holds enough sound."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._frame = max(1, round(rate * ACTIVITY_FRAME_SECONDS))
        self._levels: list[np.ndarray] = []  # of the whole frames so far
        self._rest = np.empty(0, dtype=np.float32)  # what follows them
        self.samples = 0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass the blocks on."""
        for block in blocks:
            block = np.asarray(block, dtype=np.float32)
            self.samples += len(block)
            seen = np.concatenate([self._rest, block])
            whole = len(seen) - len(seen) % self._frame
            if whole:
                self._levels.append(swing(seen[:whole].reshape(-1, self._frame)))
                seen = seen[whole:].copy()
            self._rest = seen
            yield block

    def no_signal(self) -> list[str]:
        """Why there cannot be a key; empty where there can."""
        if not self.samples:
            return ["silence"]
        rest = [swing(self._rest[None])] if len(self._rest) else []
        levels = np.concatenate([*self._levels, *rest])
        loudest = levels.max()
        if loudest < SILENCE_PEAK:
            return ["silence"]
        active = np.flatnonzero(levels > PAUSE * loudest)
        # The last frame may be cut short by the end.
        ends = np.minimum((active + 1) * self._frame, self.samples)
        seconds = (ends - active * self._frame).sum() / self._rate
        if seconds < MIN_SIGNAL_SECONDS:
            return [f"only {seconds:.2g} s of sound, too little for a key"]
        return []


def swing(samples: np.ndarray) -> np.ndarray:
    """Half the range along the last axis: its peak, but 0 for a constant, which is no sound."""
    return np.asarray(samples.max(axis=-1) / 2 - samples.min(axis=-1) / 2)


def _as_file(recording: Recording) -> str | os.PathLike[str] | BinaryIO | None:
    """A path, or a file that can be read from anywhere; None for samples."""
    if isinstance(recording, (str, os.PathLike)):
        return recording
    if isinstance(recording, (bytes, bytearray, memoryview)):
        return io.BytesIO(recording)
    if not hasattr(recording, "read"):
        return None
    file = cast(BinaryIO, recording)
    if isinstance(file, io.TextIOBase):
        raise TypeError('a file object must be binary, as open(path, "rb") gives it')
    if hasattr(file, "seekable") and file.seekable() and not file.tell():
        return file
    return io.BytesIO(file.read())  # formats point to places in their file


def _as_samples(samples: Any, sample_rate: float | None, channels_first: bool | None) -> np.ndarray:
    """Samples that are fit for `stonekey.audio.resample`, (samples,) or (samples, channels)."""
    if not isinstance(samples, np.ndarray) and hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        # numpy has no bfloat16.
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    given = type(samples).__name__
    array = np.asarray(samples)
    if not array.ndim and not isinstance(samples, (np.ndarray, np.generic)):
        kinds = "a path, bytes, a binary file object or an array of samples"
        raise TypeError(f"a recording is {kinds}, not {given}")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"samples must be real numbers, got {array.dtype}")
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"expected (samples,) or (samples, channels), got {array.shape}")
    if sample_rate is None:
        raise ValueError("samples need their sample_rate")
    check_rate(sample_rate)  # 44.1 would be a rate in kHz
    if array.ndim == 2:
        array = _channels_last(array, channels_first)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        if not (np.abs(array) <= LOUDEST).all():
            raise ValueError(f"the samples hold NaN, infinite values or ones beyond {LOUDEST:g}")
    return array


def _channels_last(array: np.ndarray, channels_first: bool | None) -> np.ndarray:
    if channels_first is None:
        rows, columns = array.shape
        if min(rows, columns) > MOST_CHANNELS:
            raise ValueError(
                f"{array.shape} could be (samples, channels) or (channels, samples): "
                "say which with channels_first"
            )
        channels_first = rows <= MOST_CHANNELS < columns
    return array.T if channels_first else array
