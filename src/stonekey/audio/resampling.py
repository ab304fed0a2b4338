"""Change of sampling rate, after the mix to mono (soxr, quality HQ)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from stonekey.audio.mixing import Samples, mix

QUALITY = "HQ"
# Hz. A file with another rate is damaged or not sound, and resampling it could exhaust memory.
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000
# Most samples that one resampling step returns.
_STEP = 1 << 20


def check_rate(rate: float) -> None:
    """Raise ValueError for an implausible sampling rate."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(
            f"a sampling rate is in Hz, between {LOWEST_RATE} and {HIGHEST_RATE}; got {rate:.9g}"
        )


class BlockResampler:
    """Mono float32 blocks from one rate (Hz) to another, with no seam between the blocks."""

    def __init__(self, from_rate: float, to_rate: float) -> None:
        self.from_rate = from_rate
        self._step = max(1, int(_STEP * min(1.0, from_rate / to_rate)))
        self._stream: Any = None
        if from_rate != to_rate:
            import soxr

            self._stream = soxr.ResampleStream(
                from_rate, to_rate, 1, dtype="float32", quality=QUALITY
            )

    def push(self, block: Samples) -> Iterator[Samples]:
        """Yield what is ready at the new rate once ``block`` (n,) has been added, in pieces."""
        if self._stream is None:
            yield block
            return
        for start in range(0, len(block), self._step):
            out: Samples = self._stream.resample_chunk(block[start : start + self._step])
            yield out

    def flush(self) -> Samples:
        """Return the samples still inside; call once, at the end."""
        if self._stream is None:
            return np.empty(0, np.float32)
        out: Samples = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
        return out


def resample(samples: npt.ArrayLike, from_rate: float, to_rate: float) -> Samples:
    """Mix to mono, then change the sampling rate.

    Args:
        samples: (n,) or (n, channels); integers are taken as full-scale PCM.
        from_rate: rate of ``samples`` in Hz, 1 kHz to 1 MHz.
        to_rate: rate wanted, likewise.

    Returns:
        Mono float32, (about n * to_rate / from_rate,).

    Raises:
        ValueError: a rate out of range, or a shape that is neither of the two.
    """
    check_rate(from_rate)
    check_rate(to_rate)
    array = np.asarray(samples)
    if array.ndim not in (1, 2):
        raise ValueError(f"samples must be (n,) or (n, channels), not {array.shape}")
    if array.ndim == 2 and (array.shape[1] == 0 or array.shape[1] > max(64, array.shape[0])):
        raise ValueError(f"samples must be (n, channels), not {array.shape}: transpose them?")
    mono, _ = mix(array, from_rate)
    if from_rate == to_rate or mono.size == 0:
        return mono
    import soxr

    out: Samples = soxr.resample(mono, from_rate, to_rate, quality=QUALITY)
    return out
