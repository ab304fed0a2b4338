"""Small files of every format that holds a key, with cover art and other tags, made by PyAV."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import soundfile
from mutagen import id3
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm
from mutagen.ogg import OggPage

from stonekey.keys import Key
from stonekey.synthesis import cadence
from stonekey.tags.formats import open_tags

RATE = 48000
# name -> encoder; the name says which tags are in the file
FILES = {
    "v23.mp3": "libmp3lame",
    "v24.mp3": "libmp3lame",
    "v1.mp3": "libmp3lame",
    "none.mp3": "libmp3lame",
    "song.m4a": "aac",
    "song.flac": "flac",
    "song.ogg": "vorbis",
    "song.opus": "libopus",
    "song.aiff": "pcm_s16be",
    "none.aiff": "pcm_s16be",
    "song.wav": "pcm_s16le",
    "none.wav": "pcm_s16le",
    "song.wma": "wmav2",
    "song.wv": "wavpack",
}


def png() -> bytes:
    """A picture with one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\x00\x80")) + chunk(b"IEND", b"")
    )  # fmt: skip


def encode(path: Path, codec: str, key: str, seconds: float) -> Path:
    """Write cadences in ``key`` in the format of the suffix, without the encoder's tags."""
    samples = cadence(Key.parse(key), seconds=seconds, sample_rate=RATE)
    # FFmpeg's own Vorbis encoder is unusable, and FFmpeg adds its own kind of tags to WAV files,
    # which make FFmpeg up to version 5 ignore ID3.
    if path.suffix in (".ogg", ".wav"):
        soundfile.write(path, np.stack([samples, samples], 1), RATE)
        if path.suffix == ".ogg":
            number_stream(path)
        return path
    stereo = np.stack([samples, 0.5 * samples]).astype(np.float32)
    options = {".mp3": {"id3v2_version": "0", "write_id3v1": "0"}}.get(path.suffix, {})
    encode_stereo(path, codec, stereo, options, 128_000)
    return path


def encode_stereo(
    path: Path,
    codec: str,
    stereo: np.ndarray,
    options: dict[str, str] | None = None,
    bit_rate: int | None = None,
) -> None:
    """Write float32 samples (2, n) at `RATE` in the format of the suffix."""
    # No random serial numbers and dates: the same sound is the same file.
    exact = {"fflags": "+bitexact", **(options or {})}
    with av.open(str(path), "w", container_options=exact) as out:
        stream: Any = out.add_stream(codec, rate=RATE)
        stream.layout = "stereo"
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "stereo", RATE, stream.frame_size or 4096)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))


def number_stream(path: Path) -> None:
    """Give an Ogg file a fixed serial number in place of a random one."""
    pages = []
    with path.open("rb") as stream:
        while stream.peek(1):
            pages.append(OggPage(stream))
            pages[-1].serial = 1
    path.write_bytes(b"".join(page.write() for page in pages))


def make(path: Path, key: str = "F# minor", seconds: float = 3.0) -> Path:
    """Make one of `FILES`, with all other tags that libraries commonly have."""
    encode(path, FILES[path.name], key, seconds)
    if not path.name.startswith("none"):
        add_tags(path)
    return path


def add_tags(path: Path) -> None:
    audio = mutagen.File(path)
    picture = Picture()
    picture.data, picture.mime, picture.type = png(), "image/png", 3
    if isinstance(audio, MP4):
        audio["\xa9nam"] = "Ünder"
        audio["covr"] = [MP4Cover(png(), MP4Cover.FORMAT_PNG)]
        audio["----:com.apple.iTunes:ISRC"] = [MP4FreeForm(b"XX")]
        audio["\xa9cmt"] = "bought in Rome"
        audio.save()
    elif path.name == "v1.mp3":
        with path.open("ab") as file:
            file.write(b"TAG" + b"Old title".ljust(30, b"\0") + bytes(94) + b"\x11")
    elif hasattr(audio, "ID3") or path.suffix in (".wav", ".aiff"):
        audio.add_tags()
        for frame in (
            id3.TIT2(encoding=1, text="Ünder"),
            id3.TPE1(encoding=1, text=["A/B", "C"]),
            id3.APIC(encoding=0, mime="image/png", type=3, desc="front", data=png()),
            id3.COMM(encoding=1, lang="deu", desc="", text="bought in Rome"),
            id3.COMM(encoding=0, lang="eng", desc="iTunNORM", text=" 0000"),
            id3.TXXX(encoding=1, desc="mood", text="grey"),
            id3.GEOB(encoding=0, mime="x/y", filename="", desc="Serato Overview", data=b"\0\1\2"),
            id3.PRIV(owner="me", data=b"\xff\x00"),
            id3.TYER(encoding=0, text="1999") if "v24" not in path.name
            else id3.TDRC(encoding=0, text="1999-02-03"),
        ):  # fmt: skip
            if frame.FrameID != "PRIV" or path.suffix != ".wav":  # FFmpeg 5 would drop the others
                audio.tags.add(frame)
        version = 4 if "v24" in path.name else 3
        audio.tags.save(path, v2_version=version, v23_sep=None)
        if path.name == "v23.mp3":
            with path.open("ab") as file:
                file.write(b"TAG" + b"Another title".ljust(30, b"\0") + bytes(94) + b"\x11")
    else:
        audio["TITLE" if path.suffix != ".wma" else "Title"] = "Ünder"
        if isinstance(audio, FLAC):
            audio.add_picture(picture)
        elif path.suffix in (".ogg", ".opus"):
            audio["METADATA_BLOCK_PICTURE"] = b64encode(picture.write()).decode()
        comment = {".wv": "Comment", ".wma": "Description"}.get(path.suffix, "COMMENT")
        audio[comment] = "bought in Rome"
        audio.save()


def other_tags(path: Path) -> dict[str, str]:
    """Every tag but the key, as text that shows every byte; also ID3v1 and pictures."""
    audio = mutagen.File(path)
    if path.suffix in (".mp3", ".aiff", ".wav") and audio.tags is not None:
        if audio.tags.version >= (2, 3, 0):
            audio.load(path, translate=False)
        found = {name: repr(audio.tags[name]) for name in audio.tags}
        if path.name != "v1.mp3":  # where writing the key creates it
            found["version"] = repr(audio.tags.version)
    else:
        found = {name.lower(): repr(value) for name, value in (audio.tags or {}).items()}
    if isinstance(audio, FLAC):
        found["pictures"] = repr([p.write() for p in audio.pictures])
    tail = path.read_bytes()[-128:]
    found["v1"] = repr(tail) if tail.startswith(b"TAG") else ""
    keys = ("TKEY", "initialkey", "wm/initialkey", "----:com.apple.itunes:initialkey")
    return {name: value for name, value in found.items() if name not in keys}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(text: str) -> dict[str, dict[str, object]]:
    return {Path(record["file"]).name: record for record in json.loads(text)}


def set_key(path: Path, text: str) -> None:
    tags = open_tags(path)
    tags.set(tags.fields("key")[0], text)
    tags.save()
