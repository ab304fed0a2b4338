"""Any audio file as mono float32 at one rate, block by block or whole."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stonekey.audio.deadline import Deadline
from stonekey.audio.errors import EmptyAudioError, NoAudioStreamError, UnreadableError
from stonekey.audio.headers import Backend, header_of, header_within, ogg_is_cut
from stonekey.audio.mixing import Mixer, Samples
from stonekey.audio.resampling import BlockResampler, check_rate
from stonekey.audio.tuning import LOOK_SECONDS, PART_SECONDS, PARTS_EVERY, Tuner, part_starts
from stonekey.text import display_name

if TYPE_CHECKING:
    from stonekey.audio.pyav_source import PyavSource
    from stonekey.audio.soundfile_source import SoundfileSource

SAMPLE_RATE = 22050  # Hz, of every model
# Lossy formats round their length to frames, and some count the encoder's delay.
_TOLERANCE_SECONDS = 0.3
# A header that states more (115 days) is wrong.
_LONGEST_SECONDS = 10_000_000.0
# Held for `Tune`: 60 s at the highest rate that music has.
_LOOK_SAMPLES = round(LOOK_SECONDS) * 192_000

# The start of a recording, mono (n,), and its rate in Hz -> cents by which its pitch is too high.
Tune = Callable[[Samples, int], float]
AudioInput = str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO


@dataclass(frozen=True, eq=False)
class Audio:
    """A whole recording.

    Attributes:
        samples: mono float32, (n,), as loud as in the file.
        sample_rate: in Hz.
        warnings: what went wrong without stopping the decoding, in words.
    """

    samples: Samples
    sample_rate: int
    warnings: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


class AudioStream:
    """Mono float32 blocks (n,) of one file, n varying; see ``stream_audio``.

    Attributes:
        path: name of the file.
        sample_rate: rate asked for, in Hz, at which the blocks are in tune.
        rate: samples of the blocks per second of the recording; differs from ``sample_rate`` from
            the first block on where the pitch is corrected.
        source_rate: rate of the file in Hz; 0 if only decoding can tell.
        channels: number of channels of the file; 0 if only decoding can tell.
        expected_seconds: length according to the file's header; None if it gives none.
        backend: "soundfile" or "pyav", the one in use.
        warnings: what went wrong without stopping the decoding; complete after the last block.
    """

    def __init__(
        self,
        source: AudioInput,
        sample_rate: int = SAMPLE_RATE,
        tune: Tune | None = None,
        timeout: float | None = math.inf,
    ) -> None:
        check_rate(sample_rate)
        self.sample_rate = sample_rate
        self.rate = float(sample_rate)
        self._tune = tune
        self.warnings: list[str] = []
        self._mixer = Mixer()
        self._given: BinaryIO | None = None
        self._yielded = 0
        self._decoded_seconds = 0.0
        if isinstance(source, (str, bytes, os.PathLike)):
            self.path = os.fsdecode(source)
            self._header = header_of(self.path)
        else:
            self._given = source
            self._given_start = source.tell() if source.seekable() else 0
            self.path = display_name(str(getattr(source, "name", None) or "<stream>"))
            self._header = header_within(source)
        self._deadline = Deadline(self.path, timeout)
        self.expected_seconds = _believed(self._header.seconds)
        self._open()
        self._iterator = self._resampled()

    def _open(self) -> None:
        if self._header.backend == "soundfile":
            with suppress(UnreadableError):
                self._open_soundfile()
                return
        try:
            self._open_pyav()
        except UnreadableError:
            if self._header.backend == "soundfile" or self._given is not None:
                raise
            with suppress(UnreadableError):  # FFmpeg's error is the one to report
                self._open_soundfile(by_content=True)
                return
            raise

    # Imported where they are used: each is slow to load, and a folder often needs only one of them.
    def _open_soundfile(self, by_content: bool = False) -> None:
        from stonekey.audio.soundfile_source import SoundfileSource

        source = SoundfileSource(self.path, self._mixer, self._deadline, by_content)
        self._use(source, "soundfile")

    def _open_pyav(self) -> PyavSource:
        from stonekey.audio.pyav_source import open_pyav

        source = open_pyav(self.path, self._given, self._header, self._mixer, self._deadline)
        try:
            self._use(source, "pyav")
        except BaseException:
            source.close()
            raise
        if self.expected_seconds is None:
            self.expected_seconds = _believed(source.seconds)
        return source

    def _use(self, source: SoundfileSource | PyavSource, backend: Backend) -> None:
        if source.rate:  # else only decoding tells
            try:
                check_rate(source.rate)
            except ValueError as error:
                source.close()
                raise UnreadableError(self.path, str(error)) from error
        self._source: SoundfileSource | PyavSource = source
        self.backend: Backend = backend
        self.source_rate = source.rate
        self.channels = source.channels

    def part(self, start: float, seconds: float, rate: int) -> Samples:
        """Mono samples from ``start`` on, not resampled; fewer at the end of the file.

        FFmpeg starts at the frame that contains ``start``, up to 0.1 s early. Sound at another
        rate than ``rate`` is left out.

        Raises:
            UnreadableError: the decoder cannot seek there.
        """
        self._source.seek(start)
        return _joined(self._source.blocks(), seconds, rate)

    @property
    def mix_warnings(self) -> list[str]:
        """Warnings about the mix of the blocks so far."""
        return self._mixer.warnings

    @property
    def seconds(self) -> float:
        """Length in seconds of the blocks yielded so far."""
        return self._yielded / self.rate

    def __iter__(self) -> Iterator[Samples]:
        return self

    def __next__(self) -> Samples:
        return next(self._iterator)

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop decoding and close the file."""
        self._iterator.close()
        self._source.close()

    def _resampled(self) -> Generator[Samples, None, None]:
        resampler: BlockResampler | None = None
        for block, rate in self._tuned():
            if resampler is None or resampler.from_rate != rate:
                if resampler is not None:
                    yield from self._count(resampler.flush())
                resampler = BlockResampler(rate, self.rate)
            for piece in resampler.push(block):
                yield from self._count(piece)
        if resampler is not None:
            yield from self._count(resampler.flush())
        self._finish()

    def _count(self, block: Samples) -> Iterator[Samples]:
        if len(block):
            self._yielded += len(block)
            yield block

    def _tuned(self) -> Iterator[tuple[Samples, int]]:
        """Yield the mono blocks, after setting the rate that puts them in tune."""
        blocks = self._mono()
        if self._tune is None:
            yield from blocks
            return
        held: list[tuple[Samples, int]] = []
        seconds, samples = 0.0, 0
        for block, rate in blocks:
            held.append((block, rate))
            seconds += len(block) / rate
            samples += len(block)
            if seconds >= LOOK_SECONDS or samples >= _LOOK_SAMPLES:
                break
        if held:
            first = held[0][1]
            start = np.concatenate([block for block, rate in held if rate == first])
            # More samples per second, played at the rate asked for, lower the pitch.
            if isinstance(self._tune, Tuner):
                rest = self._parts_of_rest(first)
                cents = self._tune(start, first, rest)
                rest.close()
            else:
                cents = self._tune(start, first)
            self.rate = self.sample_rate * 2 ** (cents / 1200)
            del start
        while held:  # let go of each
            yield held.pop(0)
        yield from blocks

    def _parts_of_rest(self, rate: int) -> Generator[Samples, None, None]:
        """Yield the parts of what follows the first minute (`part_starts`), read apart.

        If the length of the file is unknown, finds them by decoding all of it.
        """
        given = self._given
        here = given.tell() if given is not None and given.seekable() else None
        try:
            if given is not None:
                if here is None:
                    return
                given.seek(self._given_start)
            with AudioStream(given or self.path, timeout=self._deadline.left) as other:
                seconds = other.expected_seconds or getattr(other._source, "guess", None)
                if seconds:
                    for start in part_starts(seconds):
                        yield other.part(start, PART_SECONDS, rate)
                    return
                blocks = other._source.blocks()
                _joined(blocks, LOOK_SECONDS, rate)
                while len(part := _joined(blocks, PART_SECONDS, rate)):
                    yield part
                    _joined(blocks, PARTS_EVERY - PART_SECONDS, rate)
        except (UnreadableError, NoAudioStreamError):
            return
        finally:
            if given is not None and here is not None:
                given.seek(here)

    def _mono(self) -> Iterator[tuple[Samples, int]]:
        """Yield the decoded mono blocks and their rates."""
        try:
            for block, rate in self._source.blocks():
                self._decoded_seconds += len(block) / rate
                yield block, rate
        except UnreadableError:  # only soundfile: FFmpeg leaves bad parts out
            yield from self._rest()
            return
        if self.backend == "soundfile" and self._missing() > 0:
            yield from self._rest()

    def _rest(self) -> Iterator[tuple[Samples, int]]:
        """Yield what FFmpeg, which carries on after an error, finds past the last good block."""
        skip = self._decoded_seconds
        self._source.close()
        try:
            source = self._open_pyav()
        except (UnreadableError, NoAudioStreamError):
            return
        for block, rate in source.blocks():
            frames = round(skip * rate)
            if frames >= len(block):
                skip -= len(block) / rate
                continue
            rest = block[frames:]
            skip = 0.0
            self._decoded_seconds += len(rest) / rate
            yield rest, rate

    def _missing(self) -> float:
        """Seconds missing from the length that the header states."""
        if self.expected_seconds is None:
            return 0.0
        missing = self.expected_seconds - self._decoded_seconds
        return missing if missing > _TOLERANCE_SECONDS else 0.0

    def _finish(self) -> None:
        """Add the warnings once everything has been decoded."""
        bad = getattr(self._source, "bad_packets", 0)
        if self._decoded_seconds == 0.0:
            if bad:
                raise UnreadableError(self.path, f"none of it can be decoded ({bad} errors)")
            raise EmptyAudioError(self.path, "holds no sound: 0 samples")
        decoded = self._decoded_seconds
        if self._header.patches:
            self.warnings.append(
                "its header is wrong about the length: read to the end of the file"
            )
        if self._missing():
            self.warnings.append(
                f"truncated or damaged: {decoded:.1f} s decoded"
                f" of the {self.expected_seconds:.1f} s its header promises"
            )
        elif getattr(self._source, "format", "") == "ogg" and self._ogg_is_cut():
            self.warnings.append(f"truncated: {decoded:.1f} s decoded, the end mark is missing")
        if bad:
            self.warnings.append(f"damaged: {bad} parts could not be decoded and were left out")
        self.warnings += self.mix_warnings

    def _ogg_is_cut(self) -> bool:
        if self._given is not None:
            return False
        with open(self.path, "rb") as file:
            return ogg_is_cut(file)


