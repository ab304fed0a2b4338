"""The key of what is playing: samples in as they come, an answer every few seconds.

The last seconds are a window for the network; the windows of the last minute are smoothed as in a
timeline (`stonekey.estimate.timeline`), so that a change of key has a price, and the answer is
that of the windows since the last change.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stonekey.audio.mixing import Mixer, Samples, full_scale
from stonekey.audio.resampling import check_rate, resample
from stonekey.estimate.estimator import KeyEstimator
from stonekey.estimate.record import Field
from stonekey.estimate.result import KeyEstimate, SegmentEstimate
from stonekey.estimate.source import PAUSE, SILENCE_PEAK, swing
from stonekey.estimate.timeline import (
    DEFAULT_HOP,
    DEFAULT_WINDOW,
    LIMITS,
    change_prices,
    evidence_of,
    viterbi,
)

# Less than this says nothing about a key.
FIRST_SECONDS = 3.0
# What came before is forgotten. Longer changes little: the lead of one key over another is never
# more than the price of changing.
MEMORY_SECONDS = 60.0
# The tuning is that of so many seconds: of fewer it wavers.
TUNED_SECONDS = 30.0
# Share of a timeline's prices, which may wait for what follows: the key of the next piece comes in
# 12 s instead of 16, and within one it changes no more often (14 pieces of the dev set).
PRICE = 0.5

SECONDS = Field("time", float, 2)


@dataclass(frozen=True)
class LiveAnswer:
    """What is playing at ``time``.

    Attributes:
        time: seconds since the start.
        since: when this key began, in the same seconds; None where there is no key.
        estimate: the answer, as that of a recording which began then; ``warnings`` holds "silence"
            where nothing is heard.
    """

    time: float
    since: float | None
    estimate: KeyEstimate

    def to_dict(self, notation: str = "musical", top: int = 3) -> dict[str, Any]:
        """The fields of a JSON record: the two times, and those of the estimate."""
        times = {"time": SECONDS.rounded(self.time), "since": SECONDS.rounded(self.since)}
        return {**times, **self.estimate.to_dict(notation, top)}


class LiveEstimator:
    """Hears a stream, and says its key every few seconds.

    The answers do not depend on how the samples are divided among calls. What is kept is the sound
    of the last half minute and the outputs of the last minute, however long the stream. Silence
    from one answer to the next ends a piece: what follows is heard anew.

    Args:
        estimator: the model, and how its answers are given; ``overlap``, ``fast`` and
            ``published_segments`` say nothing here.
        sample_rate: of the samples, in Hz.
        every: seconds from one answer to the next, 1 to 8.

    Raises:
        ValueError: out of range.
    """

    def __init__(
        self, estimator: KeyEstimator, sample_rate: float, every: float = DEFAULT_HOP
    ) -> None:
        check_rate(sample_rate)
        if not LIMITS[0] <= every <= DEFAULT_WINDOW:
            raise ValueError(
                f"an answer every {LIMITS[0]:g} to {DEFAULT_WINDOW:g} s is possible, not {every:g}"
            )
        self.estimator = estimator
        self.sample_rate = sample_rate
        self._step = round(every * sample_rate)
        self._mixer = Mixer()
        self._prices = PRICE * change_prices(estimator.class_table)
        self._heard = 0
        self._waiting: list[npt.NDArray[Any]] = []
        self._samples_waiting = 0
        self._forget()

    def _forget(self) -> None:
        """Begin a piece."""
        every = self._step / self.sample_rate
        self._sound: deque[Samples] = deque(maxlen=round(TUNED_SECONDS / every))
        self._windows: deque[SegmentEstimate] = deque(maxlen=round(MEMORY_SECONDS / every))
        self._peaks: deque[float] = deque(maxlen=self._windows.maxlen)
        self._answered: LiveAnswer | None = None

    def push(self, samples: npt.ArrayLike) -> list[LiveAnswer]:
        """Hear what follows; returns the answers that it makes due, mostly none or one.

        Args:
            samples: (n,) or (n, channels), floats of full scale 1 or integers; alike in all calls.

        Raises:
            ValueError: for samples of another shape or type than those before.
        """
        array = np.asarray(samples)
        if array.ndim not in (1, 2):
            raise ValueError(f"expected (samples,) or (samples, channels), got {array.shape}")
        full_scale(array.dtype)
        kinds = {(part.dtype, part.shape[1:]) for part in (*self._waiting[:1], array)}
        if len(kinds) > 1:
            raise ValueError(
                f"the samples were {self._waiting[0].dtype}, now {array.dtype} of {array.shape}"
            )
        self._waiting.append(array.copy())  # the caller may use the buffer again
        self._samples_waiting += len(array)
        if self._samples_waiting < self._step:
            return []
        together = np.concatenate(self._waiting)
        whole = len(together) - len(together) % self._step
        self._waiting = [together[whole:].copy()]  # not a view, which would keep them all
        self._samples_waiting -= whole
        starts = range(0, whole, self._step)
        return [self._hear(together[start : start + self._step]) for start in starts]

    def flush(self) -> list[LiveAnswer]:
        """The answer to what has come since the last one, at the end.

        None where nothing has, or only silence after music: a recording's last moment is no pause.
        """
        if not self._samples_waiting:
            return []
        rest = np.concatenate(self._waiting)
        self._waiting, self._samples_waiting = [], 0
        playing = self._answered is not None
        answer = self._hear(rest)
        return [] if playing and self._answered is None else [answer]

    def _hear(self, samples: npt.NDArray[Any]) -> LiveAnswer:
        self._heard += len(samples)
        now = self._heard / self.sample_rate
        mono = self._mixer(samples, self.sample_rate)
        peak = float(swing(mono))
        if peak < max(SILENCE_PEAK, PAUSE * max(self._peaks, default=0.0)):
            self._forget()
            return LiveAnswer(now, None, self.estimator.of_segments((), 0.0, None, ["silence"]))
        self._peaks.append(peak)
        self._sound.append(mono)
        sound = np.concatenate(self._sound)
        tuner = self.estimator.settings.tuner()
        correction = tuner(sound, self.sample_rate)
        window = sound[-round(DEFAULT_WINDOW * self.sample_rate) :]
        seconds = len(window) / self.sample_rate
        if seconds >= FIRST_SECONDS:
            rate = self.estimator.info.front_end.sample_rate * 2 ** (correction / 1200)
            x = resample(window, self.sample_rate, rate)
            output = self.estimator.outputs([x / np.abs(x).max()])[0]
            self._windows.append(SegmentEstimate(now - seconds, now, output))
        answer = self._answer(now, tuner.cents)
        self._answered = answer
        return answer

    def _answer(self, now: float, tuning: float | None) -> LiveAnswer:
        """What the windows since the last change of key say."""
        estimator, windows = self.estimator, tuple(self._windows)
        if not windows:
            return LiveAnswer(now, None, estimator.of_segments((), 0.0, tuning))
        # Each counts for the sound that it adds, which at the end of a stream is less.
        ends = [window.end for window in windows]
        share = np.diff(ends, prepend=ends[0] - self._step / self.sample_rate) / DEFAULT_WINDOW
        evidence = evidence_of(np.stack([w.probabilities for w in windows]).astype(float), share)
        path = viterbi(evidence, self._prices)
        first = next((i + 1 for i in reversed(range(len(path))) if path[i] != path[-1]), 0)
        since = windows[first].start
        # The likeliest by the mean, which is not smoothed, would come and go.
        estimate = estimator.of_segments(windows[first:], now - since, tuning, state=path[-1])
        if estimate.label is None:
            return LiveAnswer(now, None, estimate)
        before = self._answered
        if (
            before is not None
            and before.since is not None
            and before.estimate.label == estimate.label
        ):
            since = before.since
        return LiveAnswer(now, since, estimate)
