"""How long a file may keep its reader."""

from __future__ import annotations

import os
import time

from stonekey.audio.errors import TimeLimitError

# Generous: a slow machine takes 3 s for a megabyte of the densest formats, network included.
_SECONDS, _SECONDS_PER_MEGABYTE = 120.0, 30.0


def time_limit(path: str | os.PathLike[str]) -> float:
    """Seconds that a file may take unless somebody says otherwise: 120, and 30 for each megabyte.

    What counts are bytes on the disk: the holes of a sparse file hold no sound.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return _SECONDS
    size = min(status.st_size, getattr(status, "st_blocks", 1 << 62) * 512)
    return round(_SECONDS + _SECONDS_PER_MEGABYTE * size / 1e6)


class Deadline:
    """The end of a file's time, which starts now.

    Args:
        path: of the file, for the error.
        seconds: its time; None for `time_limit`, infinite for no end.
    """

    def __init__(self, path: str | os.PathLike[str], seconds: float | None = None) -> None:
        self._path = path
        self._seconds = time_limit(path) if seconds is None else seconds
        if not self._seconds > 0:
            raise ValueError(f"timeout must be above 0 s, got {seconds}")
        self._end = time.monotonic() + self._seconds

    @property
    def left(self) -> float:
        """Seconds until then; TimeLimitError when it is over."""
        self.check()
        return max(1e-3, self._end - time.monotonic())

    def check(self) -> None:
        """Raise TimeLimitError when the time is over."""
        if time.monotonic() > self._end:
            raise TimeLimitError(self._path, f"took longer than {self._seconds:g} s")
