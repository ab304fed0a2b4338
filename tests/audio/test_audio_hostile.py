"""Files that lie, point elsewhere, never end, or take for ever."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stonekey.audio import (
    AudioError,
    NoAudioStreamError,
    TimeLimitError,
    UnreadableError,
    load_audio,
    stream_audio,
)
from stonekey.audio.deadline import time_limit
from stonekey.audio.resampling import BlockResampler
from stonekey.tags.base import TagError
from stonekey.tags.writing import sound_hash

GIGABYTE = 1 << 30
SOUND = 0.1 * np.random.default_rng(0).standard_normal(66150)


def encoded(kind: str, subtype: str | None = None) -> bytes:
    """Three seconds of noise at 22 050 Hz."""
    buffer = io.BytesIO()
    soundfile.write(buffer, SOUND, 22050, format=kind, subtype=subtype)
    return buffer.getvalue()


@pytest.fixture
def ffmpeg() -> str:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program to make the files")
    return program


def sparse(path: Path, start: bytes, size: int) -> Path:
    """A file of zeros after ``start``, which takes no space on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    if path.stat().st_blocks * 512 > size // 2:
        pytest.skip("this file system has no sparse files")
    return path


@pytest.fixture
def no_minutes() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < 20


@pytest.mark.parametrize("rate", [0, 1, 20, 999, 1_000_001, 2_000_000_000])
@pytest.mark.parametrize(
    ("kind", "place", "form"), [("WAV", 24, "<I"), ("AU", 16, ">I"), ("CAF", 20, ">d")]
)
def test_rates_that_lie(tmp_path: Path, kind: str, place: int, form: str, rate: int) -> None:
    data = bytearray(encoded(kind))
    assert struct.unpack_from(form, data, place)[0] == 22050
    struct.pack_into(form, data, place, rate)
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data)):
        with pytest.raises((UnreadableError, NoAudioStreamError)):
            load_audio(source)


@pytest.mark.parametrize("rate", [1000, 1_000_000])
def test_rates_at_the_limits(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", SOUND, rate)
    with stream_audio(tmp_path / "x.wav", tune=lambda start, rate: 20.0) as stream:
        blocks = list(stream)
    assert stream.seconds == pytest.approx(66150 / rate, rel=0.01)
    assert max(map(len, blocks)) < 1.1 * 2**20


def test_steps_of_resampling_are_small() -> None:
    block = np.zeros(20_000, np.float32)
    resampler = BlockResampler(1000, 1_000_000)
    pieces = [len(piece) for piece in resampler.push(block)]
    assert sum(pieces) + len(resampler.flush()) == 20_000_000
    assert max(pieces) < 2 * 2**20


@pytest.mark.parametrize("name", ["list.mp3", "list.wav", "list.ffconcat", "list.m3u8", "list.sdp"])
def test_lists_open_nothing(tmp_path: Path, name: str) -> None:
    """Whatever the text names: a file beside it, itself, an address, a pipe that would block."""
    (tmp_path / "a.ogg").write_bytes(encoded("OGG"))
    (tmp_path / "a.wav").write_bytes(encoded("WAV"))
    os.mkfifo(tmp_path / "pipe.mp3")
    path = tmp_path / name
    for entry in (
        "a.wav",
        "a.ogg",
        name,
        "pipe.mp3",
        str(tmp_path / "a.wav"),
        "http://[::1]/a.mp3",
    ):
        texts = [
            f"ffconcat version 1.0\nfile {entry}\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{entry}\n#EXT-X-ENDLIST\n",
            f"<?xml version='1.0'?><MPD profiles='urn:mpeg:dash:profile:isoff-main:2011'><Period>"
            f"<AdaptationSet contentType='audio'><Representation id='0'><BaseURL>{entry}</BaseURL>"
            "</Representation></AdaptationSet></Period></MPD>",
        ]
        for text in texts:
            path.write_text(text)
            for source in (path, io.BytesIO(text.encode())):
                with pytest.raises(AudioError):
                    load_audio(source)
            with pytest.raises(TagError, match=name):
                sound_hash(path)


@pytest.mark.usefixtures("no_minutes")
def test_chunks_without_end(tmp_path: Path) -> None:
    head = b"RIFF" + struct.pack("<I", 2 * GIGABYTE - 9) + b"WAVE"
    with pytest.raises(UnreadableError, match=r"no sound in 128 MB of it"):
        load_audio(sparse(tmp_path / "x.wav", head, 2 * GIGABYTE))
    head = b"FORM" + struct.pack(">I", 2 * GIGABYTE - 9) + b"AIFF"
    with pytest.raises(UnreadableError, match=r"x\.aiff: "):
        load_audio(sparse(tmp_path / "x.aiff", head, 2 * GIGABYTE))


@pytest.mark.usefixtures("no_minutes")
def test_millions_of_empty_tags(tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(b"ID3\4\0\0\0\0\0\0" * 2_000_000 + encoded("MP3"))
    assert load_audio(tmp_path / "x.mp3").duration == pytest.approx(3, abs=0.1)


@pytest.mark.usefixtures("no_minutes")
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "OGG"])
def test_gigabytes_of_nothing(tmp_path: Path, kind: str) -> None:
    """What comes before them is kept."""
    path = sparse(tmp_path / f"x.{kind.lower()}", encoded(kind), 8 * GIGABYTE)
    assert load_audio(path).duration == pytest.approx(3, abs=0.2)
    with pytest.raises(UnreadableError, match=r"y\."):
        load_audio(sparse(tmp_path / f"y.{kind.lower()}", b"", 8 * GIGABYTE))


