"""The files of the page, as answers of HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from urllib.parse import unquote

INDEX = "index.html"

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

    media_type: str
    content: bytes = field(repr=False)

    @cached_property
    def etag(self) -> str:
        """What changes when the content does."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @property
    def headers(self) -> dict[str, str]:
        """Headers of an answer with this file, except its length."""
        return {**_HEADERS, "Content-Type": self.media_type, "ETag": self.etag}

    def is_held(self, if_none_match: str | None) -> bool:
        """Whether a browser that sends this header has the file already."""
        held = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
        return self.etag in held or "*" in held


class PageFiles:
    """The files of the page by the path in their address; each is read when it is first asked for.

    Args:
        names: their names, which may have folders.
        media_type: the media type of one.
        read: its content.
    """

    def __init__(
        self,
        names: Iterable[str],
        media_type: Callable[[str], str],
        read: Callable[[str], bytes],
    ) -> None:
        self._names = tuple(names)
        self._file = cache(lambda name: PageFile(media_type(name), read(name)))

    @classmethod
    def of_package(cls) -> PageFiles:
        """The page of this package."""
        from stonekey import page

        return cls(page.names(), page.media_type, page.read)

    @property
    def paths(self) -> list[str]:
        """Every path that there is."""
        return ["/", *(f"/{name}" for name in self._names)]

    def at(self, path: str) -> PageFile | None:
        """The file at a path, without its query, still quoted; None if there is none."""
        name = unquote(path).removeprefix("/") or INDEX
        return self._file(name) if name in self._names else None
