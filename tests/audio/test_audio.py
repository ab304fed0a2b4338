"""The interface of ``stonekey.audio``: loading, streaming, resampling, finding files."""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from cli_tools import ROOT, open_to_all

from stonekey.audio import (
    SAMPLE_RATE,
    AudioError,
    find_audio_files,
    load_audio,
    resample,
    stream_audio,
)


def noise(seconds: float, rate: int, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.2 * rng.standard_normal((int(seconds * rate), channels))).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int, subtype: str | None = "FLOAT") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def test_samples_are_the_resampled_mean_of_the_channels(tmp_path: Path) -> None:
    samples = noise(20.3, 44100)
    audio = load_audio(write(tmp_path / "x.wav", samples, 44100))
    expected = soxr.resample(samples.mean(axis=1), 44100, 22050, quality="HQ")
    assert audio.sample_rate == SAMPLE_RATE == 22050
    assert audio.warnings == ()
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == expected.shape
    assert np.abs(audio.samples - expected).max() < 1e-6
    assert audio.duration == pytest.approx(20.3, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_no_resampling_at_the_same_rate(tmp_path: Path, channels: int, subtype: str) -> None:
    samples = np.clip(noise(7, 22050, channels), -0.99, 0.99)
    with stream_audio(write(tmp_path / "x.wav", samples, 22050, subtype)) as stream:
        blocks = list(stream)
    assert len(blocks) > 1
    assert stream.channels == channels
    assert stream.source_rate == 22050
    assert stream.seconds == stream.expected_seconds == 7.0
    tolerance = {"PCM_16": 2**-15, "PCM_24": 1e-6, "FLOAT": 1e-6}[subtype]
    assert np.abs(np.concatenate(blocks) - samples.mean(axis=1)).max() < tolerance


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.aiff", "x.ogg"])
def test_streaming_equals_loading_and_blocks_are_small(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, noise(30, 44100), 44100, None)
    with stream_audio(path) as stream:
        blocks = list(stream)
    assert max(map(len, blocks)) < 66000
    assert np.array_equal(np.concatenate(blocks), load_audio(path).samples)


def test_blocks_do_not_share_memory(tmp_path: Path) -> None:
    """Blocks kept by the caller stay as they were when the next is decoded."""
    for name, channels in (("x.wav", 1), ("x.wav", 2), ("x.aiff", 1)):
        samples = noise(8, 22050, channels)
        path = write(tmp_path / name, samples, 22050)
        kept = list(stream_audio(path))
        assert np.allclose(np.concatenate(kept), samples.mean(axis=1), atol=1e-6)


def test_other_rates_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", noise(2, 44100), 44100)
    for rate in (8000, 22050, 44100, 48000):
        audio = load_audio(path, rate)
        assert audio.sample_rate == rate
        assert len(audio.samples) == pytest.approx(2 * rate, abs=2)
    with pytest.raises(ValueError, match="between"):
        stream_audio(path, 0)


def test_names_of_any_bytes_and_type(tmp_path: Path) -> None:
    names = [b"caf\xe9 \xff.wav", "ключ ♭.flac".encode(), b"http:x%s.ogg", b"-i.aiff", b"a\nb.wav"]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        try:
            path.touch()
        except OSError:
            continue  # a file system that takes UTF-8 alone
        buffer = io.BytesIO()
        kind = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".aiff": "AIFF"}[path.suffix]
        soundfile.write(buffer, noise(0.5, 22050), 22050, format=kind)
        path.write_bytes(buffer.getvalue())
        for form in (path, str(path), os.fsencode(path)):
            assert load_audio(form).duration == pytest.approx(0.5)
        assert find_audio_files(tmp_path) == [path]
        path.write_bytes(b"no sound" * 100)
        with pytest.raises(AudioError) as caught:
            load_audio(path)
        str(caught.value).encode("utf-8")  # can be printed
        path.unlink()


def test_relative_name_that_looks_like_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("concat:a.aiff"), noise(0.5, 22050), 22050)
    assert load_audio("concat:a.aiff").duration == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["WAV", "OGG", "FLAC", "MP3"])
def test_file_objects(kind: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(2, 44100), 44100, format=kind)
    buffer.seek(0)
    audio = load_audio(buffer)
    assert audio.duration == pytest.approx(2.0, abs=0.1)
    assert audio.warnings == ()
    assert not buffer.closed


def test_stream_can_be_left_early(tmp_path: Path) -> None:
    for name in ("x.wav", "x.ogg"):
        path = write(tmp_path / name, noise(20, 44100), 44100, None)
        with stream_audio(path) as stream:
            first = next(stream)
        assert len(first) > 0
        assert stream.seconds < 5
        assert list(stream) == []
        path.unlink()


