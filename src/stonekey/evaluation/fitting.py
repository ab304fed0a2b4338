"""Fit a model's confidence: its temperature, and the key clarity below which it has no key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stonekey.data.manifest import Track
from stonekey.estimate.estimator import KeyEstimator
from stonekey.model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from stonekey.model.confidence import clarity, fit_limit, fit_temperature, mean_of_segments

# Of fewer recordings the share of right answers is off by 0.2 and more.
ENOUGH = 20


@dataclass(frozen=True)
class FittedConfidence:
    """What a fit found.

    Attributes:
        temperature: of the mean over a recording's segments.
        limit: key clarity below which there is no key; 0 where no keyless sound was given.
        labelled: number of recordings of known key.
        keyless_refused: share of the keyless sounds below the limit, 0 to 1.
        music_refused: share of the music below it, 0 to 1.
    """

    temperature: float
    limit: float
    labelled: int
    keyless_refused: float
    music_refused: float

    def applied_to(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with this confidence."""
        info = replace(
            checkpoint.info, confidence_temperature=self.temperature, min_clarity=self.limit
        )
        return replace(checkpoint, info=info)


def fit_confidence(
    model: Path, labelled: Sequence[Track], keyless: Sequence[Path], music: Sequence[Path]
) -> FittedConfidence:
    """Fit the temperature and the limit of key clarity on recordings that were not trained on.

    Args:
        model: checkpoint with a class table.
        labelled: recordings of known key, for the temperature.
        keyless: sounds without a key, for the limit; none leaves it at 0.
        music: recordings, labelled or not, few of which may fall below the limit.

    Raises:
        CheckpointError: the checkpoint cannot be used or has no class table.
        AudioError: a recording cannot be read.
        ValueError: no recording of known key, or keyless sounds but no music.
    """
    info = load_checkpoint(model).info
    table = info.class_table
    if table is None:
        raise CheckpointError(f"{model}: has no class table; calibrate it first")
    estimator = KeyEstimator(model, min_clarity=0)

    def segments(paths: Sequence[Path]) -> list[list[np.ndarray]]:
        """The outputs of each recording's segments, silent ones left out."""
        heard = ([s.probabilities for s in estimator(path).segments if s.counted] for path in paths)
        return [outputs for outputs in heard if outputs]

    means, right = [], []
    for track in labelled:
        if track.key is None or track.path is None:
            continue
        for outputs in segments([track.path]):
            means.append(mean_of_segments(outputs, info.segment_temperature))
            right.append(table.index(track.key if track.key in table else track.key.signature))
    temperature = round(fit_temperature(means, right), 4)
    of_keyless = [clarity(outputs, table) for outputs in segments(keyless)]
    of_music = [clarity(outputs, table) for outputs in segments(music)]
    limit = round(fit_limit(of_keyless, of_music), 4) if of_keyless else 0.0
    return FittedConfidence(
        temperature,
        limit,
        len(means),
        float(np.mean(np.less(of_keyless, limit))) if of_keyless else 0.0,
        float(np.mean(np.less(of_music, limit))) if of_music else 0.0,
    )