def _joined(blocks: Iterator[tuple[Samples, int]], seconds: float, rate: int) -> Samples:
    """The next ``seconds`` of blocks, of those at ``rate``; the rest of the last block is lost."""
    held: list[Samples] = [np.empty(0, np.float32)]
    missing = round(seconds * rate)
    while missing > 0:
        block, block_rate = next(blocks, (held[0], rate))
        if not len(block):
            break
        if block_rate == rate:
            held.append(block[:missing])
            missing -= len(held[-1])
    return np.concatenate(held)


def _believed(seconds: float | None) -> float | None:
    """The length in a header; None if it is impossible."""
    return seconds if seconds is not None and 0 < seconds < _LONGEST_SECONDS else None


def stream_audio(
    source: AudioInput,
    sample_rate: int = SAMPLE_RATE,
    tune: Tune | None = None,
    timeout: float | None = math.inf,
) -> AudioStream:
    """Decode a file block by block, in bounded memory.

    Args:
        source: a path, or a binary file object, which stays the caller's to close.
        sample_rate: rate wanted, in Hz, 1 kHz to 1 MHz.
        tune: given the first minute, returns by how many cents to lower the pitch; a `Tuner`
            also gets parts of the rest if it needs them.
        timeout: seconds from now, for decoding and for what the caller does with the blocks;
            None for a limit by the file's size (`stonekey.audio.deadline.time_limit`).

    Returns:
        An iterator over mono float32 blocks (n,), the mean of the channels, as loud as in the
        file; also a context manager, which closes the file. Its ``warnings`` are complete after
        the last block. A truncated or damaged file gives what could be decoded, and a warning.

    Raises:
        UnreadableError: missing, unreadable, a folder, or not decodable.
        NoAudioStreamError: understood, but holds no sound.
        EmptyAudioError: empty; for a file with a header, raised at the end of the iteration.
        TimeLimitError: when iterating, after ``timeout``.
        ValueError: ``sample_rate`` out of range.
    """
    return AudioStream(source, sample_rate, tune, timeout)


def load_audio(
    source: AudioInput, sample_rate: int = SAMPLE_RATE, timeout: float | None = None
) -> Audio:
    """Decode a whole file; arguments and errors as for ``stream_audio``."""
    with stream_audio(source, sample_rate, timeout=timeout) as stream:
        blocks = list(stream)
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return Audio(samples, sample_rate, tuple(stream.warnings))
