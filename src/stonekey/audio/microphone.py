"""Sound from a microphone or a line in, through PortAudio (the extra ``live``)."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Of sound that may wait to be heard; what is more is dropped, and counted.
WAITING_SECONDS = 30.0
# A device that gives nothing for so long is gone.
PATIENCE_SECONDS = 10.0
_BLOCK_SECONDS = 0.1


class MicrophoneError(OSError):
    """There is no microphone to be had, or it has gone; the message says why."""


class Microphone:
    """An open input.

    Attributes:
        rate: of its samples, in Hz.
        dropped: seconds of sound lost because they were not heard in time.
    """

    def __init__(self, sounddevice: Any, device: int | str | None) -> None:
        try:
            found = sounddevice.query_devices(device, "input")
        except (ValueError, sounddevice.PortAudioError) as error:
            raise MicrophoneError(_no_input(device)) from error
        self.rate = float(found["default_samplerate"])
        self.dropped = 0.0
        block = round(_BLOCK_SECONDS * self.rate)
        self._blocks: queue.Queue[np.ndarray | None] = queue.Queue(
            round(WAITING_SECONDS / _BLOCK_SECONDS)
        )
        try:
            self.stream = sounddevice.InputStream(
                device=device,
                samplerate=self.rate,
                channels=min(2, found["max_input_channels"]),
                dtype="float32",
                blocksize=block,
                callback=self._heard,
                finished_callback=self._ended,
            )
        except sounddevice.PortAudioError as error:
            raise MicrophoneError(f"{found['name']} cannot be opened: {error}") from error

    def _heard(self, samples: np.ndarray, frames: int, time: object, status: Any) -> None:
        """Take a block over; on a thread of PortAudio's, which must not wait."""
        if status.input_overflow:
            self.dropped += frames / self.rate
        try:
            self._blocks.put_nowait(samples.copy())
        except queue.Full:
            self.dropped += frames / self.rate

    def _ended(self) -> None:
        if not self._blocks.full():
            self._blocks.put_nowait(None)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield float32 blocks (n, channels) until the device is gone.

        Raises:
            MicrophoneError: when it is gone.
        """
        while True:
            try:
                block = self._blocks.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                block = None
            if block is None:
                raise MicrophoneError("the input gives no more sound: was it unplugged?")
            yield block


@contextmanager
def open_microphone(device: int | str | None = None) -> Iterator[Microphone]:
    """An input of this machine.

    Args:
        device: number or part of the name, as in `inputs`; None for the system's default.

    Raises:
        ImportError: without the extra ``live``.
        MicrophoneError: there is none, or it cannot be opened.
    """
    sounddevice = _sounddevice()
    microphone = Microphone(sounddevice, device)
    try:
        with microphone.stream:
            yield microphone
    except sounddevice.PortAudioError as error:
        raise MicrophoneError(f"the input cannot be heard: {error}") from error


def inputs() -> list[tuple[int, str]]:
    """Number and name of each input of this machine; errors as for `open_microphone`."""
    devices = _sounddevice().query_devices()
    return [(i, d["name"]) for i, d in enumerate(devices) if d["max_input_channels"] > 0]


def _sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as error:
        raise MicrophoneError(
            "PortAudio is missing: install it (apt install libportaudio2, brew install portaudio)"
        ) from error
    return sounddevice


def _no_input(device: int | str | None) -> str:
    return "this machine has no audio input" if device is None else f"no audio input '{device}'"
