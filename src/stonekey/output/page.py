"""What rich prints for a stream of bytes, in characters that its encoding has."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class Page(io.StringIO):
    """A file for `rich.console.Console`, which draws lines in ASCII if ``encoding`` is no UTF."""

    def __init__(self, encoding: str | None = None) -> None:
        """Begin an empty page.

        Args:
            encoding: of the bytes; None for that of standard output.
        """
        super().__init__()
        self._encoding = encoding or getattr(sys.stdout, "encoding", None) or "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """See above."""
        return self._encoding

    def take(self) -> bytes:
        """What was printed since the last call."""
        data = self.getvalue().encode(self._encoding, "replace")
        self.seek(0)
        self.truncate()
        return data


def rule(console: Console, width: int) -> str:
    """A horizontal line."""
    return ("-" if console.options.ascii_only else "\u2500") * width
