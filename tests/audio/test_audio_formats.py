"""Every container and codec the decoder promises, each made by the ffmpeg program."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sound_formats import FORMATS, VIDEOS, NoEncoderError
from sound_formats import encode as encoded

from stonekey.audio import NoAudioStreamError, load_audio, stream_audio

SECONDS = 3.0
Encode = Callable[..., Path]


@pytest.fixture(scope="session")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Encode:
    """Return a function that writes ``name`` from ffmpeg's inputs and options."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program to make the files")
    folder = tmp_path_factory.mktemp("encoded")

    def run(name: str, inputs: list[str], options: str) -> Path:
        path = folder / name
        if path.exists():
            return path
        sources = [word for source in inputs for word in ("-f", "lavfi", "-i", source)]
        try:
            encoded(program, path, sources, options)
        except NoEncoderError as error:
            pytest.skip(str(error))
        return path

    return run


def tones(channels: int = 2, rate: int = 44100, seconds: float = SECONDS) -> str:
    """Return ffmpeg's input: channel c is a sine of 220 * (c + 2) Hz, amplitude 0.5 / (c + 1)."""
    sines = "|".join(f"{0.5 / (c + 1)}*sin(2*PI*{220 * (c + 2)}*t)" for c in range(channels))
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
    return f"aevalsrc={sines}:c={layout}:s={rate}:d={seconds}"


def amplitude(samples: np.ndarray, frequency: float, rate: int = 22050) -> float:
    """Return the amplitude of a sine within a signal, its first and last 0.4 s left out."""
    middle = samples[int(0.4 * rate) : -int(0.4 * rate)].astype(np.float64)
    window = np.hanning(len(middle))
    turn = np.exp(-2j * np.pi * frequency / rate * np.arange(len(middle)))
    return float(2 * abs(np.sum(middle * window * turn)) / window.sum())


def check_tones(path: Path, channels: int, tolerance: float, backend: str | None = None) -> None:
    """Check rate, length and mix of a file made from ``tones``."""
    with stream_audio(path) as stream:
        blocks = list(stream)
    assert stream.warnings == []
    assert backend in (None, stream.backend)
    samples = np.concatenate(blocks)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) / 22050 - SECONDS) < 0.12
    for channel in range(channels):
        if channel == 3 and tolerance > 0.01:
            continue  # the bass channel of 5.1: lossy encoders low-pass it
        expected = 0.5 / (channel + 1) / channels
        assert amplitude(samples, 220 * (channel + 2)) == pytest.approx(
            expected, abs=min(tolerance, 0.3 * expected)
        )


@pytest.mark.parametrize(("name", "options", "backend", "tolerance"), FORMATS)
def test_container_and_codec(
    encode: Encode, name: str, options: str, backend: str, tolerance: float
) -> None:
    check_tones(encode(name, [tones()], options), 2, tolerance, backend)


@pytest.mark.parametrize("name", ["cover.mp3", "cover.flac", "cover.m4a"])
def test_cover_art_and_tags_are_no_trouble(encode: Encode, name: str) -> None:
    path = encode(
        name,
        [tones(), "testsrc=s=320x320:d=0.04:r=25"],
        "-map 0 -map 1 -c:v mjpeg -disposition:v attached_pic -metadata title=x -t 3",
    )
    check_tones(path, 2, 0.02, "pyav" if name.endswith("m4a") else "soundfile")


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.opus", "x.m4a", "x.mka"])
def test_channels(encode: Encode, name: str, channels: int) -> None:
    codec = {
        ".m4a": "alac" if channels < 8 else "aac",
        ".ogg": "libvorbis",
        ".mka": "pcm_f32le",
    }.get(Path(name).suffix)
    options = f"-c:a {codec}" if codec else ""
    check_tones(encode(f"{channels}{name}", [tones(channels)], options), channels, 0.02)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 48000, 88200, 96000, 192000])
@pytest.mark.parametrize("extension", ["wav", "flac", "mka"])
def test_sampling_rates(encode: Encode, rate: int, extension: str) -> None:
    path = encode(f"{rate}.{extension}", [tones(rate=rate)], "")
    check_tones(path, 2, 0.02 if extension == "mka" else 0.002)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *[
            (f"{code}.wav", f"-c:a pcm_{code}")
            for code in ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "alaw", "mulaw")
        ],
        *[
            (f"{code}.aiff", f"-c:a pcm_{code}")
            for code in ("s8", "s16be", "s24be", "s32be", "f32be", "f64be")
        ],
        *[(f"{code}.mka", f"-c:a pcm_{code}") for code in ("u8", "s16le", "s32le", "f64le")],
        ("16.flac", "-sample_fmt s16"),
        ("24.flac", "-sample_fmt s32 -bits_per_raw_sample 24"),
        ("24.m4a", "-c:a alac -sample_fmt s32p"),
    ],
)
def test_sample_types(encode: Encode, name: str, options: str) -> None:
    check_tones(encode(name, [tones()], options), 2, 0.01)


@pytest.mark.parametrize(("name", "options"), VIDEOS)
def test_sound_of_a_video(encode: Encode, name: str, options: str) -> None:
    path = encode(name, [tones(), f"testsrc=s=64x64:r=25:d={SECONDS}"], f"-map 0 -map 1 {options}")
    check_tones(path, 2, 0.02, "pyav")


@pytest.mark.parametrize("name", ["silent.mp4", "silent.mkv"])
def test_video_without_sound(encode: Encode, name: str) -> None:
    path = encode(name, ["testsrc=s=64x64:r=25:d=0.04"], "-an")
    with pytest.raises(NoAudioStreamError, match=name):
        load_audio(path)


@pytest.mark.parametrize("codec", ["libvorbis", "libopus"])
def test_chained_streams(encode: Encode, tmp_path: Path, codec: str) -> None:
    """Ogg allows one stream after another, as web radios write them."""
    first = encode(f"{codec}1.ogg", [tones()], f"-c:a {codec} -serial_offset 1")
    second = encode(f"{codec}2.ogg", [tones()], f"-c:a {codec} -serial_offset 7")
    path = tmp_path / "chained.ogg"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    audio = load_audio(path)
    assert audio.duration == pytest.approx(2 * SECONDS, abs=0.1)
    for half in (audio.samples[: 3 * 22050], audio.samples[3 * 22050 :]):
        assert amplitude(half, 440) == pytest.approx(0.25, abs=0.02)


def test_rate_that_changes_within_a_file(encode: Encode, tmp_path: Path) -> None:
    parts = [
        encode(f"{rate}.aac", [tones(rate=rate)], "-c:a aac -b:a 160k") for rate in (44100, 32000)
    ]
    path = tmp_path / "changes.aac"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    audio = load_audio(path)
    assert audio.duration == pytest.approx(2 * SECONDS, abs=0.2)
    for half in (audio.samples[: 3 * 22050], audio.samples[-3 * 22050 :]):
        assert amplitude(half, 440) == pytest.approx(0.25, abs=0.02)


def test_joined_mp3_is_read_to_its_end(encode: Encode, tmp_path: Path) -> None:
    """The header of the first part tells the length of that part only."""
    part = encode("cbr.mp3", [tones()], "-c:a libmp3lame -b:a 128k").read_bytes()
    path = tmp_path / "joined.mp3"
    path.write_bytes(part + part)
    assert load_audio(path).duration == pytest.approx(2 * SECONDS, abs=0.2)
