"""The HTTP API: the keys of uploaded files, and of files in a folder of the server."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, create_task_group
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from stonekey import __version__
from stonekey.estimate.settings import EstimatorSettings
from stonekey.server.errors import RefusedError, answer
from stonekey.server.folder import OutsideError, file_within
from stonekey.server.guard import GONE
from stonekey.server.metrics import Metrics
from stonekey.server.query import read_query
from stonekey.server.settings import TOKEN, ServerSettings
from stonekey.server.uploads import Upload, read_body, receive_uploads
from stonekey.server.worker import Analysis
from stonekey.server.workers import UnavailableError, Workers

_LARGEST_JSON = 1 << 16


class Api:
    """What the routes do.

    Args:
        settings: limits of the server.
        estimator: how recordings are heard where a request does not say.
        models: a record for each model, the default one first.
        workers: what analyses the files.
        folder: where uploads go until they are analysed.

    Attributes:
        ending: no more requests are taken.
        running: number of requests for keys that were taken and are not answered.
    """

    def __init__(
        self,
        settings: ServerSettings,
        estimator: EstimatorSettings,
        models: list[dict[str, Any]],
        workers: Workers,
        folder: Path,
    ) -> None:
        self.ending = False
        self.running = 0
        self._settings = settings
        self._estimator = estimator
        self._models = models
        self._names = [model["name"] for model in models]
        self._workers = workers
        self._folder = folder
        self.metrics = Metrics(lambda: workers.waiting, lambda: workers.busy)

    async def health(self, request: Request) -> Response:
        """Whether requests are taken: 200, or 503 with the reason."""
        problem = "the server is ending" if self.ending else self._workers.problem
        record = {"status": "ok" if problem is None else "unavailable", "version": __version__}
        if problem is None:
            return answer({**record, "model": self._names[0]})
        return answer({**record, "error": problem}, 503)

    async def models(self, request: Request) -> Response:
        """The models to choose from."""
        return answer(self._models)

    async def count(self, request: Request) -> Response:
        """The metrics."""
        return Response(self.metrics.text(), media_type=self.metrics.content_type)

    async def keys(self, request: Request) -> Response:
        """The key of a file, or of each of several."""
        asked = read_query(request.query_params, self._names, self._estimator)
        try:
            with self._admitted(), tempfile.TemporaryDirectory(dir=self._folder) as folder:
                kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind == "application/json":
                    files = [await self._named(request)]
                else:
                    files = await receive_uploads(request, Path(folder), self._settings)
                records = await self._analysed(request, files, asked)
        except ClientDisconnect:
            return Response(status_code=GONE)
        except UnavailableError as error:
            raise RefusedError(503, str(error), {"retry-after": "5"}) from error
        if len(records) > 1:
            return answer(records)
        return answer(records[0], 200 if records[0]["error"] is None else 422)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Take the request, unless as many wait as may."""
        if self.running >= self._workers.count + self._settings.queue:
            retry = {"retry-after": str(self._workers.retry_after)}
            raise RefusedError(429, "too many requests are waiting", retry)
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def _named(self, request: Request) -> Upload:
        """The file of the folder that a request names."""
        text = bytearray()
        await read_body(request, self._settings, _LARGEST_JSON, text.extend)
        try:
            body = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, f"the body is no JSON: {error}") from error
        name = body.get("path") if isinstance(body, dict) and len(body) == 1 else None
        if not isinstance(name, str):
            raise RefusedError(400, 'the body must be {"path": "..."}')
        if self._settings.folder is None:
            raise RefusedError(403, "this server has no folder of recordings")
        try:
            return Upload(file_within(self._settings.folder, name), name)
        except OutsideError as error:
            raise RefusedError(404, str(error)) from error

    async def _analysed(
        self, request: Request, files: list[Upload], asked: Analysis
    ) -> list[dict[str, Any]]:
        """The records of the files in their order.

        Raises:
            ClientDisconnect: the client is gone, so what was waiting has been given up.
            UnavailableError: no worker can take them.
        """
        records: dict[int, dict[str, Any]] = {}
        problems: list[Exception] = []
        # A request of many files leaves places to others between them.
        turns = CapacityLimiter(self._workers.count)

        async def analyse(number: int, file: Upload) -> None:
            try:
                async with turns:
                    record = await self._workers.analyse(file.path, file.name, asked)
            except UnavailableError as error:
                problems.append(error)
                return
            records[number] = record
            self.metrics.files.labels("failed" if record["error"] else "ok").inc()
            self.metrics.audio_seconds.inc(record["duration"] or 0.0)

        async def wait_for_end() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            problems.insert(0, ClientDisconnect())
            group.cancel_scope.cancel()

        async with create_task_group() as group:
            group.start_soon(wait_for_end)
            async with create_task_group() as work:
                for number, file in enumerate(files):
                    work.start_soon(analyse, number, file)
            group.cancel_scope.cancel()
        if problems:
            raise problems[0]
        return [records[number] for number in range(len(files))]


def token_of(path: Path | None) -> str | None:
    """The token that requests must bring, from a file or else from the environment.

    The variable is removed, so that worker processes do not have it.

    Raises:
        ValueError: it is empty, or not of printable ASCII.
        OSError: the file cannot be read.
    """
    named = os.environ.pop(TOKEN, None)
    if path is None and named is None:
        return None
    token = (path.read_text(encoding="utf-8") if path is not None else named or "").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        where = TOKEN if path is None else path
        raise ValueError(f"{where}: the token must be of printable ASCII without spaces")
    return token
