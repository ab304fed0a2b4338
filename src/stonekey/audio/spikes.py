"""Spikes: single samples so loud that scaling to their peak would silence the rest."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]

# Times the level (RMS) of the rest of the block.
FACTOR = 1000.0
# At most this many samples of a block, and this many in a row. Music that starts or stops at the
# end of a block looks like a spike, but is never this many times louder than full scale.
_MOST, _LONGEST, _NEVER = 64, 8, 10.0


def find_spikes(
    channels: Samples, mono: Samples, energy: float, full: float
) -> npt.NDArray[np.bool_] | None:
    """Which samples of a block are spikes.

    Args:
        channels: (n,) or (n, channels).
        mono: their mean, (n,), 1 standing for full scale.
        energy: the sum of its squares.
        full: full scale of ``channels``.

    Returns:
        None for none, or a mask of the shape of ``channels``.
    """
    if len(mono) < 2:
        return None
    # A cheap check first: spikes hold nearly all of the energy.
    peak = max(float(mono.max()), -float(mono.min()))
    if 2 * _MOST * peak * peak < energy < np.inf:
        return None
    levels = np.abs(channels) if channels.ndim == 1 else np.abs(channels).max(axis=1)
    most = min(_MOST, len(levels) // 8)
    rest = np.partition(levels, -most - 1)[: len(levels) - most].astype(np.float64)
    limit = FACTOR * float(np.sqrt(np.mean(rest**2)))
    high = np.flatnonzero(levels > limit)
    if not limit or not 0 < len(high) <= most:
        return None
    mask = np.zeros(channels.shape, bool)
    for run in np.split(high, np.flatnonzero(np.diff(high) > 1) + 1):
        inside = run[0] > 0 and run[-1] < len(levels) - 1
        if len(run) <= _LONGEST and (inside or levels[run].min() > _NEVER * full):
            mask[run] = np.abs(channels[run]) > limit
    return mask if mask.any() else None
