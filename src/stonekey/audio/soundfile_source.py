"""Decoding by libsndfile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import numpy as np
import soundfile

from stonekey.audio.deadline import Deadline
from stonekey.audio.errors import UnreadableError
from stonekey.audio.mixing import Mixer, Samples

BLOCK_VALUES = 65536  # values per read: 256 KB, which stays in a core's cache
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file read once from start to end.

    soundfile seeks after each read of a seekable file, which makes MP3 decoding in blocks twice
    as slow.
    """

    def seekable(self) -> bool:
        return False


class SoundfileSource:
    """One open file; ``rate`` in Hz and ``channels`` are known from the start."""

    def __init__(
        self, path: str, mixer: Mixer, deadline: Deadline, by_content: bool = False
    ) -> None:
        """Open ``path``.

        Args:
            path: of the file.
            mixer: makes blocks mono.
            deadline: of the file.
            by_content: ignore the suffix. libsndfile looks for MP3 frames in any file called
                .mp3, and its MP3 decoder writes to standard error if it finds none.

        Raises:
            UnreadableError: libsndfile refuses it.
            TimeLimitError: the time is up (raised by `blocks`).
        """
        try:
            # Bytes, because names that are not UTF-8 cannot be encoded strictly.
            name = path if sys.platform == "win32" else os.fsencode(path)
            self._file = _Forward(os.open(name, _READ) if by_content else name)
        except (soundfile.SoundFileError, OSError) as error:
            raise UnreadableError(path, f"not readable as sound: {error}") from error
        self.path = path
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self._mixer = mixer
        self._deadline = deadline

    def blocks(self) -> Iterator[tuple[Samples, int]]:
        """Yield mono blocks and their rate.

        Raises:
            UnreadableError: a part that cannot be decoded; what came before it has been yielded.
        """
        # 16-bit files are read as they are: libsndfile's own conversion is slower.
        dtype = "int16" if self._file.subtype == "PCM_16" else "float32"
        frames = max(256, BLOCK_VALUES // self.channels)
        buffer = np.empty((frames, self.channels), dtype)
        while True:
            self._deadline.check()
            try:
                block = self._file.read(out=buffer, dtype=dtype)
            except (soundfile.SoundFileError, OSError) as error:
                raise UnreadableError(self.path, f"decoding failed: {error}") from error
            if len(block):
                mono = self._mixer(block, self.rate)
                # With one channel of floats the mix is the read buffer itself.
                yield (mono.copy() if np.may_share_memory(mono, buffer) else mono), self.rate
            if len(block) < frames:
                return

    def seek(self, seconds: float) -> None:
        """Go to a time, for the next `blocks`.

        Raises:
            UnreadableError: the file ends before, or is damaged there.
        """
        try:
            self._file.seek(round(seconds * self.rate))
        except (soundfile.SoundFileError, OSError, ArithmeticError) as error:
            raise UnreadableError(self.path, f"no way to {seconds:.1f} s: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()
