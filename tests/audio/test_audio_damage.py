"""Files that are cut, damaged, or no sound at all."""

from __future__ import annotations

import io
import os
import pickle
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stonekey.audio import (
    AudioError,
    EmptyAudioError,
    NoAudioStreamError,
    TooShortError,
    UnreadableError,
    load_audio,
)

SECONDS = 10.0
NAMES = ["x.wav", "x.flac", "x.mp3", "x.ogg", "x.opus", "x.m4a", "x.aac", "x.wma", "x.mka"]
Encode = Callable[[str], bytes]


@pytest.fixture(scope="module")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Encode:
    """Return a function that gives the bytes of 10 s of stereo noise in the format of a name."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program to make the files")
    folder = tmp_path_factory.mktemp("damage")

    def run(name: str) -> bytes:
        path = folder / name
        if not path.exists():
            # Variable loudness, so that packets differ in size. Both channels get the same random
            # numbers, so they are out of phase in places, and the reader says so.
            source = f"aevalsrc=random(0)*sin(t)|random(1)*cos(t):d={SECONDS}:s=44100"
            options = ["-movflags", "faststart"] if name.endswith("m4a") else []
            if name.endswith("mp3"):
                options = ["-b:a", "128k"]
            command = [program, "-v", "error", "-y", "-f", "lavfi", "-i", source, *options]
            subprocess.run([*command, str(path)], check=True)
        return path.read_bytes()

    return run


@pytest.mark.parametrize("name", NAMES)
def test_truncated_file_gives_what_there_is(
    encode: Encode, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = encode(name)
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) * 6 // 10])
    audio = load_audio(path)
    assert 4.5 < audio.duration < 7.5
    # Raw AAC has no header that promises a length and no end mark.
    if name != "x.aac":
        assert any("truncated" in text for text in audio.warnings), audio.warnings
    if name in ("x.wav", "x.flac", "x.mp3", "x.m4a"):
        assert any("s decoded of the 10.0 s" in text for text in audio.warnings), audio.warnings
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_whole_file_gives_no_warning(encode: Encode, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encode(name))
    audio = load_audio(tmp_path / name)
    assert [text for text in audio.warnings if "out of phase" not in text] == []
    assert audio.duration == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("name", NAMES)
def test_damage_in_the_middle_is_passed_over(encode: Encode, tmp_path: Path, name: str) -> None:
    data = bytearray(encode(name))
    start = len(data) // 2
    data[start : start + 3000] = random.Random(1).randbytes(3000)
    path = tmp_path / name
    path.write_bytes(data)
    audio = load_audio(path)
    # Matroska and Ogg put much sound behind one header: a hit there loses it all.
    least = {"x.mka": 0.4, "x.ogg": 0.7}.get(name, 0.85)
    assert least * SECONDS < audio.duration < 1.05 * SECONDS
    assert np.isfinite(audio.samples).all()
    if name in ("x.mp3", "x.ogg", "x.wma", "x.mka"):
        assert any("damaged" in text for text in audio.warnings), audio.warnings


def test_damaged_mp3_continues_where_soundfile_gave_up(encode: Encode, tmp_path: Path) -> None:
    data = bytearray(encode("x.mp3"))
    (tmp_path / "good.mp3").write_bytes(data)
    start = len(data) // 2
    data[start : start + 3000] = random.Random(1).randbytes(3000)
    (tmp_path / "bad.mp3").write_bytes(data)
    good, bad = (load_audio(tmp_path / f"{name}.mp3").samples for name in ("good", "bad"))
    assert np.allclose(good[: 4 * 22050], bad[: 4 * 22050], atol=1e-4)
    # The end is there too; the two decoders differ by the encoder's delay at most.
    end = slice(-2 * 22050, -22050)
    lags = np.correlate(bad[end], good[end][4000:-4000], "valid")
    overlap = float(np.sum(good[end][4000:-4000] ** 2))
    assert np.abs(lags).max() > 0.95 * overlap  # of either sign: the channels are out of phase


@pytest.mark.parametrize("name", NAMES)
def test_header_alone(encode: Encode, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encode(name)[:60])
    with pytest.raises(AudioError, match=name):
        load_audio(path)


@pytest.mark.parametrize("name", NAMES)
def test_random_damage_never_escapes_the_error_tree(
    encode: Encode, tmp_path: Path, name: str
) -> None:
    whole = encode(name)
    rng = random.Random(name)
    outcomes = set()
    for trial in range(12):
        data = bytearray(whole[: rng.randrange(2000, 60000)])
        for _ in range(rng.choice([3, 30])):
            data[rng.randrange(min(len(data), 400 if trial % 2 else 10**9))] = rng.randrange(256)
        path = tmp_path / f"{trial}{name}"
        path.write_bytes(data)
        try:
            samples = load_audio(path).samples
        except AudioError as error:
            assert path.name in str(error)  # noqa: PT017 - either outcome is right
            outcomes.add("refused")
        else:
            assert samples.size
            assert np.isfinite(samples).all()
            outcomes.add("read")
    assert "read" in outcomes


@pytest.mark.parametrize("name", [*NAMES, "x.mp4", "x.aiff", "x.bin"])
def test_no_sound_file_at_all(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(EmptyAudioError, match=f"{name}: is empty: 0 bytes"):
        load_audio(path)
    path.write_text("These are only words about music.\n" * 200)
    with pytest.raises((UnreadableError, NoAudioStreamError), match=name):
        load_audio(path)
    path.write_bytes(bytes(5000))
    with pytest.raises(AudioError, match=name):
        load_audio(path)


def test_decoders_say_nothing_of_what_is_no_sound(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp3").write_text("this is no mp3" * 100)
    before = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0
    with pytest.raises(UnreadableError):
        load_audio(tmp_path / "text.mp3")
    assert capfd.readouterr() == ("", "")
    assert not before or len(os.listdir("/dev/fd")) == before


def test_no_samples(tmp_path: Path) -> None:
    for name in ("x.wav", "x.aiff"):
        soundfile.write(tmp_path / name, np.zeros((0, 2)), 44100)
        with pytest.raises(EmptyAudioError, match="0 samples"):
            load_audio(tmp_path / name)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="is a folder"):
        load_audio(tmp_path)
    with pytest.raises(UnreadableError, match=r"missing\.wav: cannot be opened: No such file"):
        load_audio(tmp_path / "missing.wav")
    with pytest.raises(UnreadableError, match="null"):
        load_audio("a\0b.wav")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        with pytest.raises(UnreadableError, match="not a regular file"):
            load_audio(tmp_path / "pipe.wav")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of Unix")
def test_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    soundfile.write(path, np.ones(100), 22050)
    path.chmod(0)
    root = os.geteuid() == 0
    if root:  # nothing is forbidden to root
        os.seteuid(65534)
    try:
        with pytest.raises(UnreadableError, match="Permission denied"):
            load_audio(path)
    finally:
        if root:
            os.seteuid(0)


def test_playlist_reaches_nothing_else(tmp_path: Path) -> None:
    """A text file that names another must not make the decoder open it."""
    soundfile.write(tmp_path / "a.wav", np.ones(22050), 22050)
    playlists = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'a.wav'}\n",
        "list.mp3": f"ffconcat version 1.0\nfile {tmp_path / 'a.wav'}\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match=name):
            load_audio(tmp_path / name)


def test_samples_that_are_no_numbers(tmp_path: Path) -> None:
    samples = np.full((22050, 2), 0.5, np.float32)
    samples[100, 0], samples[101, 1], samples[102, 0] = np.nan, np.inf, -3e38
    for name, subtype in (("x.wav", "FLOAT"), ("x.aiff", "DOUBLE")):
        soundfile.write(tmp_path / name, samples, 22050, subtype=subtype)
        audio = load_audio(tmp_path / name)
        assert audio.warnings == (
            "3 samples were no sound (not finite, or beyond 1e+30) and were set to 0",
        )
        assert np.array_equal(audio.samples[98:104], np.float32([0.5, 0.5, 0.25, 0.25, 0.25, 0.5]))


@pytest.mark.parametrize("rate", [8000, 96000])
def test_resampling_gives_numbers_up_to_the_limit_of_floats(tmp_path: Path, rate: int) -> None:
    noise = np.random.default_rng(0).choice(np.float32([-1, 1]), 30000)
    for loudest in (3.4e38, 1e30, 1e29):
        soundfile.write(tmp_path / "x.wav", noise * loudest, rate, subtype="FLOAT")
        assert np.isfinite(load_audio(tmp_path / "x.wav").samples).all()


def test_very_loud_floats_are_left_alone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.full(5000, 1e25), 22050, subtype="FLOAT")
    audio = load_audio(tmp_path / "x.wav")
    assert audio.warnings == ()
    assert np.allclose(audio.samples / np.float32(1e25), 1.0)


@pytest.mark.parametrize(
    "kind", [AudioError, UnreadableError, NoAudioStreamError, EmptyAudioError, TooShortError]
)
def test_errors_survive_pickling_and_printing(kind: type[AudioError]) -> None:
    error = pickle.loads(pickle.dumps(kind(os.fsdecode(b"a\xff.wav"), "is odd")))
    assert isinstance(error, kind)
    assert isinstance(error, AudioError)
    assert str(error).encode("utf-8") == b"a\\xff.wav: is odd"


def test_damaged_file_object(encode: Encode) -> None:
    data = encode("x.m4a")
    audio = load_audio(io.BytesIO(data[: len(data) // 2]))
    assert 3 < audio.duration < 7
    with pytest.raises(UnreadableError, match="<stream>"):
        load_audio(io.BytesIO(b"words " * 1000))
