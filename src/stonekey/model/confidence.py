"""Make a model's probabilities mean what they say: temperature, and the limit of "no key".

Both are found on recordings that the model was not trained on, and kept in its file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stonekey.keys import ClassLabel

# Where the temperature is sought. A model ten times too sure or too modest has other faults.
TEMPERATURES = np.geomspace(0.1, 10, 401)
# Probabilities below this are taken as this.
SMALLEST = 1e-12


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (..., n) as if their logits had been divided by ``temperature``."""
    logits = np.log(np.maximum(probabilities, SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def mean_of_segments(segments: Sequence[np.ndarray], temperature: float = 1.0) -> np.ndarray:
    """A recording's probabilities: the mean over its segments.

    Args:
        segments: (classes,) probabilities of each.
        temperature: of each before the mean. Above 1 the mean comes nearer to the product:
            it knows how close the second best was, and near-ties are decided by all of the music.
    """
    stacked = np.stack(segments)
    if temperature != 1:
        stacked = tempered(stacked, temperature)
    return np.asarray(stacked.mean(axis=0, dtype=np.float64))


def holds_for_whole(
    segments: Sequence[np.ndarray], share: float, temperature: float = 1.0
) -> float:
    """How probable it is that the whole recording's mean has the same best class as its parts'.

    The lead of the best class over each other one, seen in a sample without replacement, is taken
    as normally distributed; the least certain lead decides.

    Args:
        segments: (classes,) probabilities of each segment heard.
        share: of the recording that was heard, 0 to 1.
        temperature: as in `mean_of_segments`.
    """
    if len(segments) < 2:
        return 1.0 if share >= 1 else 0.5
    outputs = tempered(np.stack(segments).astype(np.float64), temperature)
    best = int(outputs.mean(axis=0).argmax())
    leads = np.delete(outputs[:, best, None] - outputs, best, axis=1)
    spread = leads.std(axis=0, ddof=1) * math.sqrt(max(1 - share, 0.0) / len(segments))
    sure = leads.mean(axis=0) / np.maximum(spread, SMALLEST)
    return float(0.5 * math.erfc(-sure.min() / math.sqrt(2)))


def answer_of(
    segments: Sequence[np.ndarray], segment_temperature: float, confidence_temperature: float
) -> np.ndarray:
    """The probabilities that are answered: the mean over segments, as sure as it is right.

    Args:
        segments: (classes,) probabilities of each.
        segment_temperature: of each before the mean (`mean_of_segments`).
        confidence_temperature: of the mean (`fit_temperature`).
    """
    mean = mean_of_segments(segments, segment_temperature)
    return mean if confidence_temperature == 1 else tempered(mean, confidence_temperature)


def signatures_of(table: Sequence[ClassLabel]) -> np.ndarray:
    """(classes, 12): 1 where a class belongs to the signature."""
    tonics = np.array([label.signature.tonic for label in table])
    return np.asarray(tonics[:, None] == np.arange(12), dtype=np.float64)


def fit_temperature(means: Sequence[np.ndarray], labels: Sequence[int]) -> float:
    """The temperature under which recordings' answers are as sure as they are right on the whole.

    Of the mean over a recording's segments, which says in how much of the music a key is heard, not
    how sure it is that the whole is in that key. The mean confidence is made equal to the accuracy;
    a likelihood would be ruled by the few pieces whose label is wrong.

    Args:
        means: for each recording (n,) mean probabilities.
        labels: the output that is right for each.

    Returns:
        The temperature of `tempered`: below 1 where the means are too modest.

    Raises:
        ValueError: when there are no recordings, or not one label for each.
    """
    if not len(means) or len(means) != len(labels):
        raise ValueError(f"{len(means)} recordings and {len(labels)} labels")
    stacked = np.stack(means)
    accuracy = (stacked.argmax(axis=1) == np.asarray(labels)).mean()

    def gap(temperature: float) -> float:
        return abs(float(tempered(stacked, temperature).max(axis=1).mean() - accuracy))

    return float(min(TEMPERATURES, key=gap))


def clarity(segments: Sequence[np.ndarray], table: Sequence[ClassLabel]) -> float:
    """How clear the segments' signatures are: the mean of each one's largest, 1/12 to 1.

    Unlike the confidence of the answer it is high for music that goes from key to key, or stays
    between a major key and its relative minor, and low for what has no key at any time.

    Args:
        segments: (classes,) probabilities of each segment, of one recording.
        table: labels of the classes.
    """
    return float((np.stack(segments) @ signatures_of(table)).max(axis=1).mean())


def fit_limit(
    keyless: Sequence[float],
    music: Sequence[float],
    refused: float = 0.97,
    most_lost: float = 0.02,
) -> float:
    """The clarity below which there is no key.

    Args:
        keyless: clarities of sounds without a key, a share ``refused`` of which is to fall below.
        music: clarities of music, of which at most a share of ``most_lost`` may.

    Raises:
        ValueError: when either is empty.
    """
    if not len(keyless) or not len(music):
        raise ValueError("needs clarities of sounds without a key and of music")
    wanted = np.quantile(np.asarray(keyless), refused)
    return float(min(wanted, np.quantile(np.asarray(music), most_lost)))
