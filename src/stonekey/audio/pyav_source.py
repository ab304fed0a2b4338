"""Decoding by FFmpeg, through PyAV."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import av.error
import numpy as np
import numpy.typing as npt

from stonekey.audio.container import Reader, View, open_container
from stonekey.audio.deadline import Deadline
from stonekey.audio.errors import (
    AudioError,
    NoAudioStreamError,
    TimeLimitError,
    UnreadableError,
)
from stonekey.audio.headers import Header
from stonekey.audio.mixing import Mixer, Samples
from stonekey.audio.resampling import check_rate

BLOCK_FRAMES = 16384
_MAX_FAILURES = 512  # a page of Ogg holds up to 255 packets, and each may fail
_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
# For other formats FFmpeg guesses the length from the bit rate. For Ogg it is the last time stamp,
# which reveals sound lost within the file but not a missing end.
_FORMATS_WITH_LENGTH = frozenset(
    {"mov", "matroska", "asf", "flac", "wav", "aiff", "ape", "wv", "tta", "caf", "w64", "au", "ogg"}
)
_DURATION = re.compile(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)


class PyavSource:
    """The best sound stream of one open file.

    Attributes:
        rate: sampling rate in Hz of the stream as announced; blocks carry their own.
        channels: number of channels as announced.
        seconds: length according to the header; None if FFmpeg would be guessing.
        guess: FFmpeg's guess of the length, or None.
        format: FFmpeg's name of the container.
        bad_packets: number of packets so far that could not be decoded and were left out.
    """

    def __init__(self, path: str, mixer: Mixer, deadline: Deadline, file: BinaryIO | View) -> None:
        """Open ``file``, which stays the caller's to close; ``path`` names it.

        Raises:
            UnreadableError: FFmpeg does not understand it, or has no decoder for its sound.
            NoAudioStreamError: there is no sound in it.
            TimeLimitError: the time is up; the other methods raise it too.
        """
        self.path = path
        self.bad_packets = 0
        self._mixer = mixer
        self._deadline = deadline
        self._skip_to: float | None = None
        self._close_file: Any = None
        self._reader = Reader(file, path, deadline)
        try:
            self._container: Any = open_container(self._reader)
        except AudioError:
            raise
        except Exception as error:  # FFmpeg's, or whatever PyAV makes of damage
            raise UnreadableError(path, f"not readable as sound ({_text(error)})") from error
        try:
            stream = self._container.streams.best("audio")
            if stream is None:
                raise NoAudioStreamError(path, "holds no sound")
            context: Any = stream.codec_context
            if context is None:
                raise UnreadableError(path, "no decoder for the codec of its sound")
            context.thread_count = 1  # for sound, more threads gain nothing
        except BaseException:
            self._container.close()
            raise
        self._stream: Any = stream
        self.rate: int = context.sample_rate or 0
        self.channels: int = context.channels or 0
        self.format: str = self._container.format.name
        self.seconds = self._length()
        duration = self._container.duration
        self.guess: float | None = duration / 1e6 if duration else None

    def _length(self) -> float | None:
        kind = self._container.format.name.split(",")[0]
        if kind not in _FORMATS_WITH_LENGTH:
            return None
        seconds = self._stated_length()
        # These state the end; an excerpt of a stream starts late.
        late = kind == "matroska" or (kind == "ogg" and self._stream.codec_context.name != "vorbis")
        if late and seconds and self._stream.start_time:
            seconds -= float(max(0, self._stream.start_time) * self._stream.time_base)
        return seconds

    def _stated_length(self) -> float | None:
        tag = _DURATION.fullmatch(self._stream.metadata.get("DURATION", ""))
        if tag:  # Matroska, per stream
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        if self._container.duration and len(self._container.streams) == 1:
            return float(self._container.duration / 1e6)
        return None

    def _frames(self) -> Iterator[Any]:
        """Yield decoded frames; skip what cannot be decoded."""
        packets = self._container.demux(self._stream)
        failures = 0  # one after another, while reading the container
        while failures < _MAX_FAILURES:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                break
            except (av.error.FFmpegError, OSError, LookupError):  # of a stream that came later
                self.bad_packets += 1
                failures += 1
                packets = self._container.demux(self._stream)  # a failed generator is spent
                continue
            failures = 0
            self._reader.sounded()
            self._deadline.check()
            try:
                frames = packet.decode()  # the last packet is empty and flushes the decoder
            except av.error.EOFError:
                break
            except Exception:  # whatever a decoder or PyAV makes of damage, the rest is read
                self.bad_packets += 1
                continue
            yield from frames
        if isinstance(self._reader.error, TimeLimitError):
            raise self._reader.error
        if self._reader.error:  # too much that is no sound: what came before it counts
            self.bad_packets += 1

    def blocks(self) -> Iterator[tuple[Samples, int]]:
        """Yield mono blocks and their rate, which may change within a file (chained streams)."""
        # Frames are short (a Vorbis one may have 128 samples), so they are mixed many at a time.
        batch: _Batch | None = None
        pack = _Packer()
        for frame in self._frames():
            if self._skip_to is not None and self._is_before(frame, self._skip_to):
                continue
            self._skip_to = None
            try:
                frame = pack(frame)
                if batch is not None and not batch.takes(frame):
                    yield self._mixer(batch.samples(), batch.rate), batch.rate
                    batch = None
                if batch is None:
                    batch = _Batch(frame)
                batch.add(frame)
            except (av.error.FFmpegError, ValueError, LookupError):
                self.bad_packets += 1
        if batch is not None:
            yield self._mixer(batch.samples(), batch.rate), batch.rate

    def seek(self, seconds: float) -> None:
        """Go to the frame at a time, for the next `blocks`.

        Raises:
            UnreadableError: the container cannot seek there.
        """
        try:
            ticks = round(seconds / self._stream.time_base) + (self._stream.start_time or 0)
            self._container.seek(ticks, stream=self._stream)
        except (av.error.FFmpegError, OSError, ArithmeticError) as error:
            reason = f"no way to {seconds:.1f} s: {_text(error)}"
            raise UnreadableError(self.path, reason) from error
        self._skip_to = seconds  # containers lead to a packet or a page before it

    def _is_before(self, frame: Any, seconds: float) -> bool:
        if frame.pts is None:
            return False
        start = (frame.pts - (self._stream.start_time or 0)) * self._stream.time_base
        return bool(start + frame.samples / frame.sample_rate <= seconds)

    def own(self, file: BinaryIO) -> None:
        """Close ``file`` with this source, or once it is garbage."""
        self._close_file = weakref.finalize(self, file.close)

    def close(self) -> None:
        """Close the container, and the file if this source owns it."""
        self._container.close()
        if self._close_file is not None:
            self._close_file()


def open_pyav(
    path: str, given: BinaryIO | None, header: Header, mixer: Mixer, deadline: Deadline
) -> PyavSource:
    """Open ``path``, or read the file ``given``, as its header says.

    Raises:
        UnreadableError, NoAudioStreamError, TimeLimitError: as `PyavSource`.
    """
    file = given
    try:
        if file is None:
            file = open(path, "rb", buffering=0)  # noqa: SIM115
        changed = header.start or header.patches
        view = View(file, header.start, header.patches) if changed else file
        try:
            source = PyavSource(path, mixer, deadline, view)
        except (UnreadableError, NoAudioStreamError):
            if not header.start:
                raise
            file.seek(0)
            source = PyavSource(path, mixer, deadline, file)
    except BaseException as error:
        if given is None and file is not None:
            file.close()
        if isinstance(error, OSError):
            raise UnreadableError(path, f"cannot be opened: {error.strerror}") from error
        raise
    if given is None:
        source.own(file)
    return source


class _Packer:
    """Puts all channels in one plane where there are eight or more.

    PyAV counts one plane too many from eight on: version 18 reads beyond the data, 19 refuses.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None

    def __call__(self, frame: Any) -> Any:
        """The same samples in a frame that can be read; ValueError where there is none."""
        if not frame.format.is_planar or frame.layout.nb_channels < 8:
            return frame
        kind = (frame.format.name.rstrip("p"), frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._resampler: Any = av.AudioResampler(*kind)
            self._kind = kind
        frame.pts = None  # do not compensate for gaps
        (packed,) = self._resampler.resample(frame)
        return packed


class _Batch:
    """Joins frames of one kind."""

    def __init__(self, frame: Any) -> None:
        """For frames like ``frame``; ValueError or LookupError if its format is not sound."""
        self.rate: int = frame.sample_rate
        check_rate(self.rate)
        self._format: str = frame.format.name
        self._channels: int = frame.layout.nb_channels
        # A planar format has a row per channel; a packed one has all channels in one row.
        self._planar: bool = frame.format.is_planar
        self._dtype = np.dtype(_DTYPES[self._format.rstrip("p")])
        rows, values = (self._channels, 1) if self._planar else (1, self._channels)
        self._width = values
        self._rows = np.empty((rows, max(BLOCK_FRAMES, frame.samples) * values), self._dtype)
        self._end = 0

    def takes(self, frame: Any) -> bool:
        """Return whether ``frame`` is of the same kind, and fits."""
        same_kind: bool = (
            frame.sample_rate == self.rate
            and frame.format.name == self._format
            and frame.layout.nb_channels == self._channels
        )
        return same_kind and self._end + frame.samples * self._width <= self._rows.shape[1]

    def add(self, frame: Any) -> None:
        """Add a frame's samples; if some are missing, adds nothing and raises ValueError."""
        count = frame.samples * self._width
        for row, plane in zip(self._rows, frame.planes, strict=True):
            row[self._end : self._end + count] = np.frombuffer(plane, self._dtype, count)
        self._end += count

    def samples(self) -> npt.NDArray[np.generic]:
        """Return the samples as (n, channels), of the decoder's own type."""
        rows = self._rows[:, : self._end]
        return rows.T if self._planar else rows.reshape(-1, self._channels)


def _text(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
