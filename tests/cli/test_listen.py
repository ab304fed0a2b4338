"""``stonekey listen``, from files and pipes; microphones as far as a machine without one allows."""

from __future__ import annotations

import ctypes.util
import importlib.util
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from cli_tools import on_screen

from stonekey.audio import microphone
from stonekey.audio.microphone import Microphone, MicrophoneError
from stonekey.keys import Key
from stonekey.synthesis import cadence

RATE = 22050
LISTEN = (sys.executable, "-m", "stonekey", "listen", "--model", "template")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("listen") / "song.wav"
    soundfile.write(path, cadence(Key(3, "minor"), seconds=12.0), RATE)
    return path


def listen(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*LISTEN, *arguments], input=data, capture_output=True)


def test_a_file_and_a_pipe_give_the_same_lines(song: Path) -> None:
    done = listen(str(song), "--format", "jsonl", "--notation", "camelot")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [r["time"] for r in records] == [2, 4, 6, 8, 10, 12]
    assert {r["key"] for r in records[2:]} == {"2A"}
    piped = listen("-", "--format", "jsonl", "--notation", "camelot", data=song.read_bytes())
    assert piped.stdout == done.stdout


def test_text(song: Path) -> None:
    done = listen(str(song), "--seconds", "5", "--every", "2.5")
    first, second = done.stdout.decode().splitlines()
    assert first.split() == ["0:02", "no", "key"]
    assert second.startswith("0:05  Eb minor")
    assert second.endswith("since 0:00")
    assert listen(str(song), "--seconds", "inf").stdout == listen(str(song)).stdout


def test_a_terminal_has_a_line_for_each_key(tmp_path: Path) -> None:
    other = tmp_path / "two.wav"
    first, second = cadence(Key(3, "minor"), seconds=16.0), cadence(Key(9, "major"), seconds=30.0)
    soundfile.write(other, np.concatenate([first, np.zeros(4 * RATE), second]), RATE)
    shown = on_screen("listen", other)
    *lines, end = [line.split("\r") for line in shown.split("\n")]
    assert end == [""]
    assert [line[-1].split()[1] for line in lines] == ["Eb", "A"]
    # What was longer is written over.
    for line in lines:
        assert all(len(b) >= len(a.rstrip()) for a, b in itertools.pairwise(line[1:]))


def test_messages_have_lines_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unplugged:
        rate, dropped = float(RATE), 0.0

        def __iter__(self) -> Iterator[np.ndarray]:
            music = cadence(Key(3, "minor"), seconds=6.0)
            yield music
            self.dropped = 5.0
            yield music
            raise MicrophoneError("the input gives no more sound")

    @contextmanager
    def opened(device: object) -> Iterator[Unplugged]:
        yield Unplugged()

    monkeypatch.setattr(microphone, "open_microphone", opened)
    before, lost, after, gone, end = on_screen("listen").split("\n")
    assert "Eb minor" in before.split("\r")[-1]
    assert "Eb minor" in after.split("\r")[-1]
    assert lost == "stonekey: 5 s of sound were lost: this machine is too slow"
    assert (gone, end) == ("stonekey: the input gives no more sound", "")


def test_ctrl_c_ends_it_while_a_pipe_is_silent(song: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*LISTEN, "-"], **pipes) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(song.read_bytes())
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"0:02")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b"stonekey: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("missing.wav",), 1, "missing.wav"),
        (("-",), 1, "<stdin>: not readable as sound"),
        (("x.wav", "--input", "1"), 2, "not both"),
        (("x.wav", "--format", "csv"), 2, "text, jsonl"),
        (("x.wav", "--every", "9"), 2, "not 9"),
    ],
)
def test_errors(arguments: tuple[str, ...], code: int, said: str, song: Path) -> None:
    arguments = tuple(str(song) if a == "x.wav" else a for a in arguments)
    done = listen(*arguments)
    assert done.returncode == code
    assert said in done.stderr.decode()
    assert not done.stdout


def test_a_machine_without_input() -> None:
    if importlib.util.find_spec("sounddevice") is None:
        pytest.skip("needs sounddevice")
    if ctypes.util.find_library("portaudio") is None:
        with pytest.raises(MicrophoneError, match="PortAudio is missing"):
            microphone.inputs()
        return
    if microphone.inputs():
        pytest.skip("this machine has an audio input")
    done = listen()
    assert (done.returncode, done.stdout) == (1, b"")
    assert "stonekey: this machine has no audio input" in done.stderr.decode()
    with (
        pytest.raises(MicrophoneError, match="no audio input 'Scarlett'"),
        microphone.open_microphone("Scarlett"),
    ):
        pass


class FakeStream:
    """Of sounddevice's InputStream what `Microphone` uses; blocks come when a test says so."""

    def __init__(self, **options: Any) -> None:
        self.options = options


def fake_sounddevice(stream: type[FakeStream]) -> SimpleNamespace:
    """A machine with one input, of eight channels."""
    found = {"name": "line", "default_samplerate": 48000.0, "max_input_channels": 8}
    return SimpleNamespace(
        PortAudioError=RuntimeError,
        InputStream=stream,
        query_devices=lambda device, kind: found,
    )


def test_blocks_are_copied_counted_and_end() -> None:
    """The callback is PortAudio's to call, so it is called here as PortAudio would."""
    heard = Microphone(fake_sounddevice(FakeStream), None)
    options = heard.stream.options
    assert options["channels"] == 2
    fine, late = SimpleNamespace(input_overflow=False), SimpleNamespace(input_overflow=True)
    buffer = np.ones((4800, 2), np.float32)
    options["callback"](buffer, 4800, None, fine)
    buffer[:] = 0
    options["callback"](buffer, 4800, None, late)
    assert heard.dropped == pytest.approx(0.1)
    blocks = iter(heard)
    assert next(blocks).min() == 1
    assert next(blocks).max() == 0
    for _ in range(301):  # half a minute and a block that nobody hears
        options["callback"](buffer, 4800, None, fine)
    assert heard.dropped == pytest.approx(0.2)
    for _ in range(300):
        next(blocks)
    options["finished_callback"]()
    with pytest.raises(MicrophoneError, match="no more sound"):
        next(blocks)


def test_an_input_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(FakeStream):
        def __enter__(self) -> None:
            raise RuntimeError("Device unavailable")

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(microphone, "_sounddevice", lambda: fake_sounddevice(Busy))
    with (
        pytest.raises(MicrophoneError, match="cannot be heard: Device unavailable"),
        microphone.open_microphone(),
    ):
        pass
