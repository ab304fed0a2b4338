"""The key of a stream of sound over a WebSocket."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from anyio import fail_after, to_thread
from starlette.websockets import WebSocket, WebSocketDisconnect

from stonekey.audio.mixing import Mixer
from stonekey.audio.resampling import BlockResampler
from stonekey.estimate.estimator import KeyEstimator
from stonekey.server.guard import knows, same_token
from stonekey.server.metrics import Metrics
from stonekey.server.settings import ServerSettings
from stonekey.text import json_text

# How the samples of a stream are stored.
FORMATS = {"f32le": np.dtype("<f4"), "s16le": np.dtype("<i2")}
MOST_CHANNELS = 32
RATES = (8000, 192_000)
# An answer is about so much of the stream, and comes after so much more of it.
RECENT_SECONDS, EVERY_SECONDS = 30.0, 3.0
# Codes with which a connection is closed.
_REFUSED, _BUSY = 1008, 1013


@dataclass(frozen=True)
class Stream:
    """What the first message says of the samples to come.

    Attributes:
        sample_rate: in Hz.
        format: of each sample, one of `FORMATS`.
        channels: number of channels, whose samples alternate.
    """

    sample_rate: int
    format: str
    channels: int

    @classmethod
    def from_message(cls, message: Any) -> Stream:
        """Read the first message.

        Raises:
            ValueError: it is not understood; says what is wrong.
        """
        known = ("sample_rate", "format", "channels", "token")
        if not isinstance(message, dict) or not message.keys() <= set(known):
            raise ValueError(f"the first message must be a JSON object with {', '.join(known)}")
        rate, kind = message.get("sample_rate"), message.get("format")
        channels = message.get("channels", 1)
        if not (type(rate) is int and RATES[0] <= rate <= RATES[1]):
            raise ValueError(f"sample_rate must be a whole number from {RATES[0]} to {RATES[1]}")
        if not (isinstance(kind, str) and kind in FORMATS):
            raise ValueError(f"format must be one of {', '.join(FORMATS)}")
        if not (type(channels) is int and 1 <= channels <= MOST_CHANNELS):
            raise ValueError(f"channels must be a whole number from 1 to {MOST_CHANNELS}")
        return cls(rate, kind, channels)


class Samples:
    """Turns messages into samples; a message may end in the middle of one."""

    def __init__(self, stream: Stream) -> None:
        self._type = FORMATS[stream.format]
        self._channels = stream.channels
        self._rest = b""

    def read(self, message: bytes) -> np.ndarray:
        """Samples (n, channels)."""
        data = self._rest + message
        whole = len(data) - len(data) % (self._type.itemsize * self._channels)
        self._rest = data[whole:]
        return np.frombuffer(data[:whole], self._type).reshape(-1, self._channels)


class Listener:
    """Hears one stream: every few seconds the key of what was played last.

    Args:
        estimator: answers; several listeners may share it.
        stream: the samples to come.
    """

    def __init__(self, estimator: KeyEstimator, stream: Stream) -> None:
        self._estimator = estimator
        self._rate = estimator.info.front_end.sample_rate
        self._from_rate = stream.sample_rate
        self._mixer = Mixer()
        self._resampler = BlockResampler(stream.sample_rate, self._rate)
        self._recent = np.empty(0, np.float32)
        self._heard = self._answered = 0

    def feed(self, samples: np.ndarray) -> dict[str, Any] | None:
        """Hear more, (n, channels); the new answer if it is time for one, as a record."""
        mono = self._mixer(samples, self._from_rate)
        for block in self._resampler.push(mono):
            self._heard += len(block)
            keep = round(RECENT_SECONDS * self._rate)
            self._recent = np.concatenate([self._recent, block])[-keep:]
        if self._heard - self._answered < EVERY_SECONDS * self._rate:
            return None
        self._answered = self._heard
        record = self._estimator(self._recent, self._rate).as_dict()
        return {"time": round(self._heard / self._rate, 3), **record}


class Live:
    """The route of live connections.

    Args:
        settings: limits of the server.
        estimator: answers them all.
        token: what the header or the first message must have; None for nothing.
        metrics: the counters.
    """

    def __init__(
        self,
        settings: ServerSettings,
        estimator: KeyEstimator,
        token: str | None,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._estimator = estimator
        self._token = token
        self._metrics = metrics
        self._connections = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection to its end."""
        await socket.accept()
        if self._connections >= self._settings.max_live:
            await _refuse(socket, "there are too many live connections", _BUSY)
            return
        self._connections += 1
        self._metrics.live.inc()
        try:
            await self._listen(socket)
        except TimeoutError:
            await _refuse(socket, f"heard nothing for {self._settings.stall_seconds:g} s")
        except WebSocketDisconnect:
            pass
        finally:
            self._connections -= 1
            self._metrics.live.dec()

    async def _listen(self, socket: WebSocket) -> None:
        first = await self._message(socket)
        try:
            message = json.loads(first if isinstance(first, str) else "")
            stream = Stream.from_message(message)
        except ValueError as error:
            await _refuse(socket, f"the first message: {error}")
            return
        if not (
            knows(self._token, socket.headers.get("authorization", ""))
            or same_token(self._token, message.get("token"))
        ):
            await _refuse(socket, "this needs the token of the server")
            return
        samples, listener = Samples(stream), Listener(self._estimator, stream)
        while True:
            block = await self._message(socket)
            if isinstance(block, str):
                await _refuse(socket, "after the first message all must be samples")
                return
            heard = samples.read(block)
            record = await to_thread.run_sync(listener.feed, heard)
            self._metrics.audio_seconds.inc(len(heard) / stream.sample_rate)
            if record is not None:
                await socket.send_text(json_text(record))

    async def _message(self, socket: WebSocket) -> str | bytes:
        with fail_after(self._settings.stall_seconds):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text


async def _refuse(socket: WebSocket, error: str, code: int = _REFUSED) -> None:
    """Say why, and close; the client may be gone already."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(json_text({"error": error}))
        await socket.close(code)
