"""Names and paths of models, and fetching them from a server on this machine."""

from __future__ import annotations

import gc
import hashlib
import shutil
import socket
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stonekey.files import cache_folder, sha256
from stonekey.model import registry
from stonekey.model.checkpoint import CheckpointError, load_checkpoint
from stonekey.model.published import PUBLISHED, PublishedModel
from stonekey.model.registry import ModelNotFoundError, fetch, find_model, model_names

BODY = b"a model file, as far as the transfer is concerned " * 2000


class Handler(BaseHTTPRequestHandler):
    """Serves BODY, whole or broken, by the path asked for."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path == "/missing.pt":
            self.send_error(404)
            return
        if self.path == "/redirect.pt":
            self.send_response(302)
            self.send_header("Location", "/good.pt")
            self.end_headers()
            return
        if self.path == "/closed.pt":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        broken = self.path == "/broken.pt"
        self.send_response(200)
        if self.path != "/unsized.pt":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if broken or "unsized" in self.path else BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Handler.requests = []
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = False  # so that closing the server waits for its answers
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()
    thread.join()
    # pooch leaves the connection of a failed transfer to the garbage collector, whose
    # warning would fail whichever test runs then.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def model(url: str, body: bytes = BODY) -> PublishedModel:
    digest = hashlib.sha256(body).hexdigest()
    return replace(PUBLISHED[0], name="test/model", file="m.pt", url=url, sha256=digest)


def assert_helps(error: ModelNotFoundError, wanted: PublishedModel, folder: Path) -> None:
    """The message says what to fetch by hand and where to put it."""
    message = str(error)
    assert wanted.name in message
    assert wanted.url in message
    assert str(folder / "m.pt") in message
    assert wanted.sha256 in message


def left(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*")) if folder.exists() else []


def test_fetched_once_then_cached(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    wanted = model(f"{server}/good.pt")
    path = fetch(wanted, folder)
    assert path == folder / "m.pt"
    assert path.read_bytes() == BODY
    assert left(folder) == [path]
    assert fetch(wanted, folder) == path
    assert Handler.requests == ["/good.pt"]


def test_a_download_is_announced_before_it_begins(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = replace(model(f"{server}/good.pt"), size=1_234_567)
    fetch(wanted, tmp_path)
    (record,) = caplog.records
    host = server.removeprefix("http://")
    assert record.getMessage() == (
        f"stonekey: downloading test/model once: 1.2 MB from {host}/good.pt to {tmp_path} "
        f"(licence: {wanted.licence})"
    )
    caplog.clear()
    fetch(wanted, tmp_path)
    assert not caplog.records


def test_cached_file_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(BODY)
    assert fetch(model("http://127.0.0.1:9/none.pt"), tmp_path) == tmp_path / "m.pt"


def test_redirects_are_followed(server: str, tmp_path: Path) -> None:
    assert fetch(model(f"{server}/redirect.pt"), tmp_path).read_bytes() == BODY


def test_a_damaged_cached_file_is_fetched_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(BODY[:100])
    assert fetch(model(f"{server}/good.pt"), tmp_path).read_bytes() == BODY
    assert left(tmp_path) == [tmp_path / "m.pt"]


def test_a_wrong_hash_is_refused(server: str, tmp_path: Path) -> None:
    wanted = model(f"{server}/good.pt", body=b"something else")
    with pytest.raises(ModelNotFoundError, match="checksum") as caught:
        fetch(wanted, tmp_path / "cache")
    assert_helps(caught.value, wanted, tmp_path / "cache")
    assert [p for p in left(tmp_path / "cache") if p.is_file()] == []


@pytest.mark.parametrize("name", ["broken", "unsized", "closed", "missing"])
def test_a_failed_transfer_leaves_nothing(server: str, tmp_path: Path, name: str) -> None:
    wanted = model(f"{server}/{name}.pt")
    with pytest.raises(ModelNotFoundError) as caught:
        fetch(wanted, tmp_path)
    assert_helps(caught.value, wanted, tmp_path)
    assert left(tmp_path) == []
    assert Handler.requests[0] == f"/{name}.pt"
    # The next try, on a good line, works.
    assert fetch(model(f"{server}/good.pt"), tmp_path).read_bytes() == BODY


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        wanted = model(f"http://127.0.0.1:{closed.getsockname()[1]}/m.pt")
        with pytest.raises(ModelNotFoundError) as caught:
            fetch(wanted, tmp_path)
    assert_helps(caught.value, wanted, tmp_path)
    assert left(tmp_path) == []


def test_an_unusable_cache_folder(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    wanted = model(f"{server}/good.pt")
    with pytest.raises(ModelNotFoundError) as caught:
        fetch(wanted, tmp_path / "file")
    assert_helps(caught.value, wanted, tmp_path / "file")


def test_stonekey_home(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "PUBLISHED", (model(f"{server}/good.pt"),))
    monkeypatch.setenv("STONEKEY_HOME", str(tmp_path / "home"))
    assert find_model("test/model") == tmp_path / "home" / "m.pt"
    monkeypatch.setenv("STONEKEY_HOME", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "models"
    monkeypatch.delenv("STONEKEY_HOME")
    assert cache_folder().name == "stonekey"
    assert cache_folder() != tmp_path / "home"


def test_published_model_by_name(
    shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file put into the cache folder by hand is used, as the error message promises."""
    monkeypatch.setenv("STONEKEY_HOME", str(tmp_path))
    for published in PUBLISHED:
        shutil.copy(shared / "golden" / "checkpoints" / published.file, tmp_path)
        info = load_checkpoint(find_model(published.name)).info
        assert info.name == published.name
        assert info.class_table == published.class_table
        assert info.licence == published.licence