def test_opus_files_that_libsndfile_calls_malformed(shared: Path) -> None:
    paths = sorted((shared / "audio" / "dev").glob("*.opus"))[:12]
    refused = 0
    for path in paths:
        audio = load_audio(path)
        assert audio.warnings == ()
        assert audio.duration > 10
        assert 1e-4 < np.sqrt(np.mean(audio.samples**2)) < 1
        try:
            soundfile.read(path)
        except soundfile.LibsndfileError:
            refused += 1
    assert refused > 0


def test_golden_recordings(shared: Path) -> None:
    """The samples that the golden outputs come from, up to 8 kHz (no bin of the models is above).

    Higher up, the cut-offs of the two resamplers differ.
    """
    for name, wave in (("nocturne*", "nocturne"), ("Cmajor*", "cmajor")):
        (path,) = (shared / "golden" / "audio").glob(f"{name}.mp3")
        (arrays,) = (shared / "golden").rglob(f"{wave}_wave22050.npz")
        with np.load(arrays) as file:
            golden = file["wave22050"].reshape(-1)
        samples = load_audio(path).samples
        assert abs(len(samples) - len(golden)) <= 1
        count = min(len(samples), len(golden))
        difference = np.fft.rfft(samples[:count] / np.abs(samples).max() - golden[:count])
        difference[np.fft.rfftfreq(count, 1 / 22050) > 8000] = 0
        assert np.abs(np.fft.irfft(difference, count)).max() < 5e-4


