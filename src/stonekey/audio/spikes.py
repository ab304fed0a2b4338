"""Single samples far above all others: no sound, but a peak that would make silence of the rest."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]

# Times the level (RMS) of the rest of the block.
FACTOR = 1000.0
# At most so many samples of a block, and so many in a row. Music that starts or stops at a block's
# end looks like a spike, but never is so many times louder than full scale.
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
    # Cheap: with spikes, nearly all of the energy is theirs.
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
