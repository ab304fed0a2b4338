"""Write a model as one ONNX file: waveform in, class probabilities out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from stonekey.files import write_atomically
from stonekey.model.checkpoint import load_checkpoint
from stonekey.model.registry import EMBEDDED, find_model
from stonekey.model.runtime import onnx_runtime


def export_onnx(
    model: str | os.PathLike[str], output: str | os.PathLike[str], force: bool = False
) -> Path:
    """Write a model, including its front end, as an ONNX file for any runtime.

    The input ``waveform`` (batch, samples) is mono float32 at the model's sample rate, ideally
    with each track scaled to a peak of 1; the output ``probabilities`` is (batch, outputs).
    The metadata are those of docs/apps.md.

    Args:
        model: name or path.
        output: file to write.
        force: replace an existing file.

    Returns:
        The path written.

    Raises:
        CheckpointError: the model is not found or cannot be read.
        FileExistsError: the file exists and ``force`` is not set.
    """
    return write_onnx(lambda: onnx_bytes(find_model(model)), output, force)


def write_onnx(
    make: Callable[[], bytes], output: str | os.PathLike[str], force: bool = False
) -> Path:
    """Write a graph that is made once it is known that it may be; see `export_onnx`."""
    path = Path(output)
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists")
    data = make()
    # Fail here rather than in the app that loads the file.
    onnx_runtime().InferenceSession(data, providers=["CPUExecutionProvider"])
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
    return path


def onnx_bytes(path: Path) -> bytes:
    """A model file's contents as a serialised ONNX model.

    Raises:
        CheckpointError: when it is no checkpoint that can be used.
        ValueError, OSError, or what onnx raises: when it is no graph of this package.
    """
    if path.suffix == ".onnx":
        data = path.read_bytes()
        if path not in [model.path for model in EMBEDDED]:  # checking takes time
            from stonekey.graph.check import check_graph

            check_graph(data)
        return data
    from stonekey.graph.model import checkpoint_to_onnx

    return bytes(checkpoint_to_onnx(load_checkpoint(path)).SerializeToString())
