"""Who may use the API: the token, pages of other origins."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra server")

from openapi_spec_validator import validate
from serving import Served, served

from stonekey.server.api import token_of
from stonekey.server.settings import ServerSettings

ALLOWED = "https://example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("sesame\n")
    settings = ServerSettings(workers=1, token_file=token, cors_origin=(ALLOWED,))
    with served(tmp_path_factory.mktemp("uploads"), settings) as running:
        yield running


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401), ("", 401), ("Bearer", 401), ("Bearer sesam", 401),
        ("Bearer sesame2", 401), ("Basic sesame", 401), ("sesame", 401), ("Bearer s\xe9same", 401),
        ("Bearer sesame", 200), ("bearer sesame", 200),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
def test_the_token_is_needed(server: Served, path: str, header: str | None, status: int) -> None:
    with server.client() as client:
        headers = {} if header is None else {"authorization": header.encode("latin-1")}
        answer = client.get(path, headers=headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_without_the_token_nothing_is_read_or_told(server: Served) -> None:
    with server.client() as client:
        assert client.post("/v1/keys", content=b"x").status_code == 401
        assert client.post("/v1/nothing").status_code == 401
        # In the path, for programs that take it for the same.
        assert client.get("/v1/../v1/models").status_code == 401
        assert client.get("//v1/models").status_code == 404


def test_health_and_description_need_no_token(server: Served) -> None:
    with server.client() as client:
        for path in ("/healthz", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        document = client.get("/openapi.json").json()
    validate(document)
    assert document["security"] == [{"token": []}]


def test_the_description_for_people_needs_nothing_else(server: Served) -> None:
    with server.client() as client:
        text = client.get("/docs").text
    assert "POST /v1/keys" in text
    assert "min_clarity" in text
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }


def test_pages_of_an_allowed_origin_may_come(server: Served) -> None:
    with server.client() as client:
        asked = client.options("/v1/keys", headers=preflight(ALLOWED))
        answer = client.get(
            "/v1/models", headers={"origin": ALLOWED, "authorization": "Bearer sesame"}
        )
    for found in (asked, answer):
        assert found.status_code == 200
        assert found.headers["access-control-allow-origin"] == ALLOWED
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.org:8000", 403), ("localhost:8000", 200), ("192.168.1.2", 200), ("[::1]:8000", 200)],
)
def test_a_name_may_lead_here_from_anywhere(tmp_path: Path, host: str, status: int) -> None:
    """Without a token, a page of the server's own is at an address that nobody can redirect."""
    with served(tmp_path, ServerSettings(workers=1)) as server, server.client() as client:
        headers = {"host": host, "origin": f"http://{host}"}
        assert client.get("/v1/models", headers=headers).status_code == status


@pytest.mark.parametrize("origin", ["https://evil.org", "null", "http://127.0.0.1", "x"])
def test_pages_of_other_origins_may_not(server: Served, origin: str) -> None:
    with server.client() as client:
        asked = client.options("/v1/keys", headers=preflight(origin))
        answer = client.post(
            "/v1/keys", content=b"x",
            headers={"origin": origin, "authorization": "Bearer sesame"},
        )  # fmt: skip
    assert asked.status_code == 400
    assert answer.status_code == 403
    for found in (asked, answer):
        assert "access-control-allow-origin" not in found.headers


def test_the_own_page_may_come_and_nobody_else_by_default(tmp_path: Path) -> None:
    with served(tmp_path, ServerSettings(workers=1)) as server, server.client() as client:
        own = client.get("/v1/models", headers={"origin": server.address})
        assert own.status_code == 200
        assert client.get("/v1/models", headers={"origin": ALLOWED}).status_code == 403
        assert client.options("/v1/keys", headers=preflight(ALLOWED)).status_code == 403
        document = client.get("/openapi.json").json()
        validate(document)
        assert "security" not in document
        # Ids that could forge lines of the log are replaced.
        for sent in ("a b", "x" * 65, "caf\xe9"):
            answer = client.get("/healthz", headers={"x-request-id": sent.encode("latin-1")})
            assert len(answer.headers["x-request-id"]) == 32
        models = client.get("/v1/models").json()
        assert [model["name"] for model in models if model["default"]] == ["stone24"]


def test_the_log_is_plain_text(server: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a client has a proxy on this machine pass on as its address."""
    with caplog.at_level(logging.INFO, "stonekey.server"), server.client() as client:
        client.get("/a%1b%0ab", headers={"x-forwarded-for": "\x1b[31mred", "x-request-id": "mine"})
        # The line is written when the answer has gone out.
        deadline = time.monotonic() + 30
        while not (lines := [m for m in caplog.messages if m.startswith("mine")]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    (line,) = lines
    assert line.startswith(r"mine \x1b[31mred GET /a\x1b\nb 404 ")


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text(" from-file\n")
    assert token_of(None) is None
    monkeypatch.setenv("STONEKEY_TOKEN", "from-variable")
    assert token_of(path) == "from-file"
    monkeypatch.setenv("STONEKEY_TOKEN", "from-variable")
    assert token_of(None) == "from-variable"
    assert token_of(None) is None  # it is gone, for the workers
    for bad in ("", " \n", "two words", "caf\xe9"):
        path.write_text(bad, encoding="utf-8")
        with pytest.raises(ValueError, match="token: the token must be of printable ASCII"):
            token_of(path)
