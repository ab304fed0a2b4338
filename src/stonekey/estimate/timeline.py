"""Keys over time: probabilities on a grid, smoothed into spans of one key each.

The grid is made of short, overlapping segments, called windows. The Viterbi algorithm finds the
sequence of keys (or key signatures) that explains them best, where a change of key has a price
that grows with its distance on the circle of fifths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stonekey.estimate.result import ByValue, KeyEstimate, SegmentEstimate
from stonekey.estimate.segments import Windows
from stonekey.keys import ClassLabel, Key
from stonekey.model.confidence import answer_of
from stonekey.model.info import ModelInfo

if TYPE_CHECKING:
    from stonekey.estimate.estimator import KeyEstimator
    from stonekey.estimate.source import Recording, Source

DEFAULT_HOP = 2.0
# Shorter windows hear single chords, longer ones blur the change (docs/timeline.md).
DEFAULT_WINDOW = 8.0
LIMITS = (1.0, 15.0)  # seconds, of hop and window

# Prices in nats: of any change, and of each step on the circle of fifths.
CHANGE_PRICE = 4.5
STEP_PRICE = 0.5
# A change of mode counts as so many steps, added to the distance of the key signatures.
MODE_STEP = 0.5
# Share of a window's probability that is spread over all keys, so that one confident but wrong
# window cannot outweigh all others.
DOUBT = 0.03


@dataclass(frozen=True)
class KeySpan:
    """A stretch in one key, from ``start`` to ``end`` in seconds.

    ``confidence``, 0 to 1, is the probability of the key as if the span were a recording; the only
    span of a recording has the recording's. ``label`` is None only where `confident` removed a key.
    """

    start: float
    end: float
    label: ClassLabel | None
    confidence: float


@dataclass(frozen=True)
class Modulation:
    """A change of key at ``time`` in seconds.

    ``confidence``, 0.5 to 1, compares two keys, one before and one after, with the best single
    key for both spans: a logistic function of the gain in log-likelihood less the price of the
    change.
    """

    time: float
    before: ClassLabel
    after: ClassLabel
    confidence: float


@dataclass(frozen=True, eq=False)
class Timeline(ByValue):
    """The keys of a recording over time.

    Attributes:
        estimate: the key of the whole recording, as `stonekey.KeyEstimator` answers it.
        times: centres of the windows in seconds, (n,).
        probabilities: of each window, (n, outputs), columns as in ``class_table``.
        labels: key of each window after smoothing, n of them.
        spans: stretches of one key, which follow each other from 0 to the end; empty if the
            recording has no key. A single one is in the key of the whole.
        modulations: changes of key, one between consecutive spans.
        class_table: key or key signature of each column.
        hop: seconds from one window to the next (the last window ends with the recording).
        window: length of a window in seconds.
        notes: where the windows say something else than the whole, in words.
    """

    estimate: KeyEstimate
    times: NDArray[np.float64] = field(repr=False)
    probabilities: NDArray[np.float64] = field(repr=False)
    labels: tuple[ClassLabel, ...] = field(repr=False)
    spans: tuple[KeySpan, ...]
    modulations: tuple[Modulation, ...]
    class_table: tuple[ClassLabel, ...] = field(repr=False)
    hop: float
    window: float
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Length of the recording in seconds."""
        return self.estimate.duration

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.estimate.model

    @property
    def tuning(self) -> float | None:
        """Deviation from A = 440 Hz in cents, as in `stonekey.KeyEstimate`."""
        return self.estimate.tuning

    @property
    def warnings(self) -> tuple[str, ...]:
        """Anything a user should know, in words."""
        return (*self.estimate.warnings, *self.notes)


