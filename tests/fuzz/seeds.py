"""What is mutated: sound files of every container, models, playlists, tables; all made here."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import soundfile
from mutagen.ogg import OggPage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from library_files import itunes, rekordbox, traktor
from tag_files import FILES, RATE, encode_stereo, make, number_stream

from stonekey.keys import Key
from stonekey.library import Result
from stonekey.library.store import open_store
from stonekey.model.registry import EMBEDDED
from stonekey.synthesis import cadence

SECONDS = 0.8
# Suffix -> encoder of FFmpeg; a format that this FFmpeg lacks is left out.
ENCODED = {
    "mp3": "libmp3lame", "m4a": "aac", "mp4": "aac", "mov": "alac", "aac": "aac", "opus": "libopus",
    "oga": "flac", "mka": "libopus", "webm": "libopus", "mkv": "ac3", "wma": "wmav2",
    "wv": "wavpack", "tta": "tta", "ac3": "ac3", "mp2": "mp2", "avi": "mp2", "ts": "mp2",
    "flv": "aac", "aiff": "pcm_s16be", "caf": "pcm_s16le", "rm": "ac3", "asf": "wmav2",
    "3gp": "aac", "aifc": "pcm_f64be",
}  # fmt: skip
# Suffix -> format and subtype of libsndfile.
WRITTEN = {
    "wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"),
    "au": ("AU", "ULAW"), "w64": ("W64", "FLOAT"), "rf64": ("RF64", "PCM_24"),
    "snd": ("AU", "PCM_16"), "wave": ("WAV", "MS_ADPCM"), "aif": ("AIFF", "PCM_S8"),
}  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A file to mutate: the kind of target, a name for its suffix, and its bytes."""

    kind: str
    name: str
    data: bytes

    @property
    def text(self) -> bool:
        """Whether lines and numbers can be changed, not only bytes."""
        return self.kind in ("playlist", "results", "manifest")


def make_seeds(folder: Path, kinds: Sequence[str]) -> list[Seed]:
    """Those of these kinds, in an order that is always the same; ``folder`` is for the work."""
    made: list[Seed] = []
    if "audio" in kinds:
        made += _sounds(folder)
    if "tags" in kinds:
        made += _tagged(folder)
    made += [*_models(), *_playlists(), *_manifests()]
    if "results" in kinds:
        made += _results(folder)
    return [one for one in made if one.kind in kinds]


def _sounds(folder: Path) -> Iterator[Seed]:
    samples = cadence(Key.parse("F# minor"), seconds=SECONDS, sample_rate=RATE)
    stereo = np.stack([samples, 0.5 * samples]).astype(np.float32)
    for suffix, (form, subtype) in WRITTEN.items():
        path = folder / f"sound.{suffix}"
        soundfile.write(path, stereo.T, RATE, format=form, subtype=subtype)
        if form == "OGG":
            number_stream(path)
        yield Seed("audio", path.name, path.read_bytes())
    for suffix, codec in ENCODED.items():
        path = folder / f"sound.{suffix}"
        with suppress(av.FFmpegError, ValueError):
            encode_stereo(path, codec, stereo)
            yield Seed("audio", path.name, path.read_bytes())


def _tagged(folder: Path) -> Iterator[Seed]:
    for name in FILES:
        yield Seed("tags", name, make(folder / name, "F# minor", SECONDS).read_bytes())


def _models() -> Iterator[Seed]:
    for model in EMBEDDED:
        yield Seed("model", f"{model.name}.onnx", model.path.read_bytes())
        checkpoint = model.path.with_suffix(".safetensors")
        if checkpoint.is_file():
            yield Seed("model", checkpoint.name, checkpoint.read_bytes())
            yield Seed("header", checkpoint.name, checkpoint.read_bytes())


