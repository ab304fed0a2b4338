"""What the first bytes of a file say: which decoder suits it, and how long it should be."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Literal

from stonekey.audio.chunks import MOST_CHUNKS, WAV, chunks, layout_of, mended
from stonekey.audio.errors import EmptyAudioError, UnreadableError, absence

Backend = Literal["soundfile", "pyav"]

# PCM, float, A-law, mu-law, extensible: the WAV encodings soundfile reads; the rest go to FFmpeg.
_WAV_TAGS = frozenset({1, 3, 6, 7, 0xFFFE})
_UNKNOWN_SIZES = frozenset({0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFF000, 0x7FFFF000})  # from pipes
_MOST_TAGS = 64  # a file with more of them before its sound is left to FFmpeg
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes:
        backend: the decoder to try first.
        seconds: length according to the header; None if it gives none that can be trusted.
        start: offset at which FFmpeg starts reading: after a tag that is foreign to the format.
        patches: bytes that replace those of the file, by their offset.
    """

    backend: Backend
    seconds: float | None = None
    start: int = 0
    patches: dict[int, bytes] = field(default_factory=dict)


def header_of(path: str) -> Header:
    """Read the header of ``path``.

    Raises:
        UnreadableError: missing, unreadable, or not a file.
        EmptyAudioError: no bytes in it.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableError(path, "is a folder")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe could wait for ever
            raise UnreadableError(path, "is not a regular file")
        with open(path, "rb") as file:
            if status.st_size == 0:
                raise EmptyAudioError(path, "is empty: 0 bytes")
            return read_header(file)
    except FileNotFoundError as error:
        raise UnreadableError(path, f"cannot be opened: {absence(path)}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(path, f"cannot be opened: {reason}") from error


def header_within(file: BinaryIO) -> Header:
    """The header of a file object, which only FFmpeg reads."""
    try:
        if file.seekable() and file.tell() == 0:
            header = read_header(file)
            file.seek(0)
            return Header("pyav", None, header.start, header.patches)
    except (OSError, ValueError):
        pass
    return Header("pyav")


def read_header(file: BinaryIO) -> Header:
    """Read the header of a seekable file, from its first byte.

    soundfile is faster for WAV, FLAC and MP3. An MP3 goes to FFmpeg if its length is unknown or
    disagrees with the size of the file (cut, joined), because libsndfile stops at the length it
    guessed and libmpg123 writes to standard error.
    """
    size = file.seek(0, os.SEEK_END)
    start = _after_id3(file)
    file.seek(start)
    head = file.read(256)
    if layout := layout_of(head):
        patches = mended(file, start, size, layout)
        if layout is WAV and start == 0 and not patches:
            return _wav(file, size)
        return Header("pyav", None, start, patches)
    if head[:4] == b".snd" and head[8:12] == bytes(4):  # no size: of AU, -1 stands for unknown
        return Header("pyav", None, start, {start + 8: b"\xff" * 4})
    if head[:4] == b"fLaC":
        return replace(_flac(head), start=start)
    if len(head) > 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # MPEG audio, layer 3
        return _mp3(head, size - start)
    # FFmpeg itself skips padding before other MPEG sound.
    mpeg = head[:1] in (b"", b"\0", b"\xff") and head[4:8] != b"ftyp"
    return Header("pyav", start=0 if mpeg else start)


def _after_id3(file: BinaryIO) -> int:
    """The offset after the ID3v2 tags at the start of the file (the first `_MOST_TAGS` of them)."""
    start = 0
    for _ in range(_MOST_TAGS):
        file.seek(start)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            break
        length = (tag[6] << 21) | (tag[7] << 14) | (tag[8] << 7) | tag[9]
        start += 10 + length + (10 if tag[5] & 0x10 else 0)
    return start


def _wav(file: BinaryIO, size: int) -> Header:
    """Go through the chunks up to ``data``."""
    backend: Backend = "pyav"
    byte_rate = 0
    for number, chunk in enumerate(chunks(file, 0, size, WAV), 1):
        if number == MOST_CHUNKS:
            return Header("pyav")
        if chunk.name == b"fmt ":
            file.seek(chunk.start)
            about = file.read(16)
            if len(about) == 16 and int.from_bytes(about[:2], "little") in _WAV_TAGS:
                backend = "soundfile"
                byte_rate = int.from_bytes(about[4:8], "little") * int.from_bytes(
                    about[12:14], "little"
                )
        elif chunk.name == b"data":
            known = byte_rate > 0 and chunk.length not in _UNKNOWN_SIZES
            return Header(backend, chunk.length / byte_rate if known else None)
    return Header(backend)


def _flac(head: bytes) -> Header:
    """Read STREAMINFO: 20 bits of rate, 36 of the number of samples per channel."""
    info = head[8:26]
    if len(info) < 18:
        return Header("soundfile")
    rate = (info[10] << 12) | (info[11] << 4) | (info[12] >> 4)
    total = ((info[13] & 0x0F) << 32) | int.from_bytes(info[14:18], "big")
    return Header("soundfile", total / rate if rate and total else None)


def _mp3(head: bytes, size: int) -> Header:
    """Read the Xing or Info frame, which holds the numbers of frames and bytes."""
    version, rate_code = head[1] >> 3 & 3, head[2] >> 2 & 3
    found = [at for at in (head.find(b"Xing"), head.find(b"Info")) if at >= 0]
    if version not in _MP3_RATES or rate_code == 3 or not found:
        return Header("pyav")
    at = min(found)
    if len(head) < at + 16 or head[at + 7] & 3 != 3:
        return Header("pyav")
    frames = int.from_bytes(head[at + 8 : at + 12], "big")
    stated = int.from_bytes(head[at + 12 : at + 16], "big")
    seconds = frames * (1152 if version == 3 else 576) / _MP3_RATES[version][rate_code]
    agrees = abs(stated - size) <= 0.01 * stated
    return Header("soundfile" if agrees else "pyav", seconds or None)


def ogg_is_cut(file: BinaryIO) -> bool:
    """Return whether an Ogg file lacks the page that marks its end, or ends inside a page."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65536 - 512))  # longer than the longest page
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return True
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(tail) >= at + 27 + tail[at + 26] + sum(segments)
    return not (whole and tail[at + 5] & 4)
