"""WebSocket /v1/live: the key of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra server")

from serving import PATIENCE, Served, served, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from stonekey.estimate.estimator import KeyEstimator
from stonekey.estimate.live import LiveEstimator
from stonekey.keys import Key
from stonekey.server.settings import ServerSettings
from stonekey.synthesis import cadence
from stonekey.text import json_text

FIRST = {"sample_rate": 22050, "format": "f32le", "channels": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = ServerSettings(workers=1, max_live=2)
    with served(tmp_path_factory.mktemp("uploads"), settings) as running:
        yield running


def live(server: Served, query: str = "", **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}/v1/live?{query}", **options)


def pcm(key: str, seconds: float, rate: int, kind: str, channels: int) -> bytes:
    mono = cadence(Key.parse(key), sample_rate=rate, seconds=seconds)
    samples = np.repeat(mono[:, None], channels, axis=1)
    if kind == "s16le":
        return (samples * 32767).astype("<i2").tobytes()
    return samples.astype("<f4").tobytes()


def heard(socket: ClientConnection, data: bytes, size: int, lines: int) -> list[dict[str, Any]]:
    """The answers to samples sent in messages of a size."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(data), size):
        socket.send(data[start : start + size])
    while len(found) < lines:
        found.append(json.loads(socket.recv(PATIENCE)))
    return found


def said(socket: ClientConnection) -> list[dict[str, Any]]:
    """All that comes until the connection is closed."""
    found: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):
        while True:
            found.append(json.loads(socket.recv(PATIENCE)))
    return found


@pytest.mark.parametrize(
    ("rate", "kind", "channels", "size"),
    [(22050, "f32le", 1, 88200), (44100, "s16le", 2, 9999), (48000, "f32le", 2, 500_001)],
)
def test_the_key_of_what_is_played(
    server: Served, rate: int, kind: str, channels: int, size: int
) -> None:
    with live(server) as socket:
        socket.send(json.dumps({"sample_rate": rate, "format": kind, "channels": channels}))
        sound = pcm("Eb major", 13.0, rate, kind, channels)
        for start in range(0, len(sound), size):
            socket.send(sound[start : start + size])
        socket.send('{"end":true}')
        lines = said(socket)
        assert socket.protocol.close_rcvd is not None
        assert socket.protocol.close_rcvd.code == 1000
    assert [line["time"] for line in lines] == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 13.0]
    assert [line["key"] for line in lines[1:]] == ["Eb major"] * 6
    samples = np.frombuffer(sound, "<f4" if kind == "f32le" else "<i2").reshape(-1, channels)
    listener = LiveEstimator(KeyEstimator(threads=1), rate)
    expected = [*listener.push(samples), *listener.flush()]
    assert lines == [json.loads(json_text(answer.to_dict(top=3))) for answer in expected]


def test_options_of_a_stream(server: Served) -> None:
    sound = pcm("Eb major", 7.0, 22050, "f32le", 1)
    for query, key in (("notation=camelot&top=1", "5B"), ("model=stone12", "Eb major / C minor")):
        with live(server, query) as socket:
            socket.send(json.dumps(FIRST))
            *_, line = heard(socket, sound, 44100, 2)
        assert line["key"] == key
    for query, error in (
        ("notation=x", "notation: must be one of"),
        ("model=x", "model: this server has no"),
    ):
        with live(server, query) as socket:
            socket.send(json.dumps(FIRST))
            assert said(socket)[0]["error"].startswith(error)


