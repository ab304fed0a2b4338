"""The key of what is playing, from samples as they come.

Every few seconds the network hears the last segment. The answer pools the segments since the last
change of key, as a recording's does, and no more than the last minute of them. A change of key is
taken to have happened when two keys, one before and one after, explain the segments better than any
single one by more than the price of a change (`stonekey.estimate.timeline.change_prices`). Silence
starts anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stonekey.audio.mixing import Mixer
from stonekey.audio.resampling import BlockResampler, check_rate, resample
from stonekey.estimate.estimator import KeyEstimator
from stonekey.estimate.result import KeyEstimate, SegmentEstimate
from stonekey.estimate.source import (
    ACTIVITY_FRAME_SECONDS,
    MOST_CHANNELS,
    PAUSE,
    SILENCE_PEAK,
    Activity,
    swing,
)
from stonekey.estimate.timeline import DOUBT, change_prices
from stonekey.keys import ClassLabel, Key, KeySignature

# Of one key: more than the tuner hears, and what KeyEstimator's answers change little after.
DEFAULT_WINDOW_SECONDS = 60.0
# A third of the default model's segment.
DEFAULT_EVERY_SECONDS = 3.0
# No pause within a piece, as a rule, but the one between two.
SILENCE_SECONDS = 2.0
# Frames that are mixed at a time, so that the mix does not depend on how they came.
_BLOCK = 8192


@dataclass(frozen=True)
class LiveAnswer:
    """The key of what is playing.

    Attributes:
        time: seconds from the start of the samples to the end of what this answer has heard.
        since: when the music began that it speaks of: the start, the last change of key or the last
            silence, in seconds likewise.
        estimate: the answer, as for a recording. Its ``segments`` are the ones that were pooled, its
            ``duration`` is the length of what they cover.
    """

    time: float
    since: float
    estimate: KeyEstimate

    @property
    def key(self) -> Key | None:
        """The key; None for "no key", and for a 12-signature model."""
        return self.estimate.key

    @property
    def signature(self) -> KeySignature | None:
        """The key signature; None for "no key"."""
        return self.estimate.signature

    @property
    def label(self) -> ClassLabel | None:
        """The answer: a key, a key signature, or None for "no key"."""
        return self.estimate.label

    @property
    def confidence(self) -> float:
        """Probability of the answer, 0 to 1."""
        return self.estimate.confidence

    @property
    def probabilities(self) -> dict[ClassLabel, float]:
        """Of each key or key signature; empty for silence."""
        return self.estimate.probabilities

    def to_dict(self, notation: str = "musical", top: int | None = None) -> dict[str, Any]:
        """The record: ``time`` and ``since`` in seconds, then the fields of `KeyEstimate.to_dict`."""
        times = {"time": round(self.time, 3), "since": round(self.since, 3)}
        return {**times, **self.estimate.to_dict(notation, top)}


@dataclass(frozen=True)
class _Heard:
    """What the network said of the samples ``start`` to ``end`` at the model's rate.

    ``loudness`` is half their range, ``adds`` the share of a segment that none before had heard.
    """

    start: int
    end: int
    loudness: float
    output: NDArray[np.float32]
    adds: float


class LiveEstimator:
    """Takes samples as they come and says the key of what is playing.

    Its memory is bounded, and its answers do not depend on how the samples are cut. While one key
    plays, they are those of ``KeyEstimator(model, overlap=1 - every_seconds / segment_seconds)`` for
    what was played since `LiveAnswer.since`, but for a key that is kept although another is slightly
    more probable (`stonekey.estimate.estimator.OVERTAKES`).

    Args:
        estimator: what answers, or the name or path of its model.
        sample_rate: of the samples, in Hz.
        channels: number of channels.
        window_seconds: the most that an answer may look back, at least a segment.
        every_seconds: time from one answer to the next, at most a segment.

    Attributes:
        seconds: how much it has been given.

    Raises:
        CheckpointError: as for `stonekey.KeyEstimator`.
        ValueError: for a value out of range; for an estimator with settings that choose segments
            (``fast``, ``overlap``, ``published_segments``).
    """

    def __init__(
        self,
        estimator: KeyEstimator | str | os.PathLike[str],
        sample_rate: float,
        channels: int = 1,
        *,
        window_seconds: float = DEFAULT_WINDOW_SECONDS,
        every_seconds: float = DEFAULT_EVERY_SECONDS,
    ) -> None:
        if not isinstance(estimator, KeyEstimator):
            estimator = KeyEstimator(estimator)
        settings, segment = estimator.settings, estimator.segment_seconds
        if settings.fast or settings.overlap or settings.published_segments:
            raise ValueError("live: not with fast, overlap or published_segments")
        check_rate(sample_rate)
        if not 1 <= channels <= MOST_CHANNELS:
            raise ValueError(f"channels must be 1 to {MOST_CHANNELS}, got {channels}")
        if not 0.5 <= every_seconds <= segment:
            raise ValueError(f"every_seconds must be 0.5 to {segment:g}, got {every_seconds:g}")
        if not segment <= window_seconds <= 600:
            raise ValueError(f"window_seconds must be {segment:g} to 600, got {window_seconds:g}")
        self._estimator = estimator
        self._channels = channels
        self._given_rate = float(sample_rate)
        self._rate = float(estimator.info.front_end.sample_rate)
        self._length = round(segment * self._rate)
        self._window = round(window_seconds * self._rate)
        self._hop = round(every_seconds * self._rate)
        self._prices = _prices(estimator.class_table)
        self._mixer = Mixer()
        self._resampler = BlockResampler(self._given_rate, self._rate)
        self._given = 0  # frames
        self._unmixed = np.empty((0, channels), np.float32)
        self._samples = np.empty(0, np.float32)  # mono at the model's rate, up to the last ones
        self._origin = 0  # place of the first of them
        self._next = self._hop  # where the next answer is due
        self._ended = False
        self._anew(0)

    def _anew(self, place: int) -> None:
        """Forget what was heard before a place."""
        self._since = place  # of the music at hand
        self._heard: list[_Heard] = []
        self._label: ClassLabel | None = None  # last answered
        self._cents: float | None = None  # by which the last segment's pitch was lowered

    @property
    def seconds(self) -> float:
        """How much it has been given."""
        return self._given / self._given_rate

    def push(self, samples: NDArray[np.generic]) -> list[LiveAnswer]:
        """Add samples, and return the answers that became due, oldest first.

        Args:
            samples: the next ones, (n,) or (n, channels); float32 with a full scale of 1, or
                integers as full-scale PCM. Those that are no number count as 0.

        Raises:
            ValueError: for another shape or type, or after `flush`.
        """
        if self._ended:
            raise ValueError("no samples can follow the end")
        array = np.asarray(samples)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"samples must be real numbers, got {array.dtype}")
        if array.ndim == 1 and self._channels == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != self._channels:
            raise ValueError(f"expected (n, {self._channels}) samples, got {array.shape}")
        self._given += len(array)
        if array.dtype.kind != "f":
            scale = 2.0 ** (8 * array.dtype.itemsize - 1)
            array = (array.astype(np.float64) - scale * (array.dtype.kind == "u")) / scale
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        waiting = np.concatenate([self._unmixed, array])
        whole = len(waiting) - len(waiting) % _BLOCK
        self._unmixed = waiting[whole:]
        answers: list[LiveAnswer] = []
        for start in range(0, whole, _BLOCK):
            answers += self._mixed(waiting[start : start + _BLOCK])
        return answers

    def flush(self) -> list[LiveAnswer]:
        """End the samples: the answers still due, the last one for all that was heard."""
        if self._ended:
            return []
        self._ended = True
        answers = self._mixed(self._unmixed) if len(self._unmixed) else []
        answers += self._add(self._resampler.flush())
        end = self._origin + len(self._samples)
        if end > self._next - self._hop:
            answers.append(self._answer(end))
        return answers

    def _mixed(self, block: NDArray[np.float32]) -> list[LiveAnswer]:
        mono = self._mixer(block, self._given_rate)
        return [answer for piece in self._resampler.push(mono) for answer in self._add(piece)]

    def _add(self, block: NDArray[np.float32]) -> list[LiveAnswer]:
        """Samples at the model's rate."""
        self._samples = np.concatenate([self._samples, block])
        answers = []
        while self._origin + len(self._samples) >= self._next:
            answers.append(self._answer(self._next))
            self._next += self._hop
        drop = len(self._samples) - self._window - self._hop
        if drop > 0:
            self._samples = self._samples[drop:]
            self._origin += drop
        return answers

    def _part(self, start: int, end: int) -> NDArray[np.float32]:
        return self._samples[max(0, start - self._origin) : end - self._origin]

    def _answer(self, end: int) -> LiveAnswer:
        """The answer at a place, which no earlier one follows."""
        oldest = max(self._since, end - self._window)
        quiet = _last_silence(self._part(oldest, end), self._rate)
        if quiet is not None:
            self._anew(oldest + quiet)
            oldest = self._since
        known = self._part(oldest, end)
        activity = Activity(self._rate)
        for _ in activity.watch([known]):
            pass
        no_signal = activity.no_signal()
        cents = None
        if not no_signal:
            cents = self._hear(oldest, end)
        self._heard = [h for h in self._heard if h.start >= oldest]
        if (change := self._change()) is not None:
            # Half-way between the centres of the windows, as in a timeline.
            first, second = self._heard[change - 1 : change + 1]
            self._since = oldest = round((first.start + first.end + second.start + second.end) / 4)
            self._heard = self._heard[change:]
            self._label = None
        peak = float(np.abs(known).max(initial=0.0))
        segments = [
            SegmentEstimate(
                h.start / self._rate, h.end / self._rate, h.output, h.loudness > PAUSE * peak
            )
            for h in self._heard
        ]
        estimate = self._estimator.pooled(
            segments, (end - oldest) / self._rate, cents, self._mixer.warnings, no_signal,
            self._label,
        )  # fmt: skip
        self._label = estimate.label
        return LiveAnswer(end / self._rate, self._since / self._rate, estimate)

    def _hear(self, oldest: int, end: int) -> float | None:
        """Hear the segment that ends at a place; returns the deviation from A = 440 Hz in cents."""
        tuner = self._estimator.settings.tuner()
        known = self._part(oldest, end)
        tuner(known, self._rate)
        lowered = tuner.correction
        if self._cents is not None and self._estimator.settings.tune == "auto":
            # Music half a semitone off must not go from one neighbour to the other.
            lowered += 100 * round((self._cents - lowered) / 100)
        self._cents = lowered
        rate = self._rate * 2 ** (lowered / 1200)
        start = max(oldest, end - round(self._length * self._rate / rate))
        part = known[start - oldest :]
        output = self._estimator.outputs(
            [resample(part / max(np.abs(known).max(), 1e-30), self._rate, rate)[: self._length]]
        )[0]
        if self._heard and self._heard[-1].start == start:  # the same music, now more of it
            self._heard.pop()
        heard_to = self._heard[-1].end if self._heard else start
        adds = (end - max(start, heard_to)) / self._length
        self._heard.append(_Heard(start, end, float(swing(part)), output, adds))
        return tuner.cents

    def _change(self) -> int | None:
        """The number of the first segment of another key; None where there is no change.

        The likelihood ratio of two keys against one, at the best place for the change. Neither the
        keys nor the place are known, so it has to exceed a price, and so has a change back: an answer
        does not flicker. The price suits music that changes key about once in twenty segments, to
        one of 23 others: ln(20 * 23) = 6.1 nats.
        """
        if len(self._heard) < 2:
            return None
        outputs = np.array([h.output for h in self._heard], dtype=np.float64)
        classes = outputs.shape[1]
        softened = (1 - DOUBT) * outputs + DOUBT / classes
        # The last column stands for no key, of which all labels are equally probable.
        softened = np.column_stack([softened, np.full(len(outputs), 1 / classes)])
        evidence = np.array([h.adds for h in self._heard])[:, None] * np.log(softened)
        before = evidence.cumsum(axis=0)
        after = before[-1] - before
        both = (before[:, :, None] + after[:, None, :] - self._prices).max(axis=1)[:-1]
        # What is answered now is nothing to change to.
        now = self._estimator.class_table.index(self._label) if self._label else classes
        both[:, now] = -np.inf
        both = both.max(axis=1)
        best = int(both.argmax())
        return best + 1 if both[best] > before[-1].max() else None


def _prices(table: Sequence[ClassLabel]) -> NDArray[np.float64]:
    """Prices of a change among the labels, and last "no key", to which all are equally far."""
    among = change_prices(table)
    count = len(table)
    prices = np.full((count + 1, count + 1), among.sum() / (count * (count - 1)))
    prices[:count, :count] = among
    prices[count, count] = 0.0
    return prices


def _last_silence(samples: NDArray[np.float32], rate: float) -> int | None:
    """Where the last silence of `SILENCE_SECONDS` or more ends; None without one."""
    frame = max(1, round(rate * ACTIVITY_FRAME_SECONDS))
    levels = swing(samples[: len(samples) // frame * frame].reshape(-1, frame))
    if not len(levels):
        return None
    quiet = levels <= max(SILENCE_PEAK, PAUSE * float(levels.max()))
    least = round(SILENCE_SECONDS / ACTIVITY_FRAME_SECONDS)
    if len(quiet) < least:
        return None
    ends = np.flatnonzero(np.convolve(quiet, np.ones(least), "valid") > least - 0.5)
    if not len(ends):
        return None
    after = int(ends[-1]) + least
    return len(samples) if after == len(levels) else after * frame
