"""A real S3-compatible server in this process, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket. (Servers in one process share what they hold.)"""
    server = pytest.importorskip("moto.server", reason="needs moto's server")
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{uuid4()}"
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
    running.stop()
