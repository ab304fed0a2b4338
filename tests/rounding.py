"""How far two float32 computations of the same VQT may be apart.

Every magnitude is a sum of 256 products with a kernel whose weights add up to 1. In float32 such a
sum wanders by about the square root of 256 roundings of what it sums, 16 * 2**-24 = 1e-6 of the
loudest; in which direction depends on the order of the terms, and so on the processor and the
library. Two computations are therefore within 2e-6 of the loudest of each other, and no closer: in
decibels a bin at 1e-7 of the loudest holds nothing but rounding noise.
"""

from __future__ import annotations

import numpy as np

SUMS = 2e-6


def log_slack(log: np.ndarray) -> np.ndarray:
    """What ``SUMS`` allows a log-VQT (batch, 1, bins, frames), cell by cell.

    Its derivative by the magnitude m is 1 / (8 ln(10) m); 1e-6 for the logarithm itself.
    """
    relative = 10.0 ** (8 * (log.astype(np.float64) - log.max(axis=(1, 2, 3), keepdims=True)))
    return np.asarray(1e-6 + SUMS / (8 * np.log(10) * relative))


def assert_same_log(a: np.ndarray, b: np.ndarray) -> None:
    """Two log-VQTs (batch, 1, bins, frames) are equal but for the roundings of their sums."""
    assert a.shape == b.shape
    assert (np.abs(a - b) <= log_slack(b)).all()
