"""Learn a mode head from labelled recordings: a logistic regression, solved exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from stonekey.data.cache import CachedTrack, read_track
from stonekey.data.loaders import scale
from stonekey.data.segments import segment_frames
from stonekey.keys import KeySignature
from stonekey.model.checkpoint import Checkpoint
from stonekey.model.class_table import row_table
from stonekey.model.settings import FrontEnd
from stonekey.network.heads import PITCH_CLASSES, ModeHead

# Weight of the squared coefficients (of standardised chroma) against the mean loss.
RIDGE = 1e-3
STEPS = 50


def with_mode_head(signatures: Checkpoint, tracks: Sequence[CachedTrack]) -> Checkpoint:
    """A 24-key model: a 12-signature one, its network as it is, and a mode head.

    Args:
        signatures: a 12-signature model with a class table.
        tracks: labelled recordings in the cache of the model's front end.

    Raises:
        ValueError: when the model is no such one, or a mode has no recording.
    """
    info = signatures.info
    if info.class_table is None or len(info.class_table) != PITCH_CLASSES:
        raise ValueError(f"{info.name} is not a 12-signature model with a class table")
    assert info.architecture is not None
    tonics = [s.tonic for s in info.class_table if isinstance(s, KeySignature)]
    labelled = [t for t in tracks if t.key is not None]
    features, minor, weights = [], [], []
    for track in labelled:
        assert track.key is not None
        chroma = segment_chroma(track, info.front_end)
        # As the head sees it for the output that stands for the track's signature.
        output = tonics.index(track.key.signature.tonic)
        features.append(np.roll(chroma, -output, axis=1))
        minor += [track.key.mode == "minor"] * len(chroma)
        weights += [1 / len(chroma)] * len(chroma)
    if len(set(minor)) < 2:
        raise ValueError("learning the mode needs recordings in major and in minor keys")
    weight, bias = logistic(np.concatenate(features), np.array(minor), np.array(weights))
    table = row_table(24, (tonics[0], (tonics[0] + 9) % 12), ("major", "minor"))
    architecture = replace(info.architecture, outputs=24, mode_head=True)
    tensors = {
        **signatures.tensors,
        "mode_head.weight": weight.astype(np.float32),
        "mode_head.bias": np.array([bias], dtype=np.float32),
    }
    return Checkpoint(replace(info, architecture=architecture, class_table=table), tensors)


def segment_chroma(track: CachedTrack, front_end: FrontEnd) -> np.ndarray:
    """`ModeHead.chroma` (segments, 12) of consecutive segments of a track."""
    frames = torch.from_numpy(read_track(track, front_end.n_bins))
    length = min(segment_frames(front_end), len(frames))
    segments = torch.stack(frames.split(length)[: len(frames) // length])
    return np.asarray(
        ModeHead.chroma(scale(segments, front_end.average)[:, :, : front_end.crop_bins]).numpy()
    )


def logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients (n,) and intercept of a ridge-penalised logistic regression, by Newton steps.

    Args:
        x: (samples, n).
        y: (samples,) of bool.
        weights: (samples,); scaled so that both classes weigh 1.
    """
    weights = weights.astype(np.float64)
    for value in (False, True):
        weights[y == value] /= weights[y == value].sum()
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    # Both classes together weigh 2; the intercept is not penalised.
    ridge = 4 * RIDGE * np.diag([*np.ones(x.shape[1]), 0.0])
    theta = np.zeros(z.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(z @ theta)))
        gradient = z.T @ (weights * (p - y)) + ridge @ theta
        hessian = (z * (weights * p * (1 - p))[:, None]).T @ z + ridge
        step = np.linalg.solve(hessian + 1e-12 * np.eye(len(hessian)), gradient)
        theta -= step
        if np.abs(step).max() < 1e-10:
            break
    coefficients = theta[:-1] / spread
    return coefficients, float(theta[-1] - coefficients @ mean)
