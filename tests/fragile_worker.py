"""A worker of the server that fails in the ways that bad files make decoders fail."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from stonekey.library.worker import serve
from stonekey.server.worker import Analyst


class Fragile(Analyst):
    """The real one, except for files that begin with certain words."""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        with Path(request["path"]).open("rb") as file:
            word, _, rest = file.read(32).partition(b" ")
        if word == b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif word == b"hang":
            time.sleep(1000)
        elif word == b"wait":
            time.sleep(float(rest))
        return super().answer(request)


def main() -> None:
    serve(Fragile)
