"""Make a model's probabilities mean what they say: temperature, and the limit of "no key".

Both are found on recordings that the model was not trained on, and kept in its file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Where the temperature is sought. A model ten times too sure or too modest has other faults.
TEMPERATURES = np.geomspace(0.1, 10, 401)
_SMALLEST = 1e-12


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (..., n) as if their logits had been divided by ``temperature``."""
    logits = np.log(np.maximum(probabilities, _SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


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


def fit_limit(keyless: Sequence[float], music: Sequence[float], most_lost: float = 0.02) -> float:
    """The confidence below which an answer is "no key".

    As high as need be to be above all ``keyless`` confidences, but not so high that more than
    a share of ``most_lost`` of the ``music`` falls below it.

    Raises:
        ValueError: when either is empty.
    """
    if not len(keyless) or not len(music):
        raise ValueError("needs confidences of sounds without a key and of music")
    wanted = float(np.nextafter(max(keyless), 1.0))
    return min(wanted, float(np.quantile(np.asarray(music), most_lost)))
