"""What can go wrong with an audio file, each error naming the file."""

from __future__ import annotations

import os

from stonekey.text import shown


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
    """The file took longer than it was given."""


class TooShortError(AudioError):
    """The sound is too short for what was asked."""
