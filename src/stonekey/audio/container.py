"""Containers opened by PyAV: formats that hold sound, and nothing but the file given."""

from __future__ import annotations

from typing import Any, BinaryIO

import av

from stonekey.audio.deadline import Deadline
from stonekey.audio.errors import AudioError, TimeLimitError, UnreadableError

# FFmpeg's names of the formats. What is not here is a list of other files, a device, a picture,
# text, or too rare for what its reader's faults could do.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,"
    "flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,rm,tak,"
    "truehd,tta,w64,wav,wv"
)
# Read without a packet of sound, be it of a header, a picture or a film; the least that a look
# anywhere in the file counts for.
SILENT_BYTES, LOOK_BYTES = 128_000_000, 4096


class View:
    """A binary file from one place on, with some of its bytes replaced; it stays the caller's.

    Args:
        file: the file, which has to be seekable unless nothing is to be changed.
        start: its first byte here.
        patches: bytes to read instead, by their place in ``file``.
    """

    def __init__(self, file: BinaryIO, start: int, patches: dict[int, bytes]) -> None:
        self._file = file
        self._start = start
        self._patches = patches
        self.seekable = file.seekable
        if start:
            file.seek(start)

    def tell(self) -> int:
        """The place, from ``start``."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as files do; returns the place."""
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
    """A binary file as FFmpeg reads it: until its time is over, or too much of it is no sound.

    From then on the file seems to end there. It has no ``close``: the file stays the caller's.

    Attributes:
        error: why the file seems to end; None as long as it does not.
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
        """Whether the file is."""
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as the file does; -1, which FFmpeg takes for an error, after the end."""
        return -1 if self._ended(0) else self._file.seek(offset, whence)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, none after the end."""
        if self.error:
            return b""
        data = self._file.read(size)
        return b"" if self._ended(len(data)) else data

    def sounded(self) -> None:
        """A packet of sound has come."""
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
    """The container in a file, to be read.

    FFmpeg gets bytes, not a name, and may use no protocol: whatever a file names stays closed.

    Raises:
        av.FFmpegError: none of `FORMATS`, or damaged.
        AudioError: the reader's, where it has one.
    """
    # Not ``options``: PyAV 13 gives those to each stream, too, and crashes where streams turn up
    # while the file is being read.
    settings = {"protocol_whitelist": "none", "format_whitelist": FORMATS}
    start = reader.tell() if reader.seekable() else 0
    try:
        try:
            container = av.open(reader, container_options=settings)
        except UnicodeDecodeError:
            # Of tags. PyAV 19 has done away with both the error and the setting against it.
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
