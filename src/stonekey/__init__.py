"""stonekey: the musical key of recordings.

    >>> from stonekey import KeyEstimator
    >>> estimate = KeyEstimator()("song.mp3")
    >>> print(estimate.key, estimate.confidence)

Importing this loads nothing heavy; names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stonekey import _moved

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stonekey.audio import AudioError
    from stonekey.estimate.estimator import KeyEstimator
    from stonekey.estimate.result import KeyEstimate, SegmentEstimate
    from stonekey.keys import Key, KeySignature
    from stonekey.model.checkpoint import CheckpointError

_HOME = {
    "AudioError": "stonekey.audio",
    "CheckpointError": "stonekey.model.checkpoint",
    "Key": "stonekey.keys",
    "KeyEstimate": "stonekey.estimate.result",
    "KeyEstimator": "stonekey.estimate.estimator",
    "KeySignature": "stonekey.keys",
    "SegmentEstimate": "stonekey.estimate.result",
}

__all__ = [
    "AudioError",
    "CheckpointError",
    "Key",
    "KeyEstimate",
    "KeyEstimator",
    "KeySignature",
    "SegmentEstimate",
    "__version__",
]
_moved.install()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'stonekey' has no attribute {name!r}")
