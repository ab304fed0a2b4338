"""The API and the page as one application."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from stonekey.server.api import Api
from stonekey.server.errors import RefusedError, answer
from stonekey.server.guard import REQUEST_ID, Guard, Recorder
from stonekey.server.live import Live
from stonekey.server.openapi import describe, page
from stonekey.server.page_files import PageFiles

# What needs the token.
PRIVATE = ("/v1/", "/metrics")


def make_app(
    api: Api, live: Live, files: PageFiles | None, token: str | None, origins: tuple[str, ...]
) -> ASGIApp:
    """The application.

    Args:
        api: what its routes do.
        live: the route of live connections.
        files: of the page; None to serve the API alone.
        token: what requests to `PRIVATE` must bring; None for nothing.
        origins: whose pages may use the API.
    """
    document = describe(token is not None)

    async def openapi(request: Request) -> Response:
        return answer(document)

    async def docs(request: Request) -> Response:
        return HTMLResponse(page(document))

    routes: list[BaseRoute] = [
        Route("/v1/keys", api.keys, methods=["POST"]),
        Route("/v1/models", api.models),
        Route("/healthz", api.health),
        Route("/metrics", api.count),
        Route("/openapi.json", openapi),
        Route("/docs", docs),
    ]
    counted = [route.path for route in routes if isinstance(route, Route)]
    routes.append(WebSocketRoute("/v1/live", live.serve))
    if files is not None:
        routes += [Route(path, _page_route(files)) for path in files.paths]
    inner = Starlette(
        routes=routes,
        exception_handlers={RefusedError: _refused, HTTPException: _no_route},
    )
    inner.router.redirect_slashes = False
    app: ASGIApp = Guard(inner, token, origins, PRIVATE, lambda: api.ending)
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", REQUEST_ID],
            expose_headers=[REQUEST_ID, "Retry-After"],
        )
    return Recorder(app, api.metrics, counted)


async def _refused(request: Request, error: Any) -> Response:
    response: Response = error.response()
    return response


async def _no_route(request: Request, error: Any) -> Response:
    return answer({"error": error.detail.lower()}, error.status_code, error.headers)


def _page_route(files: PageFiles) -> Any:
    async def route(request: Request) -> Response:
        file = files.at(request.scope["path"])
        if file is None:
            raise HTTPException(404)
        if file.is_held(request.headers.get("if-none-match")):
            return Response(status_code=304, headers=file.headers)
        return Response(file.content, headers=file.headers)

    return route
