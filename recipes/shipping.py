"""From a trained model to one that ships: confidence, name and licence, files in the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stonekey.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stonekey.confidence import fit_limit, fit_temperature, tempered
from stonekey.data.manifest import Track
from stonekey.estimator import KeyEstimator
from stonekey.export import export_onnx

PACKAGE = Path(__file__).resolve().parents[1] / "stonekey" / "models"


def segment_outputs(model: Path, paths: Sequence[Path]) -> list[np.ndarray]:
    """Probabilities (segments, classes) of each recording, silent segments left out."""
    estimator = KeyEstimator(model, min_confidence=0)
    return [
        np.stack([s.probabilities for s in estimator(path).segments if s.counted]) for path in paths
    ]


def with_confidence(
    model: Path, labelled: Sequence[Track], keyless: Sequence[Path], music: Sequence[Path]
) -> Checkpoint:
    """The model with temperature and limit of "no key" found on recordings held out.

    Args:
        model: checkpoint with a class table.
        labelled: pieces of known key, for the temperature; none leaves it as it is.
        keyless: sounds without a key, for the limit.
        music: recordings, labelled or not, few of which may fall below the limit.
    """
    checkpoint = load_checkpoint(model)
    info = checkpoint.info
    assert info.class_table is not None
    assert info.architecture is not None
    known = [t for t in labelled if t.key is not None and t.path is not None]
    outputs = segment_outputs(model, [t.path for t in known if t.path is not None])
    labels = [info.class_table.index(t.key) for t in known if t.key is not None]
    temperature = fit_temperature(outputs, labels) if known else 1.0

    def sure(paths: Sequence[Path]) -> list[float]:
        return [
            float(tempered(p, temperature).mean(axis=0).max())
            for p in segment_outputs(model, paths)
        ]

    of_keyless, of_music = sure(keyless), sure(music)
    limit = fit_limit(of_keyless, of_music) if keyless else 0.0
    print(
        f"temperature {temperature:.3f} on {len(known)} pieces; limit {limit:.3f}: below it "
        f"{np.mean(np.less(of_keyless, limit)):.1%} of {len(keyless)} sounds without a key and "
        f"{np.mean(np.less(of_music, limit)):.1%} of {len(music)} recordings"
    )
    architecture = replace(
        info.architecture, temperature=round(info.architecture.temperature * temperature, 4)
    )
    return replace(
        checkpoint, info=replace(info, architecture=architecture, min_confidence=round(limit, 4))
    )


def ship(checkpoint: Checkpoint, name: str, training: dict, folder: Path = PACKAGE) -> Path:
    """Write NAME.safetensors and NAME.onnx; returns the latter."""
    info = replace(
        checkpoint.info, name=name, licence="MIT", training={**checkpoint.info.training, **training}
    )
    path = folder / f"{name}.safetensors"
    save_checkpoint(replace(checkpoint, info=info), path)
    return export_onnx(path, folder / f"{name}.onnx", force=True)
