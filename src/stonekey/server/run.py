"""Start the API, and end it without losing a request."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from stonekey.estimate.estimator import KeyEstimator
from stonekey.estimate.settings import EstimatorSettings
from stonekey.files import core_count
from stonekey.library.pool import GIGABYTE
from stonekey.model.listing import list_models
from stonekey.model.registry import find_model
from stonekey.server.api import Api, token_of
from stonekey.server.app import make_app
from stonekey.server.live import Live
from stonekey.server.page_files import PageFiles
from stonekey.server.settings import ServerSettings
from stonekey.server.temporary import uploads_folder
from stonekey.server.worker import AnalysisSettings
from stonekey.server.workers import Workers

# More get 503: a process may often have no more than 1024 files open.
MOST_CONNECTIONS = 400
# What is still there after the grace has so many seconds to get its 503.
_LAST_SECONDS = 3.0


def serve_api(
    listener: socket.socket,
    settings: ServerSettings,
    estimator: EstimatorSettings,
    files: PageFiles | None = None,
    on_start: Callable[[Callable[[], None]], object] = lambda end: None,
) -> None:
    """Serve until SIGTERM or SIGINT; in a thread, which gets no signals, until it is told to end.

    The first signal refuses what comes with 503 and lets running requests finish for the time of
    grace; the second ends them.

    Args:
        listener: a listening socket, closed at the end.
        settings: what the API accepts.
        estimator: how recordings are heard where a request does not say.
        files: the page; None to serve the API alone.
        on_start: called when requests are taken, with a function that does what a signal does.

    Raises:
        CheckpointError: a model cannot be loaded.
        WorkerStartError: the workers cannot start.
        ValueError, OSError: the token cannot be read, or two models have one name.
    """
    with listener:
        # Connections inherit it. Without, the end of an answer waits 40 ms for the client's word.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        token = token_of(settings.token_file)
        # Each worker has one core. The pool's limit on a file's time comes before the estimator's.
        estimator = replace(estimator, threads=1, timeout=2 * settings.max_time)
        paths, records, estimators = _models(settings.model, estimator)
        work = AnalysisSettings(paths, asdict(estimator), settings.max_duration, settings.max_time)
        count = settings.workers or (core_count() if estimator.device == "cpu" else 1)
        with (
            uploads_folder() as folder,
            Workers(count, work, settings.max_memory * GIGABYTE) as workers,
        ):
            api = Api(settings, estimator, records, workers, folder)
            live = Live(settings, estimators, token, api.metrics)
            app = make_app(api, live, files, token, settings.cors_origin)
            _Server(app, api, workers, settings.grace, on_start).run([listener])


def _models(
    names: tuple[str, ...], settings: EstimatorSettings
) -> tuple[dict[str, str], list[dict[str, Any]], dict[str, KeyEstimator]]:
    """The path of each model by its name, what the API says of each, and itself."""
    paths: dict[str, str] = {}
    estimators: dict[str, KeyEstimator] = {}
    records: list[dict[str, Any]] = []
    known = {row["name"]: row for row in list_models()}
    for name in names:
        path = find_model(name)
        estimator = KeyEstimator(path, settings=settings)
        info = estimator.info
        assert info.class_table is not None  # the estimator needs one
        if info.name in paths:
            raise ValueError(f"two models are called '{info.name}'")
        paths[info.name] = str(path.absolute())
        estimators[info.name] = estimator
        records.append(
            {
                "name": info.name,
                "default": not records,
                "classes": len(info.class_table),
                "description": known.get(name, {}).get("description", ""),
            }
        )
    return paths, records, estimators


class _Server(uvicorn.Server):
    """Ends in two steps: first it takes no requests, then it closes its connections."""

    def __init__(
        self,
        app: ASGIApp,
        api: Api,
        workers: Workers,
        grace: float,
        on_start: Callable[[Callable[[], None]], object],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="websockets-sansio",
                ws_max_size=1 << 20,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=round(_LAST_SECONDS),
            )
        )
        self._api = api
        self._workers = workers
        self._grace = grace
        self._on_start = on_start
        self._end = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start(self.end)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.end()

    def end(self) -> None:
        """Begin to end, or the second time make haste."""
        if self._api.ending:
            self._end = 0.0
        else:
            self._api.ending = True
            self._end = time.monotonic() + self._grace

    async def on_tick(self, counter: int) -> bool:
        if await super().on_tick(counter):
            return True
        now = time.monotonic()
        if now > self._end:
            self._workers.stop()  # so that what runs or waits gets 503
        return self._api.ending and (not self._api.running or now > self._end + _LAST_SECONDS)
