"""Headers that are wrong about the sound: sizes, tags of other formats, time stamps."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tag_files import RATE, encode_stereo

from stonekey.audio import EmptyAudioError, load_audio, stream_audio
from stonekey.audio.excerpts import read_excerpts

SECONDS = 3.0
WRONG = "its header is wrong about the length: read to the end of the file"
Make = Callable[..., bytes]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that gives the bytes of 3 s of noise in the format of a name."""
    folder = tmp_path_factory.mktemp("headers")
    noise = np.random.default_rng(0).normal(0, 0.1, round(SECONDS * RATE)).astype(np.float32)

    def run(name: str, codec: str, **options: str) -> bytes:
        rate = 128_000 if codec in ("wmav2", "aac", "libopus", "ac3") else None
        encode_stereo(folder / name, codec, np.stack([noise, 0.5 * noise]), options, rate)
        return (folder / name).read_bytes()

    return run


def with_size(data: bytes, chunk: bytes, size: int, width: int, order: str, skip: int = 0) -> bytes:
    at = data.index(chunk) + len(chunk) + skip
    return data[:at] + size.to_bytes(width, order) + data[at + width :]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1001, 40_000])
@pytest.mark.parametrize(
    ("name", "codec", "chunk", "width", "order", "skip"),
    [
        ("x.wav", "pcm_s16le", b"data", 4, "little", 0),
        ("adpcm.wav", "adpcm_ms", b"data", 4, "little", 0),
        ("rf64.wav", "pcm_s16le", b"ds64", 8, "little", 12),
        ("x.w64", "pcm_s16le", b"data", 8, "little", 12),
        ("x.aiff", "pcm_s16be", b"SSND", 4, "big", 0),
        ("x.caf", "pcm_s16le", b"data", 8, "big", 0),
    ],
)
def test_a_size_that_is_wrong_is_not_believed(
    make: Make, tmp_path: Path, name: str, codec: str, chunk: bytes, width: int, order: str,
    skip: int, size: int,
) -> None:  # fmt: skip
    good = make(name, codec, **({"rf64": "always"} if name == "rf64.wav" else {}))
    path = tmp_path / name
    path.write_bytes(good)
    expected = load_audio(path)
    assert expected.warnings == ()
    path.write_bytes(with_size(good, chunk, size, width, order, skip))
    for source in (path, io.BytesIO(path.read_bytes())):
        audio = load_audio(source)
        assert audio.warnings == (WRONG,)
        # FFmpeg may read a few bytes of a chunk that followed the sound.
        assert audio.duration == pytest.approx(expected.duration, abs=0.01)
        count = len(expected.samples) - 100
        np.testing.assert_allclose(audio.samples[:count], expected.samples[:count], atol=1e-4)
    excerpts = read_excerpts(path, 3, 0.5)
    assert excerpts is None or excerpts.seconds == pytest.approx(SECONDS, abs=0.05)


def test_a_size_that_is_right_or_left_open_is_believed(make: Make, tmp_path: Path) -> None:
    good = make("x.wav", "pcm_s16le")
    path = tmp_path / "x.wav"
    rubbish = b"\xff" * 30_000
    for data in (
        good + b"LIST" + len(rubbish).to_bytes(4, "little") + rubbish,
        good + b"APETAGEX" + rubbish,
        good + b"\xff" * 5000,
        good + bytes(100_000),
        with_size(good, b"data", 0xFFFFFFFF, 4, "little"),
    ):
        path.write_bytes(data)
        audio = load_audio(path)
        assert audio.warnings == ()
        assert audio.duration == pytest.approx(SECONDS, abs=0.05)
    none = with_size(good[: good.index(b"data") + 8], b"data", 0, 4, "little")
    path.write_bytes(none + b"LIST" + len(rubbish).to_bytes(4, "little") + rubbish)
    with pytest.raises(EmptyAudioError, match="0 samples"):
        load_audio(path)


def test_au_without_a_size(make: Make, tmp_path: Path) -> None:
    good = make("x.au", "pcm_s16be")
    (tmp_path / "x.au").write_bytes(good[:8] + bytes(4) + good[12:])
    assert load_audio(tmp_path / "x.au").duration == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.wav", "pcm_s16le"), ("x.aiff", "pcm_s16be"), ("x.wma", "wmav2"), ("x.wv", "wavpack"),
        ("x.flac", "flac"), ("x.m4a", "aac"), ("x.mka", "libopus"), ("x.caf", "pcm_s16le"),
        ("x.au", "pcm_s16be"), ("x.opus", "libopus"), ("x.ac3", "ac3"), ("x.mp3", "libmp3lame"),
    ],
)  # fmt: skip
def test_an_id3_tag_before_any_format_is_skipped(
    make: Make, tmp_path: Path, name: str, codec: str
) -> None:
    good = make(name, codec)
    title = b"TIT2\0\0\0\x05\0\0\0name"
    tag = b"ID3\x03\0\0\0\0\x10\0" + title + bytes(2048 - len(title))
    path = tmp_path / name
    path.write_bytes(good)
    expected = load_audio(path)
    for data in (tag + good, tag + tag + good):
        path.write_bytes(data)
        for source in (path, io.BytesIO(data)):
            audio = load_audio(source)
            assert audio.warnings == ()
            assert audio.duration == pytest.approx(expected.duration, abs=0.06)
    if name == "x.wav":  # both faults
        path.write_bytes(tag + with_size(good, b"data", 0, 4, "little"))
        assert load_audio(path).warnings == (WRONG,)


def test_what_ffmpeg_does_not_read_goes_to_libsndfile(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 22050)
    soundfile.write(tmp_path / "x.voc", noise, 22050, format="VOC", subtype="PCM_16")
    with stream_audio(tmp_path / "x.voc") as stream:
        assert sum(map(len, stream)) == 22050
        assert stream.backend == "soundfile"


@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.opus", "libopus"), ("x.ogg", "libvorbis"), ("x.mka", "libopus"), ("x.webm", "libopus"),
     ("y.mka", "flac"), ("x.m4a", "aac")],
)  # fmt: skip
def test_sound_that_starts_late_is_not_cut(tmp_path: Path, name: str, codec: str) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program to make the files")
    whole, path = tmp_path / f"whole_{name}", tmp_path / name
    quiet = [program, "-v", "error", "-y"]
    source = "anoisesrc=d=12:c=pink:r=48000"
    subprocess.run([*quiet, "-f", "lavfi", "-i", source, "-c:a", codec, whole], check=True)
    cut = ["-ss", "5", "-copyts", "-i", whole, "-c", "copy"]
    late = ["-i", whole, "-c", "copy", "-output_ts_offset", "7"]
    for options, seconds in ((cut, 7.0), (late, 12.0)):
        subprocess.run([*quiet, *options, path], check=True)
        audio = load_audio(path)
        assert audio.warnings == ()
        assert audio.duration == pytest.approx(seconds, abs=1.0)
        excerpts = read_excerpts(path, 3, 1.0)
        assert excerpts is not None
        assert excerpts.seconds == pytest.approx(audio.duration, abs=0.1)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])  # one that is cut is still found out
    if name != "x.m4a":
        assert any("truncated" in text for text in load_audio(path).warnings)
