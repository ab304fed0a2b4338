"""What can go wrong with an audio file, each error naming the file."""

from __future__ import annotations

import difflib
import os
from itertools import islice

from stonekey.text import display_name, is_address, printable, shown

# With more files in the folder, looking for a similar name takes too long.
_MOST_NAMES = 500
# Longer paths Windows does not find unless it is told to.
_LONGEST_PATH = 259


class AudioError(Exception):
    """A file that gives no audio; ``path`` is the file, ``reason`` why.

    The errors can be pickled, so that worker processes can report them.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


class UnreadableError(AudioError):
    """The file is missing, may not be read, is a folder, or no decoder understands it."""


class NoAudioStreamError(AudioError):
    """The file was understood, but holds no sound (a silent video, a picture, subtitles)."""


class EmptyAudioError(AudioError):
    """The file holds no bytes, or not one sample of sound."""


class TimeLimitError(AudioError):
    """The file took longer than its time limit."""


class TooShortError(AudioError):
    """The sound is too short for what was asked."""


def absence(path: str) -> str:
    """The error message for a missing file; suggests a similar name in the folder."""
    if is_address(path):
        return "an address, not a file: download it first"
    if os.name == "nt" and len(os.path.abspath(path)) > _LONGEST_PATH:
        return "No such file, or its path is too long: Windows needs LongPathsEnabled for that"
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or ".") as listing:
            found = [display_name(entry.name) for entry in islice(listing, _MOST_NAMES)]
    except (OSError, ValueError):
        found = []
    names = {other.casefold(): other for other in found if len(found) < _MOST_NAMES}
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.75)
    hint = f"; did you mean '{printable(names[near[0]])}'?" if near else ""
    return f"No such file or directory{hint}"
