"""``stonekey serve``: the page in the browser, or an HTTP API."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from stonekey.cli.common import exit_on_error, fail, needs_extra
from stonekey.cli.options import with_settings
from stonekey.estimate.settings import EstimatorSettings
from stonekey.server.settings import TOKEN, ServerSettings
from stonekey.text import echo, log

PORT = 8000
_TRIED = 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Listening = TypeVar("Listening")


@with_settings("threads", "timeout")
def serve(
    *,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            "-p",
            min=0,
            max=65535,
            metavar="N",
            help=f"Port; by default the first free one from {PORT}; 0 for any free one.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    api: Annotated[bool, typer.Option("--api", help="Serve an HTTP API too.")] = False,
    server: ServerSettings,
    settings: EstimatorSettings,
) -> None:
    """Serve a page that finds keys in the browser, or an HTTP API.

    The page analyses recordings in the browser: they are not sent anywhere. With --api, other
    programs can send recordings to this machine (see docs/server.md); this needs the extra
    "server", and the other options are for it alone. Ctrl-C or SIGTERM ends the server, after
    the requests that run.

    Exit code: 0 after Ctrl-C or SIGTERM, 1 when the port is in use, 2 for bad usage.

    For example:

      stonekey serve

      stonekey serve --api --port 8080 --folder ~/Music
    """
    if api:
        _serve_api(host, port, server, settings)
        return
    for given, default in ((server, ServerSettings()), (settings, EstimatorSettings())):
        for name, value in vars(default).items():
            if getattr(given, name) != value:
                option = name.replace("_", "-")
                fail(f"--{option} needs --api: without it, the work is the browser's")
    _serve_page(host, port, browser)


def _serve_page(host: str, port: int | None, browser: bool) -> None:
    import threading
    import webbrowser

    from stonekey.server.page_files import PageFiles
    from stonekey.server.page_server import page_server

    files = PageFiles.of_package()
    server = _listening(lambda number: page_server(files, host, number), host, port)
    with server:
        _announce(host, server.server_port)
        if browser:
            here = _address("127.0.0.1" if _is_any(host) else host, server.server_port)
            # Aside, since a browser in the terminal waits for the page.
            threading.Thread(target=webbrowser.open, args=(here,), daemon=True).start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log("stonekey: ended")


def _serve_api(
    host: str, port: int | None, server: ServerSettings, settings: EstimatorSettings
) -> None:
    with needs_extra("server"):
        from stonekey.server.run import serve_api
    from stonekey.library.pool import WorkerStartError
    from stonekey.server.page_files import PageFiles

    if host not in _LOOPBACK and server.token_file is None and TOKEN not in os.environ:
        log("stonekey: whoever reaches this machine can use the API; --token-file keeps others out")
    _log_requests()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = _listening(
        lambda number: socket.create_server((host, number), family=family), host, port
    )
    with exit_on_error():
        try:
            serve_api(
                listener,
                server,
                settings,
                PageFiles.of_package(),
                lambda end: _announce(host, listener.getsockname()[1]),
            )
        except WorkerStartError as error:
            fail(f"the workers cannot start: {error}", 1)
    log("stonekey: ended")


def _listening(listen: Callable[[int], Listening], host: str, port: int | None) -> Listening:
    """What listens at the port, or without one at the first that is free; exits if none is."""
    for number in range(PORT, PORT + _TRIED) if port is None else [port]:
        try:
            return listen(number)
        except OSError as error:
            problem = error
            # Of the address, not of the port.
            if isinstance(error, socket.gaierror):
                break
    where = f"{PORT} to {PORT + _TRIED - 1}" if port is None else str(port)
    # Those of names that cannot be looked up have numbers of their own, below 0.
    number = problem.errno or 0
    reason = os.strerror(number) if number > 0 else str(problem.strerror or problem)
    fail(f"cannot listen at {host}, port {where}: {reason}", 1)


def _is_any(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _announce(host: str, port: int) -> None:
    echo(f"stonekey: {_address(host, port)} (Ctrl-C ends it)")


def _log_requests() -> None:
    """Log requests, and what the server's libraries warn of, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for name, level in (("stonekey.server", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
