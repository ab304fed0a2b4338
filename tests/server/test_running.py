"""A server in operation: too much work, bad files, clients that leave, the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra server")

import httpx
from serving import PATIENCE, Served, recordings, served, until

from stonekey.library.pool import WorkerStartError
from stonekey.server.settings import ServerSettings
from stonekey.server.temporary import uploads_folder

BUSY = "stonekey_workers_busy"
WAITING = "stonekey_queue_length"
IN_FLIGHT = "stonekey_requests_in_flight"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return recordings(tmp_path_factory.mktemp("sounds"), "D minor")["D minor"]


def post(server: Served, content: bytes) -> httpx.Response:
    with server.client() as client:
        return client.post("/v1/keys", content=content)


def wait(seconds: float) -> bytes:
    """A file that takes the worker so long."""
    return b"wait " + str(seconds).encode().ljust(27)


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = ServerSettings(workers=1, queue=2, max_time=3)
    folder = tmp_path_factory.mktemp("uploads")
    with served(folder, settings, program="fragile_worker") as running:
        yield running


def test_a_crash_or_a_hang_costs_one_file(fragile: Served, sound: bytes) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda c: post(fragile, c), [b"crash ", b"hang ", sound]))
    assert [answer.status_code for answer in answers] == [422, 422, 200]
    assert [answer.json()["error"] for answer in answers] == [
        "the worker process crashed (SIGSEGV)",
        "took longer than 3 s",
        None,
    ]
    assert not fragile.left()


def test_more_than_may_wait_get_429(fragile: Served, sound: bytes) -> None:
    with ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(post, fragile, wait(1.5) + sound)]
        fragile.wait_for(BUSY, 1)
        taken += [pool.submit(post, fragile, sound) for _ in range(2)]
        fragile.wait_for(WAITING, 2)
        refused = post(fragile, sound)
        assert refused.status_code == 429
        assert refused.json() == {"error": "too many requests are waiting"}
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        # What takes no worker is answered.
        with fragile.client() as client:
            assert client.get("/healthz").status_code == 200
        statuses = [answer.result().status_code for answer in taken]
    assert statuses == [422, 200, 200]
    assert post(fragile, sound).status_code == 200


def test_the_files_of_a_request_leave_places_to_others(fragile: Served, sound: bytes) -> None:
    ended: dict[str, float] = {}

    def many() -> None:
        with fragile.client() as client:
            files = [("file", wait(0.25)) for _ in range(8)]
            answer = client.post("/v1/keys", files=[(n, ("x", c)) for n, c in files])
            assert len(answer.json()) == 8
        ended["many"] = time.monotonic()

    thread = threading.Thread(target=many)
    thread.start()
    fragile.wait_for(BUSY, 1)
    assert post(fragile, sound).status_code == 200
    ended["one"] = time.monotonic()
    thread.join()
    assert ended["one"] < ended["many"]


def test_a_client_that_leaves_gives_up_its_place(fragile: Served, sound: bytes) -> None:
    files = fragile.metrics()['stonekey_files_total{outcome="ok"}']
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, fragile, wait(1.5))
        fragile.wait_for(BUSY, 1)
        with socket.create_connection(("127.0.0.1", fragile.port)) as link:
            head = f"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sound)}\r\n\r\n"
            link.sendall(head.encode() + sound)
            fragile.wait_for(WAITING, 1)
        fragile.wait_for(WAITING, 0)  # while the first is still at work
        assert not first.done()
        assert first.result().status_code == 422
    fragile.wait_for(IN_FLIGHT, 1)
    metrics = fragile.metrics()
    assert metrics['stonekey_files_total{outcome="ok"}'] == files
    assert metrics['stonekey_requests_total{route="/v1/keys",status="499"}'] == 1
    assert not fragile.left()


def test_a_client_that_leaves_in_the_middle_of_its_upload_leaves_nothing(fragile: Served) -> None:
    gone = 'stonekey_requests_total{route="/v1/keys",status="499"}'
    before = fragile.metrics().get(gone, 0.0)
    with socket.create_connection(("127.0.0.1", fragile.port)) as link:
        link.sendall(b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nRIFF")
        until(lambda: len(fragile.left()) == 2)  # a folder and a file
    fragile.wait_for(gone, before + 1)
    assert not fragile.left()


def test_a_body_that_stalls_or_drips_is_408(tmp_path: Path) -> None:
    settings = ServerSettings(workers=1, stall_seconds=0.5, upload_seconds=1.0)
    with served(tmp_path, settings) as server:
        head = b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"
        for pause in (PATIENCE, 0.2):
            with socket.create_connection(("127.0.0.1", server.port)) as link:
                link.sendall(head)
                link.settimeout(pause)
                answer = b""
                while b'arrive"}\n' not in answer:  # headers and body may come apart
                    try:
                        if not answer:
                            link.sendall(b"x")
                        answer += link.recv(1000)
                    except TimeoutError:
                        continue
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert answer.endswith(b'{"error": "the body took too long to arrive"}\n')
        assert not server.left()


@pytest.mark.parametrize("grace", [20.0, 0.5])
def test_the_end_finishes_what_runs_and_refuses_what_comes(
    tmp_path: Path, sound: bytes, grace: float
) -> None:
    settings = ServerSettings(workers=1, grace=grace)
    with served(tmp_path, settings, program="fragile_worker") as server:
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(post, server, wait(1.5) + sound)]
            server.wait_for(BUSY, 1)
            running.append(pool.submit(post, server, sound))
            server.wait_for(WAITING, 1)
            server.end()
            with server.client() as client:
                assert client.get("/healthz").status_code == 503
                refused = client.post("/v1/keys", content=sound)
            assert refused.status_code == 503
            assert refused.json() == {"error": "the server is ending"}
            assert "retry-after" in refused.headers
            answers = [answer.result() for answer in running]
        server.thread.join(PATIENCE)
        assert not server.thread.is_alive()
    assert [a.status_code for a in answers] == ([422, 200] if grace > 1 else [503, 503])


def test_workers_that_cannot_start_are_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_worker.py").write_text("def main():\n    raise OSError('no such device')\n")
    monkeypatch.syspath_prepend(tmp_path)
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    with (
        pytest.raises(WorkerStartError, match="no such device"),
        served(uploads, ServerSettings(workers=2), program="broken_worker"),
    ):
        pass
    assert list(uploads.iterdir()) == []


def test_what_a_killed_server_left_is_swept_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "stonekey-uploads-0123").mkdir()
    (tmp_path / "stonekey-uploads-0123" / "song.mp3").write_bytes(b"x")
    (tmp_path / "stonekey-other").mkdir()
    with uploads_folder() as first:
        (first / "song.mp3").write_bytes(b"x")
        with uploads_folder() as second:
            assert second.is_dir()
            assert (first / "song.mp3").is_file()
            folders = {path for path in tmp_path.iterdir() if path.is_dir()}
            assert folders == {first, second, tmp_path / "stonekey-other"}
    assert [path.name for path in tmp_path.iterdir()] == ["stonekey-other"]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``stonekey serve --api`` in its own process, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stonekey", "serve", "--api", "--port", "0", "-j", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "STONEKEY_TOKEN": "sesame"},
    )  # fmt: skip
    assert process.stdout is not None
    found = re.match(r"stonekey: (http://127\.0\.0\.1:\d+)/ ", process.stdout.readline())
    assert found, process.communicate()[1]
    try:
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command(
    command: tuple[subprocess.Popen[str], str], number: int, tmp_path: Path, sound: bytes
) -> None:
    process, address = command
    headers = {"authorization": "Bearer sesame", "x-request-id": "mine"}
    answer = httpx.post(f"{address}/v1/keys", content=sound, headers=headers, timeout=PATIENCE)
    assert answer.json()["key"] == "D minor"
    assert httpx.post(f"{address}/v1/keys", content=sound).status_code == 401
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if children.exists():  # workers, which read files of others, do not have the token
        (worker,) = children.read_text().split()
        assert b"sesame" not in Path(f"/proc/{worker}/environ").read_bytes()
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert re.search(r" mine 127\.0\.0\.1 POST /v1/keys 200 0\.\d+ s\n", errors)
    assert errors.endswith("stonekey: ended\n")
    assert "sesame" not in errors
    assert list(tmp_path.iterdir()) == []
