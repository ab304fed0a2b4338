"""What the server counts, as Prometheus text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

# Bounds of the buckets in seconds: from an answer of the server itself to the time limit.
BUCKETS = (0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """The counters of one server.

    Args:
        waiting: number of files that wait for a worker, now.
        busy: number of workers that have a file, now.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, waiting: Callable[[], float], busy: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        given: Any = {"namespace": "stonekey", "registry": self._registry}
        self.requests = Counter("requests", "Requests answered.", ["route", "status"], **given)
        self.seconds = Histogram(
            "request_seconds", "Seconds from a request to its answer.", ["route"],
            buckets=BUCKETS, **given,
        )  # fmt: skip
        self.in_flight = Gauge("requests_in_flight", "Requests being answered.", **given)
        self.files = Counter(
            "files", "Files analysed, by outcome: ok, or failed with an error.", ["outcome"],
            **given,
        )  # fmt: skip
        self.audio_seconds = Counter(
            "audio_seconds", "Seconds of the recordings analysed.", **given
        )
        self.live = Gauge("live_connections", "Live connections.", **given)
        for name, about, read in (
            ("queue_length", "Files that wait for a worker.", waiting),
            ("workers_busy", "Workers that have a file.", busy),
        ):
            Gauge(name, about, **given).set_function(read)
        # There from the start, so that rates are right.
        for outcome in ("ok", "failed"):
            self.files.labels(outcome)

    def text(self) -> bytes:
        """All of them, in the text format of Prometheus."""
        return generate_latest(self._registry)
