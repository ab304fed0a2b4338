"""stonekey: the musical key of recordings.

    >>> from stonekey import KeyEstimator
    >>> estimate = KeyEstimator()("song.mp3")
    >>> print(estimate.key, estimate.confidence)

Importing this loads nothing heavy; names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stonekey.version import __version__

if TYPE_CHECKING:
    from stonekey.audio import AudioError
    from stonekey.checkpoint import CheckpointError
    from stonekey.estimate import KeyEstimate, SegmentEstimate
    from stonekey.estimator import KeyEstimator
    from stonekey.keys import Key, KeySignature

_HOME = {
    "AudioError": "stonekey.audio",
    "CheckpointError": "stonekey.checkpoint",
    "Key": "stonekey.keys",
    "KeyEstimate": "stonekey.estimate",
    "KeyEstimator": "stonekey.estimator",
    "KeySignature": "stonekey.keys",
    "SegmentEstimate": "stonekey.estimate",
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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'stonekey' has no attribute {name!r}")
