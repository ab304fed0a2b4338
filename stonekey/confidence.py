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


def fit_temperature(outputs: Sequence[np.ndarray], labels: Sequence[int]) -> float:
    """The temperature under which recordings' answers are as sure as they are right.

    A recording's answer is the mean over its segments, as in `stonekey.estimator`; what is
    minimised is its negative log likelihood (Guo et al., ICML 2017, there for single outputs).

    Args:
        outputs: for each recording (segments, n) probabilities.
        labels: the output that is right for each.

    Returns:
        The factor for the model's temperature: above 1 for a model that is too sure.

    Raises:
        ValueError: when there are no recordings, or not one label for each.
    """
    if not outputs or len(outputs) != len(labels):
        raise ValueError(f"{len(outputs)} recordings and {len(labels)} labels")

    def loss(temperature: float) -> float:
        right = [
            tempered(segments, temperature).mean(axis=0)[label]
            for segments, label in zip(outputs, labels, strict=True)
        ]
        return -float(np.log(np.maximum(right, _SMALLEST)).mean())

    return float(min(TEMPERATURES, key=loss))


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
