"""The settings of the API, which are also options of ``stonekey serve``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stonekey.model.registry import EMBEDDED
from stonekey.options import option

MEGABYTE = 10**6
# Environment variable of the token.
TOKEN = "STONEKEY_TOKEN"


@dataclass(frozen=True)
class ServerSettings:
    """What the API accepts, and how much of it.

    Attributes:
        folder: requests may name files in this folder; None for none.
        model: models to choose from, names or paths; the first answers where none is chosen.
        workers: processes that analyse files; None for one per core.
        queue: requests that may wait while all workers are busy; more are refused.
        max_size: limit on the body of a request in megabytes (10^6 bytes).
        max_files: limit on the files of a request.
        max_duration: limit on the length of a recording in seconds.
        max_time: limit on the analysis of a file in seconds.
        max_memory: limit on the resident memory of a worker in gigabytes (enforced on Linux).
        max_live: limit on the live connections at a time.
        token_file: file that holds the token which requests must bring; None for no token.
        cors_origin: origins whose pages may use the API; "*" for any.
        grace: seconds that running requests have to finish once the server is told to end.
        stall_seconds: the longest pause in a request's body, or between messages of a live
            connection.
        upload_seconds: the longest that a whole body may take.

    Raises:
        ValueError: a limit that is not above 0, or no model.
    """

    PANEL: ClassVar[str] = "With --api"

    folder: Path | None = option(
        None, "Let requests name files in this folder.", exists=True, file_okay=False
    )
    model: tuple[str, ...] = option(
        tuple(model.name for model in EMBEDDED),
        "Model to choose from; may be repeated, the first is the default. By default those of the "
        "package.",
        "--model",
        "-m",
        type=list[str],
        metavar="MODEL",
        show_default=False,
    )
    workers: int | None = option(
        None, "Worker processes; by default one per core.", "--workers", "-j", min=1, metavar="N"
    )
    queue: int = option(
        16, "Requests that may wait for a worker; more get 429.", min=0, metavar="N"
    )
    max_size: float = option(200.0, "Limit on the body of a request.", metavar="MB")
    max_files: int = option(100, "Limit on the files of a request.", min=1, metavar="N")
    max_duration: float = option(
        3 * 3600.0, "Limit on the length of a recording.", metavar="SECONDS"
    )
    max_time: float = option(120.0, "Limit on the analysis of a file.", metavar="SECONDS")
    max_memory: float = option(2.0, "Memory limit of a worker (Linux only).", metavar="GB")
    max_live: int = option(8, "Live connections at a time.", min=0, metavar="N")
    token_file: Path | None = option(
        None,
        f"File with the token that requests must bring; by default ${TOKEN}, if it is set.",
        exists=True,
        dir_okay=False,
    )
    cors_origin: tuple[str, ...] = option(
        (),
        "Let pages of this origin use the API, such as https://example.org; may be repeated.",
        type=list[str],
        metavar="ORIGIN",
    )
    grace: float = option(
        30.0, "Time that running requests have to finish after SIGTERM.", metavar="SECONDS"
    )
    stall_seconds: float = 30.0
    upload_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in ("model", "cors_origin"):
            object.__setattr__(self, name, tuple(getattr(self, name) or ()))
        for name in ("max_size", "max_duration", "max_time", "max_memory", "grace"):
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name} must be above 0, got {value:g}")
        if not self.model:
            raise ValueError("at least one model is needed")

    @property
    def max_bytes(self) -> int:
        """Limit on the body of a request in bytes."""
        return round(self.max_size * MEGABYTE)
