"""What a request is refused with: a status and ``{"error": ...}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from stonekey.text import json_text


class RefusedError(Exception):
    """A request that gets no result.

    Args:
        status: status of the answer.
        error: why, in words.
        headers: headers of the answer.
    """

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers

    def response(self) -> Response:
        """The answer."""
        return answer({"error": self.error}, self.status, self.headers)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON, as the command line writes it."""
    text = json_text(value) + "\n"
    return Response(text, status, headers, media_type="application/json")
