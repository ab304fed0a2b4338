"""The key of a stream of sound over a WebSocket."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from anyio import fail_after, to_thread
from starlette.websockets import WebSocket, WebSocketDisconnect

from stonekey.estimate.estimator import KeyEstimator
from stonekey.estimate.live import LiveEstimator
from stonekey.server.errors import RefusedError
from stonekey.server.guard import knows, same_token
from stonekey.server.metrics import Metrics
from stonekey.server.query import read_query
from stonekey.server.settings import ServerSettings
from stonekey.text import json_text

# How the samples of a stream are stored.
FORMATS: dict[str, np.dtype] = {"f32le": np.dtype("<f4"), "s16le": np.dtype("<i2")}
MOST_CHANNELS = 32
RATES = (8000, 192_000)
# The message with which a client asks for the last answers and a close.
_END = {"end": True}
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


class Live:
    """The route of live connections.

    Args:
        settings: limits of the server.
        estimators: answer, by the names of their models, the default one first.
        token: what the header or the first message must have; None for nothing.
        metrics: the counters.
    """

    def __init__(
        self,
        settings: ServerSettings,
        estimators: dict[str, KeyEstimator],
        token: str | None,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        # What chooses segments is for recordings.
        whole = {"fast": False, "overlap": 0.0, "published_segments": False}
        self._estimators = {
            name: estimator.with_settings(**whole) for name, estimator in estimators.items()
        }
        self._defaults = next(iter(self._estimators.values())).settings
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
            message = _json(first) if isinstance(first, str) else None
            given = message.get("token") if isinstance(message, dict) else None
            header = socket.headers.get("authorization", "")
            if not (knows(self._token, header) or same_token(self._token, given)):
                raise ValueError("this needs the token of the server")
            stream = Stream.from_message(message)
            asked = read_query(socket.query_params, self._estimators, self._defaults)
            estimator = self._estimators[asked.model].with_settings(**asked.options)
            listener = LiveEstimator(estimator, stream.sample_rate)
        except (RefusedError, ValueError) as error:
            await _refuse(socket, str(error))
            return
        samples = Samples(stream)
        ended = False
        while not ended:
            block = await self._message(socket)
            if isinstance(block, str):
                if _json(block) != _END:
                    expected = f"samples or {json_text(_END)}"
                    await _refuse(socket, f"after the first message, expected {expected}")
                    return
                ended = True
                answers = await to_thread.run_sync(listener.flush)
            else:
                heard = samples.read(block)
                answers = await to_thread.run_sync(listener.push, heard)
                self._metrics.audio_seconds.inc(len(heard) / stream.sample_rate)
            for answer in answers:
                await socket.send_text(json_text(answer.to_dict(asked.notation, asked.top)))
        await socket.close()

    async def _message(self, socket: WebSocket) -> str | bytes:
        with fail_after(self._settings.stall_seconds):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text


def _json(text: str) -> Any:
    """A JSON value; None for what is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


async def _refuse(socket: WebSocket, error: str, code: int = _REFUSED) -> None:
    """Say why, and close; the client may be gone already."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(json_text({"error": error}))
        await socket.close(code)
