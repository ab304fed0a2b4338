"""The page alone, served by the standard library."""

from __future__ import annotations

import os
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from stonekey.server.page_files import PageFiles

IDLE_SECONDS = 30.0


def page_server(files: PageFiles, host: str, port: int) -> ThreadingHTTPServer:
    """A server of the page that listens; its ``serve_forever`` runs it.

    Raises:
        OSError: the address is in use or is not this machine's.
    """

    class Handler(_Handler):
        page = files

    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else AF_INET
        daemon_threads = True  # a connection that is kept open must not keep the process
        # On Windows it would let two programs have one port.
        allow_reuse_address = os.name != "nt"

        def handle_error(self, *_: Any) -> None:
            """A browser that closes a connection early is no error."""

    return Server((host, port), Handler)


class _Handler(BaseHTTPRequestHandler):
    page: PageFiles
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # headers and content are written apart

    def do_GET(self) -> None:
        self._answer(self.wfile.write)

    def do_HEAD(self) -> None:
        self._answer(lambda content: None)

    def _answer(self, write: Callable[[bytes], object]) -> None:
        file = self.page.at(self.path.partition("?")[0])
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        held = file.is_held(self.headers.get("If-None-Match"))
        self.send_response(HTTPStatus.NOT_MODIFIED if held else HTTPStatus.OK)
        for name, value in file.headers.items():
            self.send_header(name, value)
        if not held:
            self.send_header("Content-Length", str(len(file.content)))
        self.end_headers()
        if not held:
            write(file.content)

    def version_string(self) -> str:
        return "stonekey"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the page loads a dozen files, and a terminal has other uses."""
