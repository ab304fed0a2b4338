"""The page over HTTP, with and without the API."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import run

from stonekey import page
from stonekey.server.page_files import PageFiles
from stonekey.server.page_server import page_server

PATIENCE = 30.0
ISOLATED = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


@pytest.fixture(scope="module", params=["alone", "api"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The page's own server, and the API's."""
    files = PageFiles.of_package()
    if request.param == "api":
        pytest.importorskip("starlette", reason="needs the extra server")
        from serving import served

        from stonekey.server.settings import ServerSettings

        folder = tmp_path_factory.mktemp("uploads")
        with served(folder, ServerSettings(workers=1), files=files) as running:
            yield running.port
        return
    with page_server(files, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(
    port: int, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    link.request(method, path, headers=sent)
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body


@pytest.mark.parametrize("name", page.names())
def test_every_file_comes_whole_with_its_type(port: int, name: str) -> None:
    status, headers, body = ask(port, f"/{name}")
    assert status == 200
    assert body == page.read(name)
    assert headers["content-type"] == page.media_type(name)
    assert headers.items() >= ISOLATED.items()
    status, head, body = ask(port, f"/{name}", "HEAD")
    assert (status, body) == (200, b"")
    assert head["content-length"] == headers["content-length"] == str(len(page.read(name)))
    assert head["etag"] == headers["etag"]


def test_the_page_is_at_the_root_and_nothing_else_is(port: int) -> None:
    index = page.read("index.html")
    assert ask(port, "/")[2] == ask(port, "/?a=1")[2] == ask(port, "/index%2ehtml")[2] == index
    for path in (
        "/nothing", "/../index.html", "/%2e%2e/index.html", "/index.html/",
        "/etc/passwd", "/%00", "/index.html%00", "/\\..\\index.html",
    ):  # fmt: skip
        assert ask(port, path)[0] == 404, path
    assert ask(port, "/", "POST")[0] in (405, 501)


def test_a_browser_that_has_the_file_gets_304(port: int) -> None:
    _, headers, _ = ask(port, "/")
    assert headers["cache-control"] == "no-cache"
    tag = headers["etag"]
    for held in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        status, again, body = ask(port, "/", If_None_Match=held)
        assert (status, body, again["etag"]) == (304, b"", tag)
        assert again.items() >= ISOLATED.items()
    assert ask(port, "/", If_None_Match='"x"')[0] == 200


def start(*arguments: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "stonekey", "serve", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"stonekey: http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)\n", line)
    if not found:
        process.kill()
        pytest.fail(line + process.communicate()[1])
    return process, int(found[1])


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_the_page_until_a_signal(number: int) -> None:
    process, port = start("--port", "0", "--no-open")
    with socket.create_connection(("127.0.0.1", port)):  # stays open, as browsers do
        assert ask(port, "/")[2] == page.read("index.html")
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "stonekey: ended\n")


def test_the_page_alone_needs_no_extra() -> None:
    code = (
        "import sys; from stonekey.cli import main; import stonekey.server.page_server as s; "
        "import stonekey.cli.serve; "
        "print([m for m in ('starlette', 'uvicorn', 'anyio', 'torch') if m in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


def test_without_a_port_the_next_free_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from stonekey.cli import serve

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(serve, "PORT", port)
        found = serve._listening(lambda n: socket.create_server(("127.0.0.1", n)), "x", None)
        with found:
            assert port < found.getsockname()[1] < port + 20


@pytest.mark.parametrize("api", [(), ("--api",)])
def test_a_port_in_use_is_said(api: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--no-open", "--port", str(port), *api)
    assert done.returncode == 1
    assert done.stderr == (
        f"stonekey: cannot listen at 127.0.0.1, port {port}: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--queue", "3"), "--queue needs --api: without it, the work is the browser's"),
        (("--fast",), "--fast needs --api: without it"),
        (("--api", "--max-size", "0"), "max_size must be above 0, got 0"),
        (("--api", "--model", "nothing"), "nothing: no such model"),
        (("--api", "-m", "stone12", "-m", "stone12"), "two models are called 'stone12'"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], error: str, tmp_path: Path) -> None:
    done = run("serve", "--port", "0", "--no-open", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"stonekey: {error}")


def test_the_api_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "stonekey.server.run", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = run("serve", "--api")
    assert done.returncode == 2
    assert done.stderr.endswith('pip install ".[server]" in the checkout of stonekey\n')