def timeline_windows(hop: float = DEFAULT_HOP, window: float | None = None) -> Windows:
    """The windows of a timeline.

    Args:
        hop: seconds from one window to the next, 1 to 15.
        window: length of a window in seconds, from 3 or ``hop``, whichever is longer, to 15;
            None for 8, or for ``hop`` if that is longer.

    Raises:
        ValueError: out of range.
    """
    window = max(DEFAULT_WINDOW, hop) if window is None else window
    if not LIMITS[0] <= hop <= LIMITS[1]:
        raise ValueError(f"hop must be {LIMITS[0]:g} to {LIMITS[1]:g} s, got {hop:g}")
    if not max(3.0, hop) <= window <= LIMITS[1]:
        raise ValueError(
            f"window must be {max(3.0, hop):g} (3, and the hop) to {LIMITS[1]:g} s, got {window:g}"
        )
    return Windows(hop, window)


def key_timeline(
    recording: Recording,
    sample_rate: float | None = None,
    *,
    estimator: KeyEstimator | None = None,
    hop: float = DEFAULT_HOP,
    window: float | None = None,
    channels_first: bool | None = None,
    **options: Any,
) -> Timeline:
    """The keys of one recording over time, and its key on the whole.

    Args:
        recording: as `stonekey.KeyEstimator` takes one.
        sample_rate: of samples, in Hz.
        estimator: what answers for the whole, to share among recordings.
        hop: of the windows, as in `timeline_windows`.
        window: likewise.
        channels_first: whether samples are, as for `stonekey.KeyEstimator`.
        options: of `stonekey.KeyEstimator`, if there is no ``estimator``.

    Raises:
        AudioError: the file cannot be read.
        CheckpointError, TypeError, ValueError: as for `timeline_windows` and
            `stonekey.KeyEstimator`; also for the setting ``fast``, as a timeline hears everything.
    """
    from stonekey.estimate.estimator import KeyEstimator

    windows = timeline_windows(hop, window)
    if estimator is None:
        estimator = KeyEstimator(**options)
    elif options:
        raise TypeError(f"an estimator has its options already: {', '.join(options)}")
    if estimator.settings.fast:
        raise ValueError("a timeline hears all of a recording: not with fast")
    with estimator.source(recording, sample_rate, windows, channels_first) as source:
        return timeline_of(source, estimator, windows)


def timeline_of(source: Source, estimator: KeyEstimator, windows: Windows) -> Timeline:
    """The timeline of a recording that is cut into these windows too."""
    estimate, heard = estimator.answer_and_windows(source)
    return smoothed(estimate, heard, windows, estimator.info)


def smoothed(
    estimate: KeyEstimate, heard: Sequence[SegmentEstimate], windows: Windows, info: ModelInfo
) -> Timeline:
    """The timeline of the windows of a recording, which are ``heard`` by a model."""
    table = tuple(info.class_table or ())
    segments = heard if estimate.label is not None else ()
    times = np.array([(s.start + s.end) / 2 for s in segments], dtype=np.float64)
    probabilities = np.array([s.probabilities for s in segments], dtype=np.float64)
    probabilities = probabilities.reshape(-1, len(table))
    labels: tuple[ClassLabel, ...] = ()
    spans: list[KeySpan] = []
    modulations: list[Modulation] = []
    notes: list[str] = []
    if segments and estimate.label is not None:
        # Overlapping windows repeat audio: each counts only for the audio that it adds.
        share = np.diff(times, prepend=times[0] - windows.hop) / windows.seconds
        counted = np.array([s.counted for s in segments])
        evidence = evidence_of(probabilities, share * counted)
        price = change_prices(table)
        path = viterbi(evidence, price)
        labels = tuple(table[i] for i in path)
        starts = [0, *(i for i in range(1, len(path)) if path[i] != path[i - 1])]
        ends = [*starts[1:], len(path)]
        edges = [0.0, *((times[i - 1] + times[i]) / 2 for i in starts[1:]), estimate.duration]
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            used = probabilities[start:end][counted[start:end]]
            confidence = 0.0
            if len(used):
                answer = answer_of(used, info.segment_temperature, info.confidence_temperature)
                confidence = float(answer[path[start]])
            label = table[path[start]]
            spans.append(KeySpan(float(edges[k]), float(edges[k + 1]), label, confidence))
        for k in range(1, len(spans)):
            first, second = (evidence[starts[j] : ends[j]].sum(axis=0) for j in (k - 1, k))
            one, two = path[starts[k - 1]], path[starts[k]]
            gain = first[one] + second[two] - price[one, two] - (first + second).max()
            confidence = float(1 / (1 + np.exp(-max(gain, 0.0))))
            modulations.append(Modulation(spans[k].start, table[one], table[two], confidence))
        if estimate.label not in labels:
            local = " and ".join(str(label) for label in dict.fromkeys(labels))
            shorter = f"windows of {windows.seconds:g} s suggest {local}"
            notes.append(f"{estimate.label} on the whole, but {shorter}")
        if len(spans) == 1:  # one key from start to end: that of the recording
            spans = [KeySpan(0.0, estimate.duration, estimate.label, estimate.confidence)]
            labels = (estimate.label,) * len(labels)
    return Timeline(
        estimate=estimate,
        times=times,
        probabilities=probabilities,
        labels=labels,
        spans=tuple(spans),
        modulations=tuple(modulations),
        class_table=table,
        hop=windows.hop,
        window=windows.seconds,
        notes=tuple(notes),
    )