def test_two_streams_are_not_mixed_up_and_a_third_is_refused(server: Served) -> None:
    with live(server) as one, live(server) as two:
        for socket in (one, two):
            socket.send(json.dumps(FIRST))
        server.wait_for("stonekey_live_connections", 2)
        with live(server) as three:
            assert json.loads(three.recv(PATIENCE)) == {
                "error": "there are too many live connections"
            }
            with pytest.raises(ConnectionClosed) as closed:
                three.recv(PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        streams = [pcm(key, 7.0, 22050, "f32le", 1) for key in ("A major", "C minor")]
        for start in range(0, len(streams[0]), 44100):
            for socket, data in zip((one, two), streams, strict=True):
                socket.send(data[start : start + 44100])
        for socket, key in ((one, "A major"), (two, "C minor")):
            _, line = (json.loads(socket.recv(PATIENCE)) for _ in range(2))
            assert line["key"] == key
    server.wait_for("stonekey_live_connections", 0)


@pytest.mark.parametrize(
    ("first", "error"),
    [
        ("{", "the first message must be a JSON object"),
        ("[" * 100_000, "the first message must be a JSON object"),
        ("[]", "the first message must be a JSON object"),
        (b"\0\0", "the first message must be a JSON object"),
        ('{"sample_rate": 22050, "format": "f32le", "x": 1}', "the first message must be"),
        ('{"sample_rate": 1, "format": "f32le"}', "sample_rate must be"),
        ('{"sample_rate": 1e999, "format": "f32le"}', "sample_rate must be"),
        ('{"sample_rate": true, "format": "f32le"}', "sample_rate must be"),
        ('{"sample_rate": 22050, "format": "mp3"}', "format must be one of"),
        ('{"sample_rate": 22050, "format": []}', "format must be one of"),
        (
            '{"sample_rate": 22050, "format": "f32le", "channels": 0}',
            "channels must be",
        ),
    ],
)
def test_a_first_message_that_is_not_understood(
    server: Served, first: str | bytes, error: str
) -> None:
    with live(server) as socket:
        socket.send(first)
        assert json.loads(socket.recv(PATIENCE))["error"].startswith(error)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_what_is_no_sound_does_no_harm(server: Served) -> None:
    rng = np.random.default_rng(0)
    with live(server) as socket:
        socket.send(json.dumps(FIRST))
        (line,) = heard(socket, rng.bytes(4 * 22050 * 4), 50_000, 1)
        assert line["key"] is None
        socket.send("text")
        assert said(socket)[-1] == {
            "error": 'after the first message, expected samples or {"end": true}'
        }


def test_a_message_that_is_too_large_ends_the_connection(server: Served) -> None:
    with live(server) as socket:
        socket.send(json.dumps(FIRST))
        socket.send(bytes((1 << 20) + 1))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_a_stream_that_stalls_is_closed(tmp_path: Path) -> None:
    settings = ServerSettings(workers=1, stall_seconds=0.5)
    with served(tmp_path, settings) as server, live(server) as socket:
        socket.send(json.dumps(FIRST))
        assert said(socket) == [{"error": "heard nothing for 0.5 s"}]
        server.wait_for("stonekey_live_connections", 0)


def test_a_stream_needs_the_token_and_an_origin_that_may_come(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame")
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    settings = ServerSettings(workers=1, token_file=tmp_path / "token")
    with served(uploads, settings) as server:
        sound = pcm("G major", 4.5, 22050, "f32le", 1)
        bearer = {"Authorization": "Bearer sesame"}
        for token, headers in (("sesame", {}), (None, bearer)):
            with live(server, additional_headers=headers) as socket:
                socket.send(json.dumps({**FIRST, **({"token": token} if token else {})}))
                assert heard(socket, sound, 44100, 2)[-1]["key"] == "G major"
        for token in (None, "", "wrong", 3):
            with live(server) as socket:
                socket.send(json.dumps({**FIRST, "token": token}))
                error = {"error": "this needs the token of the server"}
                assert json.loads(socket.recv(PATIENCE)) == error
        with pytest.raises(InvalidStatus) as refused:
            live(server, origin="https://evil.org", additional_headers=bearer)
        assert refused.value.response.status_code == 403


def test_the_end_of_the_server_ends_streams(tmp_path: Path) -> None:
    with served(tmp_path, ServerSettings(workers=1)) as server:
        with live(server) as socket:
            socket.send(json.dumps(FIRST))
            server.wait_for("stonekey_live_connections", 1)
            server.end()
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        until(lambda: not server.thread.is_alive())
