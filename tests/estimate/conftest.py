"""An estimator, and music for it."""

from __future__ import annotations

import numpy as np
import pytest

from stonekey import KeyEstimator
from stonekey.keys import Key
from stonekey.synthesis import cadence


@pytest.fixture(scope="module")
def estimator() -> KeyEstimator:
    return KeyEstimator("template", threads=1)


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    """6 s of cadences in E flat minor, at 22 050 Hz."""
    return cadence(Key(3, "minor"), seconds=6.0)
