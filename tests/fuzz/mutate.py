"""Mutations of bytes and text, drawn from a generator: equal seeds give equal files."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from random import Random

from seeds import Seed

NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WORDS = (
    b"NaN", b"-1", b"1e999", b"Infinity", b"null", b"[]", b"{}", b'""', b"\0", b"\x1b[31m", b"\xff",
    b"=1+1", b"../" * 30, b"%00", b"9" * 400, b"[" * 2000, b"\r", b"\n", b'"', b",", b"\t", b"\\",
)  # fmt: skip
HEADER = 1024  # where most of what a file says of itself is
LARGEST = 4_000_000


def mutate(seed: Seed, others: Sequence[Seed], rng: Random) -> bytes:
    """The seed with one to a dozen changes."""
    if seed.kind == "header":
        return _header(seed.data, rng)
    data = bytearray(seed.data)
    for _ in range(min(1 + int(rng.expovariate(0.5)), 12)):
        change = rng.choice(TEXT + BYTES if seed.text else BYTES)
        if change is _splice:
            data = _splice(data, rng.choice(others).data, rng)
        else:
            data = change(data, rng)
    return bytes(data[:LARGEST])


def _place(data: bytearray, rng: Random) -> int:
    end = len(data) if rng.random() < 0.4 else min(HEADER, len(data))
    return rng.randrange(end + 1)


def _flip(data: bytearray, rng: Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if data:
            data[min(_place(data, rng), len(data) - 1)] ^= 1 << rng.randrange(8)
    return data


def _number(data: bytearray, rng: Random) -> bytearray:
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q", "B"))
    value = rng.choice(NUMBERS) if rng.random() < 0.8 else rng.getrandbits(64)
    packed = struct.pack(form, value & (1 << 8 * struct.calcsize(form)) - 1)
    at = _place(data, rng)
    data[at : at + len(packed)] = packed
    return data


def _cut(data: bytearray, rng: Random) -> bytearray:
    return data[: _place(data, rng)] if rng.random() < 0.5 else data[_place(data, rng) :]


def _drop(data: bytearray, rng: Random) -> bytearray:
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 2, 4, 100, 1000))]
    return data


def _repeat(data: bytearray, rng: Random) -> bytearray:
    at = _place(data, rng)
    part = data[at : at + rng.choice((1, 4, 16, 300, 4000))]
    data[at:at] = part * rng.choice((1, 2, 50, 500))
    return data[:LARGEST]


def _fill(data: bytearray, rng: Random) -> bytearray:
    at, size = _place(data, rng), rng.choice((4, 64, 1000))
    data[at : at + size] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return data


def _splice(data: bytearray, other: bytes, rng: Random) -> bytearray:
    start = rng.randrange(len(other) + 1)
    data[_place(data, rng) :] = other[start:]
    return data


def _word(data: bytearray, rng: Random) -> bytearray:
    at = _place(data, rng)
    data[at:at] = rng.choice(WORDS)
    return data


def _value(data: bytearray, rng: Random) -> bytearray:
    """A number or word of the text made another."""
    found = list(re.finditer(rb"[\w.+-]+", data))
    if found:
        match = rng.choice(found)
        data[match.start() : match.end()] = rng.choice(WORDS)
    return data


def _line(data: bytearray, rng: Random) -> bytearray:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = rng.choice(
        (lines[at] * 2, b"", rng.choice(WORDS), lines[rng.randrange(len(lines))])
    )
    return bytearray(b"\n".join(lines))


def _header(data: bytes, rng: Random) -> bytes:
    """A safetensors file with a value of its description changed, the rest of it being right."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    about = header["__metadata__"]
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.3:
            tensor = header[rng.choice([name for name in header if name != "__metadata__"])]
            tensor["shape"] = [rng.choice((0, 1, 2**40, *tensor["shape"])) for _ in tensor["shape"]]
        name = rng.choice(list(about))
        value = bytearray(about[name].encode())
        about[name] = rng.choice((_value, _word, _flip))(value, rng).decode("utf-8", "replace")
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


BYTES: tuple[Callable[..., bytearray], ...] = (
    _flip, _flip, _number, _number, _number, _cut, _drop, _repeat, _fill, _splice,
)  # fmt: skip
TEXT: tuple[Callable[..., bytearray], ...] = (_word, _value, _value, _line)
