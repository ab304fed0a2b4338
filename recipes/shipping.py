"""From a trained model to one that ships: confidence, name and licence, files in the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stonekey.data.manifest import Track
from stonekey.estimate.estimator import KeyEstimator
from stonekey.graph.export import export_onnx
from stonekey.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stonekey.model.confidence import clarity, fit_limit, fit_temperature, mean_of_segments

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "stonekey" / "model" / "weights"


def segments(model: Path, paths: Sequence[Path]) -> list[np.ndarray]:
    """Probabilities (segments, classes) of each recording, silent segments left out."""
    estimator = KeyEstimator(model, min_clarity=0)
    return [
        np.stack([s.probabilities for s in estimator(path).segments if s.counted]) for path in paths
    ]


def with_confidence(
    model: Path, labelled: Sequence[Track], keyless: Sequence[Path], music: Sequence[Path]
) -> Checkpoint:
    """The model with temperature and limit of "no key" found on recordings held out.

    Args:
        model: checkpoint with a class table and no temperature yet.
        labelled: pieces of known key, for the temperature.
        keyless: sounds without a key, for the limit.
        music: recordings, labelled or not, few of which may fall below the limit.
    """
    checkpoint = load_checkpoint(model)
    table = checkpoint.info.class_table
    assert table is not None
    known = [(t.key, t.path) for t in labelled if t.key is not None and t.path is not None]
    heard = segments(model, [path for _, path in known])
    means = [mean_of_segments(list(p), checkpoint.info.softness) for p in heard]
    right = [table.index(key if key in table else key.signature) for key, _ in known]
    temperature = round(fit_temperature(means, right), 4)

    of_keyless = [clarity(list(p), table) for p in segments(model, keyless)]
    of_music = [clarity(list(p), table) for p in segments(model, music)]
    limit = round(fit_limit(of_keyless, of_music), 4)
    print(
        f"temperature {temperature} from {len(known)} pieces; limit {limit}: below it "
        f"{np.mean(np.less(of_keyless, limit)):.1%} of {len(keyless)} sounds without a key and "
        f"{np.mean(np.less(of_music, limit)):.1%} of {len(music)} recordings"
    )
    info = replace(checkpoint.info, temperature=temperature, min_clarity=limit)
    return replace(checkpoint, info=info)


def ship(checkpoint: Checkpoint, name: str, training: dict, folder: Path = PACKAGE) -> Path:
    """Write NAME.safetensors and NAME.onnx; returns the latter."""
    info = replace(
        checkpoint.info, name=name, licence="MIT", training={**checkpoint.info.training, **training}
    )
    path = folder / f"{name}.safetensors"
    save_checkpoint(replace(checkpoint, info=info), path)
    return export_onnx(path, folder / f"{name}.onnx", force=True)
