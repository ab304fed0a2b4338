"""Calibrate, score and finish a model through the same estimator that users call."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from stonekey.data.manifest import Track
from stonekey.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stonekey.model.class_table import Calibration, CalibrationError, calibrate, hear_cadences
from stonekey.network.stone import Stone
from stonekey.training.objective import natural_table

Network = Callable[..., torch.nn.Module]


def calibrated(
    checkpoint: Checkpoint, supervised: bool, network: Network | None = None
) -> Checkpoint:
    """The model with its outputs labelled, from cadences synthesised in all 24 keys.

    Args:
        checkpoint: as trained.
        supervised: whether labels fixed the outputs in training; then they need no calibration.
        network: class of the network, if not ChromaNet.

    Raises:
        CalibrationError: when the model's answers fit no class table.
    """
    info = checkpoint.info
    assert info.architecture is not None
    if supervised:
        table = natural_table(info.front_end, info.architecture.outputs)
        return checkpoint.with_class_table(table)
    return checkpoint.with_class_table(calibration_of(checkpoint, network).class_table)


def calibration_of(checkpoint: Checkpoint, network: Network | None = None) -> Calibration:
    """What the model answers to cadences synthesised in all 24 keys.

    Raises:
        CalibrationError: when the answers fit no class table.
    """
    front_end, stone = checkpoint.info.front_end, Stone.from_checkpoint(checkpoint, network)

    def predict(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(stone(torch.from_numpy(audio)).numpy())

    return calibrate(hear_cadences(predict, front_end.sample_rate, front_end.segment_seconds))


class Scorer:
    """Scores models on labelled recordings; called by the training loop.

    Args:
        tracks: recordings; unlabelled ones are skipped.
        supervised: see `calibrated`.
        limit: take only so many recordings.
    """

    def __init__(self, tracks: Sequence[Track], supervised: bool, limit: int = 200) -> None:
        self.tracks = [track for track in tracks if track.key is not None][:limit]
        self.supervised = supervised

    def __call__(self, checkpoint: Checkpoint) -> dict[str, float]:
        """KSEA and, of a 24-key model, the MIREX score, 0 to 1; nothing while uncalibrated."""
        from stonekey.audio import AudioError
        from stonekey.estimate.estimator import KeyEstimator
        from stonekey.evaluation import score_keys, score_signatures

        if not self.tracks:
            return {}
        try:
            labelled = calibrated(checkpoint, self.supervised)
        except CalibrationError:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save_checkpoint(labelled, path)
            estimator = KeyEstimator(path)
        references, answers = [], []
        for track in self.tracks:
            assert track.path is not None
            assert track.key is not None
            try:
                estimate = estimator(track.path)
            except AudioError:
                continue
            references.append(track.key)
            answers.append(estimate)
        if not references:
            return {}
        signatures = [track.signature for track in references]
        ksea = score_signatures(signatures, [a.signature for a in answers])
        scores = {"ksea": ksea.ksea.value}
        if labelled.info.architecture is not None and labelled.info.architecture.outputs == 24:
            keys = score_keys(references, [a.key for a in answers])
            scores["mirex"] = keys.mirex.value
        return scores


def finish(folder: Path, supervised: bool, network: Network | None = None) -> Path:
    """Calibrate the best model of a run and export it, so that it can be used at once.

    Where the best by validation loss answers no table of keys, the best of the epochs kept that
    does takes its place: calibration hears synthesised cadences and needs no label.

    Returns:
        ``best.onnx``; for a network that is not ChromaNet, ``best.safetensors``.

    Raises:
        CalibrationError: when none can be calibrated; ``best.safetensors`` stays as it is.
    """
    from stonekey.graph.export import export_onnx

    path = folder / "best.safetensors"
    refused: CalibrationError | None = None
    own = network is not None
    for checkpoint in _candidates(folder, path, own):
        try:
            save_checkpoint(calibrated(checkpoint, supervised, network), path)
        except CalibrationError as error:
            refused = refused or error
            continue
        return path if own else export_onnx(path, folder / "best.onnx", force=True)
    assert refused is not None
    raise refused


def _candidates(folder: Path, best: Path, own: bool) -> Iterator[Checkpoint]:
    """The best model and, read only if it will not do, the epochs kept, the best first."""
    yield load_checkpoint(best, own)
    kept = [load_checkpoint(epoch, own) for epoch in folder.glob("epoch_*.safetensors")]
    kept.sort(key=lambda checkpoint: checkpoint.info.training["validation"].get("total", np.inf))
    yield from kept
