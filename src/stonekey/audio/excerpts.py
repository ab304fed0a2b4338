"""Parts of a file spread over its length, found by seeking, without decoding what lies between."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stonekey.audio.errors import UnreadableError
from stonekey.audio.mixing import Samples
from stonekey.audio.stream import AudioInput, AudioStream


@dataclass(frozen=True)
class Excerpts:
    """Parts of one recording.

    Attributes:
        rate: samples per second of the parts, the file's own.
        seconds: length of the whole recording, as its header promises.
        starts: where each part starts, in seconds.
        parts: mono float32, (n,) each, equally long.
        warnings: warnings of the decoder.
    """

    rate: float
    seconds: float
    starts: tuple[float, ...]
    parts: tuple[Samples, ...]
    warnings: tuple[str, ...] = ()


def spread(total: float, count: int, length: float) -> tuple[float, ...]:
    """Starts of ``count`` parts, each in the middle of an equal share of ``total``.

    Empty if the parts would touch, since they would then save nothing.
    """
    share = total / count
    if share <= length:
        return ()
    return tuple((i + 0.5) * share - length / 2 for i in range(count))


def read_excerpts(
    source: AudioInput, count: int, length: float, timeout: float | None = math.inf
) -> Excerpts | None:
    """Read ``count`` parts of ``length`` seconds; ``timeout`` as for `stream_audio`.

    Returns:
        None for a file that must be read from start to end: its header gives no length, it is no
        longer than the parts together, or some parts are missing (a damaged file).

    Raises:
        UnreadableError: missing, not to be read, a folder, or nothing that can be decoded.
        NoAudioStreamError: understood, but holds no sound.
        TimeLimitError: after ``timeout``.
    """
    with AudioStream(source, timeout=timeout) as stream:
        rate, total = stream.source_rate, stream.expected_seconds
        starts = spread(total, count, length) if total else ()
        if not starts or not rate or total is None:
            return None
        parts = []
        try:
            for start in starts:
                part = stream.part(start, length, rate)
                if len(part) < round(length * rate):
                    return None
                parts.append(part)
        except UnreadableError:
            return None
        return Excerpts(rate, total, starts, tuple(parts), tuple(stream.mix_warnings))
