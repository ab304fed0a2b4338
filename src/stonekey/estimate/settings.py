"""The settings of an estimator, which are also options of the commands."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from stonekey.audio.tuning import TuneOption, Tuner, checked_option
from stonekey.options import one_of, option

BACKENDS = ("auto", "onnx", "torch")


@dataclass(frozen=True)
class EstimatorSettings:
    """Settings of a `stonekey.KeyEstimator`.

    Attributes:
        overlap: share of a segment that the next one repeats, 0 <= overlap < 1.
        published_segments: segment as the published inference does, for comparison with it:
            drop what follows the last whole segment, and count silent segments too.
        tune: "auto" corrects music not tuned to A = 440 Hz, "off" does not, and a number is
            the deviation to correct, in cents, -100 to 100. "auto" means "off" with
            ``published_segments``: the published inference corrects nothing.
        device: "cpu", or a torch device such as "cuda" (needs the torch extra).
        backend: "auto" (ONNX Runtime on the CPU, torch elsewhere), "onnx" or "torch".
        threads: threads that share a recording's segments; None for one per core. Does not
            change the answer.
        fast: use only a few segments spread over the recording, and decode only those.
        min_confidence: an answer less confident than this becomes "no key"; 0 to 1.
        min_clarity: a recording with less key clarity than this
            (`stonekey.model.confidence.clarity`) has "no key"; 0 to 1, None for the model's own
            limit (0 if it has none).
        timeout: seconds that a file may take; None for a limit by its size
            (`stonekey.audio.deadline.time_limit`), infinity for no limit.
        segment_seconds: length of a segment; None for the length the model was trained on,
            which gives the best answers.
        batch_size: segments run at once; bounds memory, does not change the answer.

    Raises:
        ValueError: for a setting out of range.
    """

    PANEL: ClassVar[str] = "Analysis"  # heading of these options in the help

    overlap: float = option(
        0.0, "Share of a segment that the next one repeats, from 0 to below 1.", metavar="X"
    )
    published_segments: bool = option(
        False, "Segment as the published inference does: drop what follows the last whole segment."
    )
    tune: TuneOption = option(
        "auto",
        "Tuning correction: auto (to A = 440 Hz), off, or the cents by which the music is "
        "too high.",
        type=str,
    )
    device: str = option("cpu", "cpu, or a torch device such as cuda.")
    backend: str = option("auto", "What runs the model: auto, onnx or torch.")
    threads: int | None = option(
        None, "Number of threads; by default one per core.", min=1, metavar="N"
    )
    fast: bool = option(
        False,
        "Use only a few segments of each file: 2 to 3 times faster; warns where the whole may well "
        "differ.",
    )
    min_confidence: float = option(
        0.0, 'Answer "no key" below this confidence, 0 to 1.', metavar="X"
    )
    min_clarity: float | None = option(
        None,
        'Answer "no key" below this key clarity, 0 to 1; by default the model\'s own limit.',
        metavar="X",
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
            raise ValueError("fast chooses its own segments: no overlap, no published_segments")

    def tuner(self) -> Tuner:
        """What hears the tuning of one recording, and corrects it."""
        as_it_is = self.published_segments and self.tune == "auto"
        return Tuner("off" if as_it_is else self.tune)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that answers depend on; with the model, they name a cache.

        Settings added later appear only when they differ from their defaults, so that caches
        of older versions stay valid.
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
