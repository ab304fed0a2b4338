"""Containers opened by PyAV: formats that hold sound, and nothing but the file given."""

from __future__ import annotations

from typing import Any, BinaryIO

import av

from stonekey.audio.deadline import Deadline
from stonekey.audio.errors import AudioError, TimeLimitError, UnreadableError

# The formats allowed, by FFmpeg's names. Left out: playlists, devices, pictures, text, and formats
# too rare to be worth the risk of a flaw in their demuxer.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,"
    "flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,rm,tak,"
    "truehd,tta,w64,wav,wv"
)
# Give up after reading this many bytes (of headers, pictures, film) without a packet of sound; each
# read or seek counts as at least LOOK_BYTES.
SILENT_BYTES, LOOK_BYTES = 128_000_000, 4096


class View:
    """A binary file from an offset on, with some of its bytes replaced; the caller closes it.

    Args:
        file: the file; must be seekable for a start or patches.
        start: offset in ``file`` that counts as 0 here.
        patches: bytes to read instead, by their offset in ``file``.
    """

    def __init__(self, file: BinaryIO, start: int, patches: dict[int, bytes]) -> None:
        self._file = file
        self._start = start
        self._patches = patches
        self.seekable = file.seekable
        if start:
            file.seek(start)

    def tell(self) -> int:
        """The position, counted from ``start``."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = 0) -> int:
        """Like a file's ``seek``; returns the new position."""
        return self._file.seek(offset + (self._start if whence == 0 else 0), whence) - self._start

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        at = self._file.tell() if self._patches else 0
        data = self._file.read(size)
        for place, patch in self._patches.items():
            first, last = max(place, at), min(place + len(patch), at + len(data))
            if first < last:
                new = patch[first - place : last - place]
                data = data[: first - at] + new + data[last - at :]
        return data


class Reader:
    """A binary file for FFmpeg that seems to end on a timeout, or after too much that is not sound.

    It has no ``close``: the caller closes the file.

    Attributes:
        error: why the file was cut short; None until then.
    """

    def __init__(self, file: BinaryIO | View, path: str, deadline: Deadline) -> None:
        self.name = path.encode("utf-8", "replace").decode()  # for the formats told by suffix alone
        self.error: AudioError | None = None
        self._file = file
        self._path = path
        self._deadline = deadline
        self._silent = 0
        self.tell = file.tell

    def seekable(self) -> bool:
        """Whether the file is seekable."""
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Like a file's ``seek``; after the end -1, which FFmpeg takes as an error."""
        return -1 if self._ended(0) else self._file.seek(offset, whence)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, none after the end."""
        if self.error:
            return b""
        data = self._file.read(size)
        return b"" if self._ended(len(data)) else data

    def sounded(self) -> None:
        """Note that a packet of sound was read."""
        self._silent = 0

    def _ended(self, count: int) -> bool:
        self._silent += max(count, LOOK_BYTES)
        if self.error is None:
            try:
                self._deadline.check()
            except TimeLimitError as error:
                self.error = error
            if self._silent > SILENT_BYTES:
                reason = f"no sound in {SILENT_BYTES // 1_000_000} MB of it"
                self.error = UnreadableError(self._path, reason)
        return self.error is not None


def open_container(reader: Reader) -> Any:
    """Open the container in a file for reading.

    FFmpeg gets bytes, not a name, and may use no protocol, so it cannot open any other file.

    Raises:
        av.FFmpegError: not one of `FORMATS`, or damaged.
        AudioError: ``reader.error``, if that is what stopped it.
    """
    # Not ``options``: PyAV 13 also passes those to each stream, and crashes when a stream appears
    # in the middle of the file.
    settings = {"protocol_whitelist": "none", "format_whitelist": FORMATS}
    start = reader.tell() if reader.seekable() else 0
    try:
        try:
            container = av.open(reader, container_options=settings)
        except UnicodeDecodeError:
            # Raised for tags. PyAV 19 removed both the error and the setting that avoids it.
            reader.seek(start)
            container = av.open(reader, container_options=settings, metadata_errors="replace")
    except av.FFmpegError:
        if reader.error:
            raise reader.error from None
        raise
    if reader.error:
        container.close()
        raise reader.error
    return container