def test_published_models_are_pinned() -> None:
    assert [m.name for m in PUBLISHED] == ["deezer/stone12", "deezer/stone24", "deezer/skey"]
    for published in PUBLISHED:
        assert published.url.startswith("https://raw.githubusercontent.com/deezer/")
        commit = published.url.split("/")[5]
        assert len(commit) == 40
        assert int(commit, 16)
        assert published.url.endswith(f"/{published.file}")


def test_published_hashes(shared: Path) -> None:
    for published in PUBLISHED:
        path = shared / "golden" / "checkpoints" / published.file
        assert sha256(path) == published.sha256
        assert path.stat().st_size == published.size


@pytest.mark.parametrize("name", ["template", "template12"])
def test_embedded_models(name: str) -> None:
    assert name in model_names()
    assert find_model(name).read_bytes()


def test_names_are_unique() -> None:
    assert len(set(model_names())) == len(model_names()) >= 5


@pytest.mark.parametrize(
    ("name", "hint"),
    [("templete", "did you mean template?"), ("deezer/stone-12", "did you mean deezer/stone12?"),
     ("deezer/sky", "did you mean deezer/skey?"), ("zzz", "known names: stone24, stone12")],
)  # fmt: skip
def test_unknown_names(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model(name)
    assert hint in str(caught.value)
    assert name in str(caught.value)
    assert isinstance(caught.value, CheckpointError)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = find_model("template").read_bytes()
    (tmp_path / "run").mkdir()
    for name in ("own.onnx", "run/model.onnx"):
        (tmp_path / name).write_bytes(source)
    assert find_model(tmp_path / "own.onnx") == tmp_path / "own.onnx"
    assert find_model(tmp_path / "own") == tmp_path / "own.onnx"
    assert find_model(str(tmp_path / "run")) == tmp_path / "run" / "model.onnx"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_model("~/own.onnx") == tmp_path / "own.onnx"
    monkeypatch.chdir(tmp_path)
    assert find_model("own.onnx").resolve() == tmp_path / "own.onnx"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFoundError):
        find_model(tmp_path / "empty")


def test_a_suffix_is_added_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "run.v2.safetensors").write_bytes(b"x")
    assert find_model(tmp_path / "run.v2") == tmp_path / "run.v2.safetensors"
    with pytest.raises(ModelNotFoundError):
        find_model(tmp_path / "run")