def test_a_lost_sound_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound, then too much that is none, then sound again: the first part counts."""
    monkeypatch.setattr("stonekey.audio.container.SILENT_BYTES", 1_000_000)
    (tmp_path / "x.mp2").write_bytes(encoded("MP3") + bytes(9_000_000) + encoded("MP3"))
    audio = load_audio(tmp_path / "x.mp2")
    assert audio.duration == pytest.approx(3, abs=0.2)
    assert any("could not be decoded" in text for text in audio.warnings)


@pytest.mark.parametrize("kind", ["WAV", "OGG"])
def test_time_limit(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind.lower()}"
    with soundfile.SoundFile(path, "w", 22050, 1, format=kind) as file:
        for _ in range(20):
            file.write(SOUND)
    with pytest.raises(TimeLimitError, match=r"x\.\w+: took longer than 1e-06 s"):
        load_audio(path, timeout=1e-6)
    with stream_audio(path, timeout=1.0) as stream:
        next(stream)
        time.sleep(1.1)
        with pytest.raises(TimeLimitError, match="took longer than 1 s"):
            list(stream)
    assert load_audio(path, timeout=math.inf).duration == pytest.approx(60, abs=0.1)
    with pytest.raises(ValueError, match="above 0"):
        load_audio(path, timeout=0)


def test_time_limit_goes_by_bytes_on_the_disk(tmp_path: Path) -> None:
    small, hollow = tmp_path / "small.wav", sparse(tmp_path / "hollow.wav", b"RIFF", 8 * GIGABYTE)
    small.write_bytes(os.urandom(1_000_000))
    assert time_limit(small) == pytest.approx(150, abs=1)
    assert time_limit(hollow) < 125
    assert time_limit(tmp_path / "missing") == 120


class Slow(io.BytesIO):
    """Gives a byte at a time, like a network file system that hangs."""

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.01)
        return super().read(1)


def test_time_limit_holds_inside_one_call_of_ffmpeg() -> None:
    start = time.monotonic()
    with pytest.raises(TimeLimitError, match="took longer"):
        load_audio(Slow(encoded("OGG")), timeout=0.5)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("tag", [b"00:00:1.2.3", b"99:99:99.9.9", b"9999999:00:01", b"a:b:c"])
def test_length_in_a_tag_that_is_none(ffmpeg: str, tmp_path: Path, tag: bytes) -> None:
    good = tmp_path / "good.mka"
    (tmp_path / "x.wav").write_bytes(encoded("WAV"))
    make = [ffmpeg, "-v", "error", "-i", tmp_path / "x.wav", "-c:a", "flac", good]
    subprocess.run(make, check=True)
    length = rb"00:00:03\.\d{9}(?:\0\0)?"  # without the zeros from FFmpeg 9 on
    data, count = re.subn(length, lambda m: tag.ljust(len(m[0]), b"\0"), good.read_bytes())
    assert count == 1
    (tmp_path / "bad.mka").write_bytes(data)
    audio = load_audio(tmp_path / "bad.mka")
    assert (audio.duration, audio.warnings) == (3.0, ())


@pytest.mark.parametrize("size", [0x7FFFFFFFFFFFFFFF, 0x0000FFFFFFFFFFFF])
def test_a_length_of_ages_is_not_believed(ffmpeg: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "x.wav").write_bytes(encoded("WAV"))
    m4a = tmp_path / "x.m4a"
    make = [ffmpeg, "-v", "error", "-i", tmp_path / "x.wav", "-c:a", "alac", m4a]
    subprocess.run(make, check=True)
    data = bytearray(m4a.read_bytes())
    place = data.index(b"mdhd") + 4
    # Version 1, with 64 bits of duration, does not fit: the time scale makes it ages.
    struct.pack_into(">II", data, place + 12, 1, size & 0xFFFFFFFF)
    m4a.write_bytes(data)
    with stream_audio(m4a) as stream:
        assert stream.expected_seconds is None
        for block in stream:
            assert np.isfinite(block).all()


@pytest.mark.parametrize("value", ["caf\udce9", "\udcff\udcfe"])
def test_tags_in_no_known_encoding(ffmpeg: str, tmp_path: Path, value: str) -> None:
    """PyAV before 19 refuses files with such tags unless told not to."""
    (tmp_path / "x.wav").write_bytes(encoded("WAV"))
    for name, codec in (("adpcm.wav", "adpcm_ms"), ("x.mka", "flac")):
        make = [ffmpeg, "-v", "error", "-i", tmp_path / "x.wav", "-metadata", f"title={value}"]
        path = tmp_path / name
        subprocess.run([*make, "-c:a", codec, path], check=True)
        assert os.fsencode(value) in path.read_bytes()
        assert load_audio(path).duration == pytest.approx(3, abs=0.1)
        assert len(sound_hash(path)) == 64


@pytest.mark.parametrize("channels", [(2, 1), (6, 2), (1, 8)])
def test_channels_that_change_midway(
    ffmpeg: str, tmp_path: Path, channels: tuple[int, int]
) -> None:
    parts = []
    for number, count in enumerate(channels):
        layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[count]
        part = tmp_path / f"{number}.aac"
        source = f"sine=440:d=3,aformat=sample_rates=44100:channel_layouts={layout}"
        make = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-c:a", "aac", part]
        if subprocess.run(make).returncode:
            pytest.skip(f"needs an ffmpeg that writes {layout} as AAC")
        parts.append(part.read_bytes())
    path = tmp_path / "x.aac"
    path.write_bytes(b"".join(parts))
    assert load_audio(path).duration == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize("damage", ["planes", "format", "rate", "error"])
def test_frames_that_make_no_sense_cost_themselves_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """What PyAV gives for some damage differs from version to version: it is made here."""
    from stonekey.audio import pyav_source

    class Odd:
        """A frame in which something is wrong."""

        def __init__(self, frame: object) -> None:
            self._frame = frame

        def __getattr__(self, name: str) -> object:
            if damage == "planes" and name == "planes":
                return ()
            if damage == "rate" and name == "sample_rate":
                return 0
            if damage == "error" and name == "samples":
                raise ValueError("no such layout")
            if damage == "format" and name == "format":
                return type("Format", (), {"name": "xyz", "is_planar": True})
            return getattr(self._frame, name)

    real = pyav_source.PyavSource._frames

    def frames(self: pyav_source.PyavSource) -> Iterator[object]:
        for number, frame in enumerate(real(self)):
            yield Odd(frame) if number in (50, 51, 70) else frame

    monkeypatch.setattr(pyav_source.PyavSource, "_frames", frames)
    (tmp_path / "x.ogg").write_bytes(encoded("OGG"))
    audio = load_audio(tmp_path / "x.ogg")
    assert 2 < audio.duration < 3
    assert "damaged: 3 parts could not be decoded and were left out" in audio.warnings
