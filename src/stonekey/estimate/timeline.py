"""Keys over time: probabilities on a grid, smoothed into spans of one key each.

The grid is made of short, overlapping segments, called windows. The Viterbi algorithm finds the
sequence of keys (or key signatures) that explains them best, where a change of key has a price
that grows with its distance on the circle of fifths.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stonekey.estimate.result import KeyEstimate
from stonekey.keys import ClassLabel, Key
from stonekey.model.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from stonekey.estimate.estimator import KeyEstimator, Samples

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

    ``confidence`` is the mean probability of the key over the span's windows, 0 to 1.
    ``label`` is None only where `confident` removed a key.
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


@dataclass(frozen=True)
class Timeline:
    """The keys of a recording over time.

    Attributes:
        times: centres of the windows in seconds, (n,).
        probabilities: of each window, (n, outputs), columns as in ``class_table``.
        labels: key of each window after smoothing, n of them.
        spans: stretches of one key, which follow each other from 0 to the end; empty if the
            recording has no key.
        modulations: changes of key, one between consecutive spans.
        class_table: key or key signature of each column.
        hop: seconds from one window to the next (the last window ends with the recording).
        window: length of a window in seconds.
        duration: length of the recording in seconds.
        model: name of the model.
        tuning: deviation from A = 440 Hz in cents, as in `stonekey.KeyEstimate`.
        warnings: anything a user should know, in words.
    """

    times: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    labels: tuple[ClassLabel, ...]
    spans: tuple[KeySpan, ...]
    modulations: tuple[Modulation, ...]
    class_table: tuple[ClassLabel, ...]
    hop: float
    window: float
    duration: float
    model: str
    tuning: float | None = None
    warnings: tuple[str, ...] = ()


def timeline_estimator(
    model: str | os.PathLike[str] | KeyEstimator = DEFAULT_MODEL,
    hop: float = DEFAULT_HOP,
    window: float | None = None,
    **options: Any,
) -> KeyEstimator:
    """An estimator whose segments are the windows of a timeline.

    Args:
        model: name or path of a model, or an estimator that has it loaded.
        hop: seconds from one window to the next, 1 to 15.
        window: length of a window in seconds, from 3 or ``hop``, whichever is longer, to 15;
            None for 8, or for ``hop`` if that is longer.
        options: ``settings``, or settings by name, as `stonekey.KeyEstimator` takes them.

    Raises:
        CheckpointError: the model is not found or cannot be read.
        ValueError: for a setting out of range.
    """
    from stonekey.estimate.estimator import KeyEstimator

    window = max(DEFAULT_WINDOW, hop) if window is None else window
    if not LIMITS[0] <= hop <= LIMITS[1]:
        raise ValueError(f"hop must be {LIMITS[0]:g} to {LIMITS[1]:g} s, got {hop:g}")
    if not max(3.0, hop) <= window <= LIMITS[1]:
        raise ValueError(
            f"window must be {max(3.0, hop):g} (3, and the hop) to {LIMITS[1]:g} s, got {window:g}"
        )
    options |= {"segment_seconds": window, "overlap": 1 - hop / window}
    if isinstance(model, KeyEstimator):
        return model.with_settings(**options)
    return KeyEstimator(model, **options)


def key_timeline(
    recording: str | os.PathLike[str] | Samples,
    sample_rate: float | None = None,
    *,
    estimator: KeyEstimator | None = None,
    **settings: Any,
) -> Timeline:
    """The keys of one recording over time.

    Args:
        recording: a path, or samples as `stonekey.KeyEstimator` takes them.
        sample_rate: of samples, in Hz.
        estimator: from `timeline_estimator`, to share among recordings.
        settings: arguments of `timeline_estimator` if there is no ``estimator``.

    Raises:
        AudioError: the file cannot be read.
        CheckpointError, ValueError: as for `timeline_estimator` and `stonekey.KeyEstimator`.
    """
    estimator = estimator or timeline_estimator(**settings)
    return timeline_of(estimator(recording, sample_rate), estimator)


def timeline_of(estimate: KeyEstimate, estimator: KeyEstimator) -> Timeline:
    """The timeline of what an estimator of `timeline_estimator` has answered."""
    window = estimator.segment_seconds
    hop = window * (1 - estimator.settings.overlap)
    return smoothed(estimate, hop, window, estimator.class_table)


def smoothed(
    estimate: KeyEstimate, hop: float, window: float, class_table: Sequence[ClassLabel]
) -> Timeline:
    """The timeline of an estimate whose segments are windows of ``window`` s every ``hop`` s."""
    table = tuple(class_table)
    segments = estimate.segments if estimate.label is not None else ()
    times = np.array([(s.start + s.end) / 2 for s in segments], dtype=np.float64)
    probabilities = np.array([s.probabilities for s in segments], dtype=np.float64)
    probabilities = probabilities.reshape(-1, len(table))
    path: list[int] = []
    spans: list[KeySpan] = []
    modulations: list[Modulation] = []
    if segments:
        # Overlapping windows repeat audio: each counts only for the audio that it adds.
        share = np.diff(times, prepend=times[0] - hop) / window
        counted = np.array([s.counted for s in segments])
        softened = (1 - DOUBT) * probabilities + DOUBT / len(table)
        evidence = (share * counted)[:, None] * np.log(softened)
        price = change_prices(table)
        path = viterbi(evidence, price)
        starts = [0, *(i for i in range(1, len(path)) if path[i] != path[i - 1])]
        ends = [*starts[1:], len(path)]
        edges = [0.0, *((times[i - 1] + times[i]) / 2 for i in starts[1:]), estimate.duration]
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            used = probabilities[start:end][counted[start:end]]
            confidence = float(used[:, path[start]].mean()) if len(used) else 0.0
            label = table[path[start]]
            spans.append(KeySpan(float(edges[k]), float(edges[k + 1]), label, confidence))
        for k in range(1, len(spans)):
            first, second = (evidence[starts[j] : ends[j]].sum(axis=0) for j in (k - 1, k))
            one, two = path[starts[k - 1]], path[starts[k]]
            gain = first[one] + second[two] - price[one, two] - (first + second).max()
            confidence = float(1 / (1 + np.exp(-max(gain, 0.0))))
            modulations.append(Modulation(spans[k].start, table[one], table[two], confidence))
    return Timeline(
        times=times,
        probabilities=probabilities,
        labels=tuple(table[i] for i in path),
        spans=tuple(spans),
        modulations=tuple(modulations),
        class_table=table,
        hop=hop,
        window=window,
        duration=estimate.duration,
        model=estimate.model,
        tuning=estimate.tuning,
        warnings=estimate.warnings,
    )


def confident(timeline: Timeline, minimum: float) -> Timeline:
    """The timeline without the keys and modulations below a confidence.

    A span below ``minimum`` (0 to 1) keeps its place, with ``label`` None. Modulations into or
    out of it are removed, and so are other modulations below ``minimum``.
    """
    spans = tuple(
        span if span.confidence >= minimum else replace(span, label=None) for span in timeline.spans
    )
    modulations = tuple(
        change
        for change, before, after in zip(timeline.modulations, spans, spans[1:], strict=False)
        if before.label and after.label and change.confidence >= minimum
    )
    return replace(timeline, spans=spans, modulations=modulations)


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
