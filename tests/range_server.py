"""An HTTP server that gives parts of files, which the standard library's does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Ranges(SimpleHTTPRequestHandler):
    """Files of a folder, and parts of them as servers give them; none with ``plain``."""

    plain = False

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        if not asked or self.plain:
            return super().do_GET()
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        with open(self.translate_path(self.path), "rb") as stream:
            stream.seek(first)
            data = stream.read(last + 1 - first)
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def log_message(self, *_: object) -> None:
        pass


def server(folder: Path) -> ThreadingHTTPServer:
    """A server of the files in a folder, on a free port of this machine."""
    return ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder)))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, served by a thread of this process."""
    with server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()