def _playlists() -> Iterator[Seed]:
    lines = ["#EXTM3U", "#EXTINF:123,Someone - Söng", "a.mp3", "sub/b.flac", "C:\\Music\\c.mp3",
             "file:///music/d%20e.mp3", "http://radio.example/live", "../caf\xe9.ogg"]  # fmt: skip
    yield Seed("playlist", "set.m3u8", "\r\n".join(lines).encode())
    yield Seed("playlist", "set.m3u", "\n".join(lines).encode("latin-1"))
    yield Seed("playlist", "wide.m3u", "\n".join(lines).encode("utf-16"))
    yield Seed("playlist", "set.pls", b"[playlist]\nFile1=a.mp3\nFile2=file:///b%20c.mp3\n")
    place = {"Location": "file://localhost/C:/Music/d%20e.mp3", "Tonality": "Am", "Name": "One"}
    volume = {"DIR": "/:Music/:", "FILE": "a.mp3", "VOLUME": "USB", "KEY": "1m", "VALUE": "21"}
    with TemporaryDirectory() as folder:
        for path in (
            rekordbox(Path(folder, "rekordbox.xml"), [place] * 3),
            traktor(Path(folder, "collection.nml"), [volume] * 3),
            itunes(Path(folder, "Library.xml"), [place] * 3),
        ):
            yield Seed("playlist", path.name, path.read_bytes())


def _results(folder: Path) -> Iterator[Seed]:
    results = [
        Result(Path(f"/music/{i}.mp3"), 5000, 1.7e9, "m", "ab12", confidence=0.7, duration=61.5,
               tuning=-3.5, warnings=("cut",)).with_label(Key.from_index(i), "musical")
        for i in range(5)
    ]  # fmt: skip
    for suffix in ("csv", "jsonl", "sqlite", "parquet"):
        with suppress(ValueError):  # without pyarrow
            path = folder / f"keys.{suffix}"
            store = open_store(path)
            store.rewrite(results)
            store.finish()
            store.close()
            yield Seed("results", path.name, path.read_bytes())


def _manifests() -> Iterator[Seed]:
    rows = [("path", "key", "split"), ("a.wav", "C minor", "train"), ("b.wav", "", "test")]
    table = "\n".join(",".join(row) for row in rows) + "\n"
    yield Seed("manifest", "tracks.csv", table.encode())
    yield Seed("manifest", "tracks.tsv", table.replace(",", "\t").encode())
    objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    yield Seed("manifest", "tracks.jsonl", "\n".join(map(json.dumps, objects)).encode())


def wav(rate: int, samples: bytes = bytes(4000), channels: int = 1, bits: int = 16) -> bytes:
    """A WAV file whose header says what it is told to."""
    block = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", 1, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits
    )
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(samples))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(samples)) + b"WAVE" + chunks + samples


def _short_opus() -> bytes:
    """An Opus stream whose header ends early, for which mutagen has no error of its own."""
    page = OggPage()
    page.first, page.packets = True, [b"OpusHead\x01\x02"]
    return bytes(page.write())


def past_failures() -> list[Seed]:
    """What once crashed, hung, filled the memory or lost something; taken as it is."""
    noise = np.random.default_rng(0).integers(-9000, 9000, 66150, dtype=np.int16).tobytes()
    sounds = {
        f"rate{rate}.wav": wav(rate, noise) for rate in (0, 1, 2, 20, 2_000_000_000, 2**32 - 1)
    }
    sounds |= {
        "channels.wav": wav(44100, channels=65535),
        "list.mp3": b"ffconcat version 1.0\nfile list.mp3\nfile /dev/zero\n",
        "list.wav": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/hosts\n#EXT-X-ENDLIST\n",
        "sub.mp3": b"ID3\x03\x00\x00\x00\x00\x00\x00" * 50_000,
        "chunks.wav": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 100_000,
        "nothing.flac": b"fLaC" + b"\x00" * 1000,
    }
    texts = {
        "root.m3u": b"/\n../../../../../../../..\n",
        "long.m3u": b"y" * 5000 + b"\n" + b"z" * 300 + b".m3u\n", "nul.m3u": b"a\0b.mp3\n",
    }  # fmt: skip
    tables = {
        "nan.jsonl": b'{"path": "/a", "confidence": NaN}\n', "list.jsonl": b"[[[[[[\n" * 99,
        "deep.jsonl": b'{"path": ' + b"[" * 99_999 + b"\n", "nul.csv": b"path,key\n/a\0b,Am\n",
    }  # fmt: skip
    return [
        *(Seed("audio", name, data) for name, data in sounds.items()),
        *(Seed("tags", name, data) for name, data in sounds.items()),
        Seed("tags", "short.opus", _short_opus()),
        *(Seed("playlist", name, data) for name, data in texts.items()),
        *(Seed("results", name, data) for name, data in tables.items()),
        *(Seed("manifest", name, data) for name, data in tables.items()),
    ]
