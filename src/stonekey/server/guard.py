"""What happens to every request: an id, the log, the metrics, who may come in."""

from __future__ import annotations

import hmac
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stonekey.server.errors import RefusedError
from stonekey.server.metrics import Metrics
from stonekey.text import printable

logger = logging.getLogger("stonekey.server")

REQUEST_ID = "x-request-id"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Of a client that does not wait for its answer; only the log and the metrics see it.
GONE = 499


class Recorder:
    """Gives each request an id, which the answer and the log have, and counts it.

    Args:
        app: what answers.
        metrics: the counters.
        routes: paths that are counted apart; all others are "other".
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Iterable[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = name
            await send(message)

        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_named)
        except Exception:
            logger.exception("%s failed", name)
            if status:  # the answer has begun: only closing the connection tells that it is broken
                raise
            await RefusedError(500, "internal error").response()(scope, receive, send_named)
        finally:
            seconds = time.perf_counter() - began
            route = scope["path"] if scope["path"] in self._routes else "other"
            self._metrics.in_flight.dec()
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            client = printable((scope.get("client") or ("-",))[0])  # a proxy may pass anything on
            logger.info(
                "%s %s %s %s %d %.3f s",
                name, client, scope["method"], printable(scope["path"]), status, seconds,
            )  # fmt: skip


class Guard:
    """Refuses requests without the token, from pages of other origins, and while the server ends.

    Args:
        app: what answers.
        token: what requests must bring; None for nothing.
        origins: whose pages may come; "*" for any. The server's own always may.
        private: path that needs the token, or its start with a slash at the end.
        ending: whether the server is ending.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        origins: Iterable[str],
        private: tuple[str, ...],
        ending: Callable[[], bool],
    ) -> None:
        self._app = app
        self._token = token
        self._origins = frozenset(origins)
        self._private = private
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope, Headers(scope=scope))
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # What is in the way of the handshake is answered by its refusal.
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refused.error})
        else:
            await refused.response()(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> RefusedError | None:
        private = any(
            scope["path"].startswith(path) if path.endswith("/") else scope["path"] == path
            for path in self._private
        )
        if not private:
            return None
        if self._ending():
            return RefusedError(503, "the server is ending", {"retry-after": "5"})
        # Other pages cannot read the answers, but could have the server work, and a WebSocket
        # knows no CORS.
        origin = headers.get("origin")
        host = headers.get("host", "")
        own = origin is not None and origin.partition("://")[2] == host
        # Whoever owns a name can have it lead here, and so make a page of theirs look like our own.
        own = own and (self._token is not None or _is_fixed(host))
        if origin is not None and not own and not {origin, "*"} & self._origins:
            return RefusedError(403, "pages of this origin may not use the server")
        # A browser cannot give a WebSocket headers: there the first message may have the token.
        if scope["type"] == "http" and not knows(self._token, headers.get("authorization", "")):
            return RefusedError(
                401, "this needs the token of the server", {"www-authenticate": "Bearer"}
            )
        return None


def _is_fixed(host: str) -> bool:
    """Whether the host of an address is one that nobody can redirect: a number, or localhost."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name != "localhost":
            ip_address(name)
    except ValueError:
        return False
    return True


def knows(token: str | None, authorization: str) -> bool:
    """Whether this header has the token, or none is needed."""
    kind, _, given = authorization.partition(" ")
    return same_token(token, given if kind.lower() == "bearer" else "")


def same_token(token: str | None, given: Any) -> bool:
    """Whether a token is the right one, or none is needed; the time tells nothing of it."""
    return token is None or (
        isinstance(given, str)
        and hmac.compare_digest(token.encode(), given.strip().encode("utf-8", "replace"))
    )
