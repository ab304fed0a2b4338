"""The real server on the loopback interface, in a thread, and clients of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli_tools import music

from stonekey.estimate.settings import EstimatorSettings
from stonekey.server.page_files import PageFiles
from stonekey.server.settings import ServerSettings

PATIENCE = 30.0


@dataclass
class Served:
    """A server that runs.

    ``uploads`` is the system's folder of temporary files, as the server sees it.
    """

    port: int
    uploads: Path
    end: Callable[[], None]
    thread: threading.Thread

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=PATIENCE, **options)

    def metrics(self) -> dict[str, float]:
        """Values of the metrics by their name and labels."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
        }

    def wait_for(self, name: str, value: float) -> None:
        """Until a metric has a value."""
        until(lambda: self.metrics().get(name) == value)

    def left(self) -> list[str]:
        """Uploads on the disk."""
        return [path.name for path in self.uploads.glob("*/**/*")]


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, which it must."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextmanager
def served(
    uploads: Path,
    settings: ServerSettings | None = None,
    *,
    program: str | None = None,
    files: PageFiles | None = None,
) -> Iterator[Served]:
    """A server that is ended, and must end, after the block.

    Args:
        uploads: folder for temporary files.
        settings: of the server.
        program: module of another worker.
        files: the page.
    """
    from stonekey.server.run import serve_api
    from stonekey.server.worker import AnalysisSettings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(uploads))
        if program is not None:
            patch.setattr(AnalysisSettings, "program", program)
        listener = socket.create_server(("127.0.0.1", 0))
        ready = threading.Event()
        ends: list[Callable[[], None]] = []
        problems: list[BaseException] = []

        def start(end: Callable[[], None]) -> None:
            ends.append(end)
            ready.set()

        def run() -> None:
            try:
                serve_api(
                    listener, settings or ServerSettings(workers=2), EstimatorSettings(), files,
                    start,
                )  # fmt: skip
            except BaseException as error:
                problems.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=run)
        thread.start()
        ready.wait()
        if problems:
            thread.join()
            raise problems[0]
        # Or each answer waits for the client's acknowledgement of its headers.
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        server = Served(listener.getsockname()[1], uploads, ends[0], thread)
        try:
            yield server
        finally:
            server.end()
            thread.join(PATIENCE)
            assert not thread.is_alive()
        if problems:
            raise problems[0]
        assert list(uploads.iterdir()) == []


def recordings(folder: Path, *keys: str) -> dict[str, bytes]:
    """Short recordings by their keys."""
    folder.mkdir(exist_ok=True)
    return {key: music(folder / f"{n}.wav", key, 4.0).read_bytes() for n, key in enumerate(keys)}
