"""From a trained model to one that ships: confidence, name and licence, files in the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stonekey.data.manifest import Track
from stonekey.evaluation.fitting import fit_confidence
from stonekey.graph.export import export_onnx
from stonekey.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "stonekey" / "model" / "weights"


def with_confidence(
    model: Path,
    labelled: Sequence[Sequence[Track]],
    keyless: Sequence[Path],
    music: Sequence[Path],
) -> Checkpoint:
    """The model with its confidence fitted; arguments as of `fit_confidence`.

    But for ``labelled``, which is music of several kinds: the temperature is the geometric mean of
    those that fit each kind.
    """
    first, *others = (
        fit_confidence(model, tracks, keyless if i == 0 else [], music if i == 0 else [])
        for i, tracks in enumerate(labelled)
    )
    temperatures = [first.temperature, *(fitted.temperature for fitted in others)]
    fitted = replace(first, temperature=round(float(np.exp(np.log(temperatures).mean())), 4))
    pieces = ", ".join(str(one.labelled) for one in (first, *others))
    print(
        f"temperature {fitted.temperature} from {temperatures} of {pieces} pieces; limit "
        f"{fitted.limit}: below it {fitted.keyless_refused:.1%} of {len(keyless)} sounds without a "
        f"key and {fitted.music_refused:.1%} of {len(music)} recordings"
    )
    return fitted.applied_to(load_checkpoint(model))


def ship(checkpoint: Checkpoint, name: str, training: dict, folder: Path = PACKAGE) -> Path:
    """Write NAME.safetensors and NAME.onnx; returns the latter."""
    info = replace(
        checkpoint.info, name=name, licence="MIT", training={**checkpoint.info.training, **training}
    )
    path = folder / f"{name}.safetensors"
    save_checkpoint(replace(checkpoint, info=info), path)
    return export_onnx(path, folder / f"{name}.onnx", force=True)
