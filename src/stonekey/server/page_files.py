"""The files of the page, as answers of HTTP."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

INDEX = "index.html"

# Of what the page has; the system's own table may lack or change them.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
# The first two isolate the page, for which browsers let WebAssembly use threads.
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Names stay while contents change with the package, so browsers ask whether they did.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page, and the headers that go with it."""

    name: str
    content: bytes = field(repr=False)

    @cached_property
    def etag(self) -> str:
        """What changes when the content does."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @property
    def headers(self) -> dict[str, str]:
        """Headers of an answer with this file, except its length."""
        suffix = self.name[self.name.rfind(".") :].lower()
        kind = _TYPES.get(suffix) or mimetypes.guess_type(self.name)[0]
        return {**_HEADERS, "Content-Type": kind or "application/octet-stream", "ETag": self.etag}

    def is_held(self, if_none_match: str | None) -> bool:
        """Whether a browser that sends this header has the file already."""
        held = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
        return self.etag in held or "*" in held


class PageFiles:
    """The files of the page by the path in their address.

    Args:
        files: name and content of each; names may have folders.
    """

    def __init__(self, files: Iterable[tuple[str, bytes]]) -> None:
        self._files = {name: PageFile(name, content) for name, content in files}

    @classmethod
    def of_package(cls) -> PageFiles:
        """The page of this package."""
        from stonekey import page

        return cls((name, page.read(name)) for name in page.names())

    @property
    def paths(self) -> list[str]:
        """Every path that there is."""
        return ["/", *(f"/{name}" for name in self._files)]

    def at(self, path: str) -> PageFile | None:
        """The file at a path, without its query, still quoted; None if there is none."""
        name = unquote(path).removeprefix("/") or INDEX
        return self._files.get(name)
