"""How recordings are heard: one object from the command line to the estimator."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from stonekey.audio.tuning import TuneOption, Tuner, checked_option
from stonekey.options import one_of, option

BACKENDS = ("auto", "onnx", "torch")


@dataclass(frozen=True)
class EstimatorSettings:
    """Settings of a `stonekey.KeyEstimator`.

    Attributes:
        overlap: share of a segment that the next one repeats, 0 <= overlap < 1.
        published_segments: cut as the published inference does, for comparison with it: what
            follows the last whole segment is dropped, and pauses count as well.
        tune: "auto" corrects the pitch of music not tuned to A = 440 Hz, "off" leaves it, and
            a number is the deviation to correct, in cents, -100 to 100. With
            ``published_segments`` auto is off: the published inference corrects nothing.
        device: "cpu", or a torch device such as "cuda" (needs the torch extra).
        backend: "auto" (ONNX Runtime on the CPU, torch elsewhere), "onnx" or "torch".
        threads: threads that share a recording's segments; None for one per core. The answer is
            the same on any number.
        fast: hear only a few segments spread over a recording; of a file decode only those.
        min_confidence: an answer less confident than this is "no key"; 0 to 1.
        min_clarity: a recording less clear than this (`stonekey.model.confidence.clarity`) has
            "no key"; None for the model's own limit, which is 0 for models that have none.
        timeout: seconds that a file may take; None for a limit by its size
            (`stonekey.audio.deadline.time_limit`), infinite for none.
        segment_seconds: length of a segment; None for what the model was trained on, which is
            what it answers best on.
        batch_size: segments run at once; bounds memory, does not change the answer.

    Raises:
        ValueError: for a setting out of range.
    """

    overlap: float = option(0.0, "Share of a segment that the next repeats, 0 to below 1.")
    published_segments: bool = option(
        False, "Cut as the published inference does: drop what follows the last whole segment."
    )
    tune: TuneOption = option(
        "auto",
        "auto: correct the pitch of music not tuned to A = 440 Hz (not with "
        "--published-segments); off; or the cents by which it is too high.",
        type=str,
    )
    device: str = option("cpu", "cpu, or a torch device such as cuda.")
    backend: str = option("auto", "auto, onnx or torch.")
    threads: int | None = option(None, "Threads for the network.", min=1, metavar="N")
    fast: bool = option(False, "Hear only a few segments of each file: 2 to 3 times faster.")
    min_confidence: float = option(0.0, 'An answer less confident than this is "no key".')
    min_clarity: float | None = option(
        None,
        'A recording less clear than this has "no key"; 0: always answer. [default: the model\'s]',
    )
    timeout: float | None = option(
        None,
        "Seconds that a file may take; by default 120, and 30 more for each megabyte.",
        metavar="SECONDS",
    )
    segment_seconds: float | None = None
    batch_size: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "tune", checked_option(self.tune))
        one_of("backend", self.backend, BACKENDS)
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be at least 0 and below 1, got {self.overlap}")
        for name in ("batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("min_confidence", "min_clarity"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be 0 to 1, got {value}")
        if self.segment_seconds is not None and not 0 < self.segment_seconds < math.inf:
            raise ValueError(f"segment_seconds must be positive, got {self.segment_seconds}")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout must be above 0, got {self.timeout}")
        if self.fast and (self.overlap or self.published_segments):
            raise ValueError("fast places its own segments: no overlap, no published_segments")

    def tuner(self) -> Tuner:
        """What hears the tuning of one recording, and corrects it."""
        as_it_is = self.published_segments and self.tune == "auto"
        return Tuner("off" if as_it_is else self.tune)

    @property
    def identity(self) -> dict[str, Any]:
        """What answers depend on beside the model; part of the names of caches.

        Settings that came later take part only where they are not their defaults, so that what
        older versions wrote is still known.
        """
        later = ("fast", "min_confidence", "min_clarity", "segment_seconds")
        names = [f.name for f in fields(self) if f.name in later]
        changed = {n: v for n in names if (v := getattr(self, n)) not in (None, False, 0.0)}
        if self.min_clarity == 0:  # not the model's own limit
            changed["min_clarity"] = 0.0
        return {
            "overlap": self.overlap,
            "published_segments": self.published_segments,
            "tune": self.tune,
            **changed,
        }
