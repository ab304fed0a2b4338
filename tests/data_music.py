"""Small recordings for the tests of stonekey.data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from stonekey.data.manifest import Track
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd

# Segments of 4 s: short recordings make short tests.
SHORT = FrontEnd(segment_seconds=4.0)


def tones(seconds: float, seed: int = 0, sample_rate: int = 22050) -> np.ndarray:
    """Decaying tones, a new chord of three every half second; float32, peak about 0.5."""
    generator = np.random.default_rng(seed)
    n = round(seconds * sample_rate)
    out = np.zeros(n)
    for start in range(0, n, sample_rate // 2):
        time = np.arange(min(sample_rate, n - start)) / sample_rate
        for pitch in generator.integers(33, 84, 3):
            frequency = 440 * 2 ** ((pitch - 69) / 12)
            out[start : start + len(time)] += np.exp(-3 * time) * np.sin(
                2 * np.pi * frequency * time
            )
    return (0.5 * out / np.abs(out).max()).astype(np.float32)


def write_tracks(folder: Path, seconds: list[float], labelled: int = 0) -> list[Track]:
    """Write recordings of these lengths; the first ``labelled`` ones get keys 0, 1, ..."""
    tracks = []
    for i, length in enumerate(seconds):
        path = folder / f"{i:03d}.wav"
        soundfile.write(path, tones(length, seed=i), 22050, subtype="PCM_16")
        key = Key.from_index(i) if i < labelled else None
        tracks.append(Track(id=path.name, path=path, key=key))
    return tracks
