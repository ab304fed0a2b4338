"""Code as users write it, which mypy checks with torch (.ci/run) and without it (.ci/smoke).

It is not run. An ignored error that mypy does not find is itself an error.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import torch

from stonekey import KeyEstimate, KeyEstimator, SegmentEstimate
from stonekey.estimate.timeline import Timeline, key_timeline

estimator = KeyEstimator("template", fast=True)
samples = np.zeros((2, 44100), dtype=np.float32)
tensor = torch.zeros(2, 44100)

one: KeyEstimate = estimator("song.mp3")
one = estimator(Path("song.mp3"))
one = estimator(b"RIFF")
one = estimator(memoryview(b"RIFF"))
one = estimator(io.BytesIO(b"RIFF"))
one = estimator(samples, 44100)
one = estimator(tensor, 44100)
one = estimator(samples, sample_rate=44100.0, channels_first=True)
with open("song.mp3", "rb") as file, tempfile.TemporaryFile() as other:
    one = estimator(file)
    one = estimator(other)

many: list[KeyEstimate] = estimator(["a.mp3", "b.mp3"])
many = estimator([Path("a.mp3")])
many = estimator((Path("a.mp3"), "b.mp3"))
many = estimator([samples, samples], 44100)
many = estimator([tensor], 44100)
paths = [Path("a.mp3")]
many = estimator(paths)

wrong: KeyEstimate = estimator(paths)  # type: ignore[assignment]
wrong = estimator(["a.mp3"])  # type: ignore[assignment]
also_wrong: list[KeyEstimate] = estimator("a.mp3")  # type: ignore[assignment]
estimator(3)  # type: ignore[call-overload]
estimator(None)  # type: ignore[call-overload]
estimator([1.0, 2.0])  # type: ignore[type-var]
with open("song.txt") as text:
    estimator(text)  # type: ignore[call-overload]

for path, result in zip(paths, estimator.each(paths), strict=True):
    if isinstance(result, Exception):
        print(path, result)
    else:
        print(path, result.key, result.confidence.as_integer_ratio())
        wrong_name = result.tonic  # type: ignore[attr-defined]

segment: SegmentEstimate = one.segments[0]
timeline: Timeline = key_timeline(samples, 44100, hop=1.0)
whole: KeyEstimate = timeline.estimate