MEASURE = r"""
import re, sys
from pathlib import Path
from stonekey.audio import stream_audio
with stream_audio(sys.argv[1]) as stream:
    total = sum(len(block) for block in stream)
# Not ru_maxrss, which a process inherits from the one that started it.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(total / 22050, peak, stream.backend)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
@pytest.mark.parametrize(
    ("name", "options", "backend"),
    [("long.mp3", "-c:a libmp3lame", "soundfile"), ("long.m4a", "-c:a aac", "pyav")],
)
@pytest.mark.slow
def test_three_hours_in_little_memory(
    tmp_path: Path, name: str, options: str, backend: str
) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program to make the files")
    minute, path = tmp_path / f"minute_{name}", tmp_path / name
    source = "aevalsrc=0.3*sin(2*PI*440*t)|0.3*sin(2*PI*550*t):d=60:s=22050"
    quiet = [program, "-v", "error", "-y"]
    make = [*quiet, "-f", "lavfi", "-i", source, *options.split(), "-b:a", "32k"]
    subprocess.run([*make, minute], check=True)
    repeat = [*quiet, "-stream_loop", "179", "-i", minute, "-c", "copy"]
    subprocess.run([*repeat, path], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes, used = result.stdout.split()
    assert float(seconds) == pytest.approx(3 * 3600, rel=0.002)
    assert used == backend
    assert float(megabytes) < 150
    assert result.stderr == ""


def test_resample() -> None:
    samples = noise(1, 48000)
    expected = soxr.resample(samples.mean(axis=1), 48000, 22050, quality="HQ")
    assert np.abs(resample(samples, 48000, 22050) - expected).max() < 1e-6
    assert np.abs(resample(samples.astype(np.float64), 48000, 22050) - expected).max() < 1e-6
    pcm = np.round(samples * 32767).astype(np.int16)
    assert np.abs(resample(pcm, 48000, 22050) - expected).max() < 1e-4
    unsigned = np.round(samples * 127 + 128).clip(0, 255).astype(np.uint8)
    assert np.abs(resample(unsigned, 48000, 22050) - expected).max() < 0.03
    mono = samples[:, 0]
    assert np.array_equal(resample(mono, 22050, 22050), mono)
    assert np.array_equal(resample(mono[:, None], 22050, 22050), mono)
    assert resample(np.zeros(0), 44100, 22050).shape == (0,)


@pytest.mark.parametrize(
    ("samples", "rates", "message"),
    [
        (np.zeros((2, 1000)), (44100, 22050), "transpose"),
        (np.zeros((2, 2, 2)), (44100, 22050), "channels"),
        (np.zeros((9, 0)), (44100, 22050), "channels"),
        (np.zeros(9), (0, 22050), "between"),
        (np.zeros(9), (44100, float("nan")), "between"),
        (np.zeros(9, complex), (44100, 22050), "not sound"),
    ],
)
def test_resample_refuses(samples: np.ndarray, rates: tuple[float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resample(samples, *rates)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "music"
    for name in (
        "b.mp3",
        "a.FLAC",
        "notes.txt",
        "cover.jpg",
        ".hidden.mp3",
        "._b.mp3",
        ".git/c.mp3",
        "disc 1/01.opus",
        "disc 1/deep/er/02.mkv",
        "folder.mp3/inside.wav",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(root: Path, found: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


def test_find_audio_files(tree: Path) -> None:
    everything = [
        "a.FLAC",
        "b.mp3",
        "disc 1/01.opus",
        "disc 1/deep/er/02.mkv",
        "folder.mp3/inside.wav",
    ]
    assert names(tree, find_audio_files(tree)) == everything
    assert names(tree, find_audio_files([str(tree), tree / "b.mp3", tree])) == everything
    assert names(tree, find_audio_files([tree], "mp3")) == ["b.mp3"]
    assert names(tree, find_audio_files([tree], [".flac", "MKV"])) == [
        "a.FLAC",
        "disc 1/deep/er/02.mkv",
    ]
    assert find_audio_files([]) == []


def test_find_keeps_files_named_outright(tree: Path) -> None:
    explicit = [tree / "notes.txt", tree / ".hidden.mp3", tree / "missing.wav"]
    assert find_audio_files(explicit) == explicit  # in the order given
    assert names(tree, find_audio_files(tree / ".git")) == [".git/c.mp3"]


def test_find_follows_links_once(tree: Path) -> None:
    (tree / "disc 1" / "up").symlink_to(tree)
    (tree / "a link").symlink_to(tree / "disc 1")
    (tree / "self.mp3").symlink_to(tree / "self.mp3")
    (tree / "broken.mp3").symlink_to(tree / "nowhere.mp3")
    other = tree.parent / "other"
    other.mkdir()
    (other / "x.ogg").touch()
    (tree / "zz").symlink_to(other)
    errors: list[Path] = []
    found = find_audio_files(tree, on_error=lambda path, error: errors.append(path))
    assert names(tree, found) == [
        "a.FLAC",
        "b.mp3",
        "disc 1/01.opus",
        "disc 1/deep/er/02.mkv",
        "folder.mp3/inside.wav",
        "zz/x.ogg",
    ]
    assert set(errors) <= {tree / "self.mp3"}


def test_links_lead_to_each_real_file_once_and_never_above(tree: Path) -> None:
    other = tree.parent / "other"
    other.mkdir()
    for name in ("x.ogg", "y.ogg"):
        (other / name).touch()
    (tree.parent / "above.mp3").touch()
    (other / "up").symlink_to("..")
    (tree / "zz").symlink_to(other)
    (tree / "disc 1/loop").symlink_to("..")
    (tree / "disc 1/home").symlink_to("../..")
    (tree / "0.mp3").symlink_to("b.mp3")  # sorts before its file
    (tree / "x.ogg").symlink_to(other / "x.ogg")
    (tree / "z.ogg").symlink_to(other / "z.ogg")
    (other / "z.ogg").symlink_to(tree.parent / "above.mp3")
    for path in (tree / "disc 1", tree):  # the folder named decides what is above
        repeats: list[Path] = []
        found = find_audio_files(path, on_repeat=repeats.append)
        inside = names(tree, found)
        assert inside == [name for name in inside if name.startswith("disc 1")] or path == tree
        real = [os.path.realpath(one) for one in found]
        assert len(real) == len(set(real))
    assert inside[-3:] == ["z.ogg", "zz/x.ogg", "zz/y.ogg"]
    assert {path.name for path in repeats} == {"0.mp3", "x.ogg", "z.ogg"}


def test_found_files_keep_the_order_of_what_was_given(tree: Path) -> None:
    given = [tree / "b.mp3", tree / "folder.mp3", tree / "disc 1", tree / "a.FLAC"]
    assert names(tree, find_audio_files(given)) == [
        "b.mp3", "folder.mp3/inside.wav", "disc 1/01.opus", "disc 1/deep/er/02.mkv", "a.FLAC",
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of Unix")
def test_find_reports_folders_it_may_not_list(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    locked = tree / "disc 1"
    root = os.geteuid() == 0
    if root:  # nothing is forbidden to root: become nobody, who may enter the folders above
        open_to_all(tree)
    locked.chmod(0)
    errors: list[Path] = []
    try:
        if root:
            os.seteuid(65534)
        found = find_audio_files(tree, on_error=lambda path, error: errors.append(path))
        with caplog.at_level(logging.WARNING):
            assert find_audio_files(tree) == found
    finally:
        if root:
            os.seteuid(0)
        locked.chmod(0o755)
    assert errors == [locked]
    assert names(tree, found) == ["a.FLAC", "b.mp3", "folder.mp3/inside.wav"]
    assert "disc 1: cannot be listed" in caplog.text


def test_import_loads_no_decoder() -> None:
    code = (
        "import sys, stonekey.audio; print({'av', 'soundfile', 'soxr', 'torch'} & {*sys.modules})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