def confident(timeline: Timeline, minimum: float) -> Timeline:
    """The timeline without the keys and modulations below a confidence.

    A span below ``minimum`` (0 to 1) keeps its place, with ``label`` None. Modulations into or
    out of it are removed, and so are other modulations below ``minimum``. An estimate below it
    becomes "no key".
    """
    spans = tuple(
        span if span.confidence >= minimum else replace(span, label=None) for span in timeline.spans
    )
    modulations = tuple(
        change
        for change, before, after in zip(timeline.modulations, spans, spans[1:], strict=False)
        if before.label and after.label and change.confidence >= minimum
    )
    estimate = timeline.estimate
    if estimate.confidence < minimum:
        estimate = replace(estimate, key=None, signature=None)
    return replace(timeline, estimate=estimate, spans=spans, modulations=modulations)


def evidence_of(
    probabilities: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-likelihood of each key in each window, (n, outputs), for `viterbi`.

    Args:
        probabilities: of each window, (n, outputs).
        share: of each window that counts, (n,), 0 to 1.
    """
    softened = (1 - DOUBT) * probabilities + DOUBT / probabilities.shape[1]
    return np.asarray(share[:, None] * np.log(softened))


def change_prices(labels: Sequence[ClassLabel]) -> NDArray[np.float64]:
    """Prices in nats of a change from key (row) to key (column), (n, n); 0 on the diagonal."""

    def price(one: ClassLabel, other: ClassLabel) -> float:
        if one == other:
            return 0.0
        steps = float(one.signature.fifths_distance(other))
        if isinstance(one, Key) and isinstance(other, Key) and one.mode != other.mode:
            steps += MODE_STEP
        return CHANGE_PRICE + STEP_PRICE * steps

    return np.array([[price(one, other) for other in labels] for one in labels])


def viterbi(evidence: NDArray[np.float64], price: NDArray[np.float64]) -> list[int]:
    """The best sequence of states, by the Viterbi algorithm.

    Args:
        evidence: log-likelihood of each state at each step, (n, states), n at least 1.
        price: of going from state (row) to state (column), (states, states).

    Returns:
        The n states with the largest sum of evidence less prices.
    """
    best = evidence[0]
    previous = np.zeros(evidence.shape, dtype=np.int64)
    for step in range(1, len(evidence)):
        reached = best[:, None] - price
        previous[step] = reached.argmax(axis=0)
        best = reached.max(axis=0) + evidence[step]
    path = [int(best.argmax())]
    for step in range(len(evidence) - 1, 0, -1):
        path.append(int(previous[step, path[-1]]))
    return path[::-1]
