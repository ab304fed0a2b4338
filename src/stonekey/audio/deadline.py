"""Time limits for reading a file."""

from __future__ import annotations

import os
import time

from stonekey.audio.errors import TimeLimitError

# Generous: a slow machine takes 3 s for a megabyte of the densest formats, network included.
_SECONDS, _SECONDS_PER_MEGABYTE = 120.0, 30.0


def time_limit(path: str | os.PathLike[str]) -> float:
    """The default time limit of a file in seconds: 120, and 30 more for each megabyte.

    Counts bytes on the disk, since the holes of a sparse file hold no sound.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return _SECONDS
    size = min(status.st_size, getattr(status, "st_blocks", 1 << 62) * 512)
    return round(_SECONDS + _SECONDS_PER_MEGABYTE * size / 1e6)


class Deadline:
    """The time limit of a file, which starts now.

    Args:
        path: of the file, for the error.
        seconds: the limit; None for `time_limit`, infinite for none.
    """

    def __init__(self, path: str | os.PathLike[str], seconds: float | None = None) -> None:
        self._path = path
        self._seconds = time_limit(path) if seconds is None else seconds
        if not self._seconds > 0:
            raise ValueError(f"timeout must be above 0 s, got {seconds}")
        self._end = time.monotonic() + self._seconds

    @property
    def left(self) -> float:
        """Seconds left; raises TimeLimitError if there are none."""
        self.check()
        return max(1e-3, self._end - time.monotonic())

    def check(self) -> None:
        """Raise TimeLimitError if the time is up."""
        if time.monotonic() > self._end:
            raise TimeLimitError(self._path, f"took longer than {self._seconds:g} s")
