"""Files made of chunks (WAV, RF64, W64, AIFF, CAF), including those whose header has a wrong size.

A recorder that crashes leaves the size of the sound at 0, or at an earlier value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

# A file with more chunks before its sound is left to FFmpeg, which has a time limit.
MOST_CHUNKS = 1000
# Fewer bytes outside any chunk are junk, not sound; so are bytes that are zero wherever we look.
_LEAST_BYTES = 16_384
_LOOKS, _LOOK_BYTES = 32, 256
_GUID_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of W64, after four letters
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")  # put after the chunks by some programs


@dataclass(frozen=True)
class Layout:
    """How a kind of file is made of chunks.

    Attributes:
        first: where the first chunk is.
        name: bytes of a chunk's name; in W64 the first 4 identify it.
        width: bytes of the size field.
        order: byte order of the size field.
        own: bytes of the chunk's header that the size includes.
        align: where chunks start, in bytes.
        sound: name of the chunk that holds the sound.
    """

    first: int
    name: int
    width: int
    order: Literal["little", "big"]
    own: int
    align: int
    sound: bytes


@dataclass(frozen=True)
class Chunk:
    """A chunk: its name, the offset and size of its contents, and the offset of the size field."""

    name: bytes
    start: int
    length: int
    field: int


WAV = Layout(12, 4, 4, "little", 0, 2, b"data")
_AIFF = Layout(12, 4, 4, "big", 0, 2, b"SSND")
_CAF = Layout(8, 4, 8, "big", 0, 1, b"data")
_W64 = Layout(40, 16, 8, "little", 24, 8, b"data")


def layout_of(head: bytes) -> Layout | None:
    """The layout of a file by its first 12 bytes; None for one that is not made of chunks."""
    kind = head[8:12]
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and kind == b"WAVE":
        return WAV
    if head[:4] == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return _AIFF
    if head[:4] == b"riff" and head[4:8] == b".\x91\xcf\x11":
        return _W64
    return _CAF if head[:4] == b"caff" else None


def chunks(file: BinaryIO, start: int, end: int, layout: Layout) -> Iterator[Chunk]:
    """The chunks of a file that starts at ``start``, by their sizes."""
    at = start + layout.first
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(layout.name + layout.width)
        if len(head) < layout.name + layout.width or at >= end:
            return
        length = int.from_bytes(head[layout.name :], layout.order) - layout.own
        yield Chunk(head[:4], at + len(head), max(0, length), at + layout.name)
        at += len(head) + max(0, length)
        at += (start - at) % layout.align


def mended(file: BinaryIO, start: int, end: int, layout: Layout) -> dict[int, bytes]:
    """Corrected bytes of a wrong size of the sound, by their offset in the file.

    With them the sound extends to the end of the file. Empty if the size is right, larger than
    the file (which was cut short), or left open on purpose.
    """
    large: int | None = None
    for chunk in chunks(file, start, end, layout):
        if chunk.name == b"ds64":  # of RF64: sizes of the whole and of the sound
            large = chunk.start + 8
        if chunk.name != layout.sound:
            continue
        field, width, length = chunk.field, layout.width, chunk.length
        if large is not None and length in (0, 0xFFFFFFFF):
            file.seek(large)
            field, width, length = large, 8, int.from_bytes(file.read(8), "little")
        there = end - chunk.start
        after = chunk.start + length
        after += (start - after) % layout.align
        if _goes_on(file, after, end, layout) or _is_empty(file, after, end):
            return {}
        size = min(there + layout.own, 2 ** (8 * width) - 1)
        return {field: size.to_bytes(width, layout.order)}
    return {}


def _goes_on(file: BinaryIO, at: int, end: int, layout: Layout) -> bool:
    """Whether a chunk or a tag starts at this offset."""
    file.seek(at)
    head = file.read(max(8, layout.name + layout.width))
    if head.startswith(_TAGS):
        return True
    if layout.name == 16:
        return head[4:16] == _GUID_TAIL
    length = int.from_bytes(head[layout.name :][: layout.width], layout.order)
    return all(32 <= letter < 127 for letter in head[:4]) and at + length <= end


def _is_empty(file: BinaryIO, start: int, end: int) -> bool:
    """Whether there is nothing from ``start`` on that could be sound."""
    if end - start < _LEAST_BYTES:
        return True
    for look in range(_LOOKS):
        file.seek(start + (end - start) * look // _LOOKS)
        if any(file.read(_LOOK_BYTES)):
            return False
    return True
