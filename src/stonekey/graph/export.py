"""Write a model as one ONNX file: waveform in, class probabilities out."""

from __future__ import annotations

import os
from pathlib import Path

from stonekey.estimate.backends import OnnxBackend, onnx_bytes
from stonekey.model.checkpoint import write_atomically
from stonekey.model.registry import find_model


def export_onnx(
    model: str | os.PathLike[str], output: str | os.PathLike[str], force: bool = False
) -> Path:
    """Write a model, front end included, as an ONNX file that any runtime can run.

    Input ``waveform`` (batch, samples) float32 at the model's sample rate, mono, best scaled
    to a peak of 1 for each track; output ``probabilities`` (batch, outputs). Sample rate,
    segment length and class table are in the file's metadata as JSON.

    Args:
        model: name or path.
        output: file to write.
        force: replace an existing file.

    Returns:
        The path written.

    Raises:
        CheckpointError: when the model cannot be had.
        FileExistsError: when the file is there and ``force`` is not set.
    """
    path = Path(output)
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists")
    source = find_model(model)
    OnnxBackend(source)  # a file that does not load is worth an error now, not in an app
    data = onnx_bytes(source)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
    return path
