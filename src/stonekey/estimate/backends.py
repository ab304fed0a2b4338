"""Run a model on a batch of segments: ONNX Runtime (the core install) or torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stonekey.estimate.settings import BACKENDS
from stonekey.files import core_count
from stonekey.model.checkpoint import CheckpointError, ModelInfo, load_checkpoint
from stonekey.model.registry import find_model
from stonekey.options import one_of

if TYPE_CHECKING:
    from concurrent.futures import Executor


class Backend(Protocol):
    """What an estimator needs of a model."""

    info: ModelInfo

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Waveforms (batch, samples) float32, or a list -> probabilities (batch, outputs)."""
        ...


class OnnxBackend:
    """A model on ONNX Runtime, from an ONNX file or built from a checkpoint.

    Segments are run one by one, each on one thread: its arrays stay in the core's cache, several
    threads share a batch without waiting for each other, and an answer depends neither on their
    number nor on how segments are batched. `run` may be called from several threads.

    Args:
        path: model file.
        threads: threads for one batch; None for one per core.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # Arenas hold on to their largest size; a tagger's memory must not grow with its tracks.
        options.enable_cpu_mem_arena = False
        model: bytes | str = str(path)
        if path.suffix != ".onnx":
            from stonekey.graph.export import onnx_bytes

            model = onnx_bytes(path)
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
            self.info = ModelInfo.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # its errors share no base class but Exception
            message = f"{path}: cannot be read as an ONNX model of ours: {error}"
            raise CheckpointError(message) from error
        self._threads = threads or core_count()
        self._pool: Executor | None = None

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """See `Backend.run`."""
        ones = [segment[None] for segment in segments]
        if self._threads == 1 or len(ones) == 1:
            return np.concatenate([self._run_one(one) for one in ones])
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, "stonekey")
        return np.concatenate(list(self._pool.map(self._run_one, ones)))

    def _run_one(self, segment: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run(None, {"waveform": segment})[0])


class TorchBackend:
    """A model as a torch module.

    Args:
        path: model file, a checkpoint.
        device: torch device.
        threads: threads for the whole process on the CPU; None leaves torch's setting.
    """

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None) -> None:
        try:
            import torch
        except ImportError as error:
            raise CheckpointError('this needs torch: pip install "stonekey[torch]"') from error
        from stonekey.network.stone import Stone

        if path.suffix == ".onnx":
            checkpoint = path.with_suffix(".safetensors")
            if not checkpoint.is_file():
                raise CheckpointError(f"{path}: an ONNX file runs on ONNX Runtime only, not torch")
            path = checkpoint
        if threads is not None:
            torch.set_num_threads(threads)
        loaded = load_checkpoint(path)
        self.info = loaded.info
        try:
            self._stone = Stone.from_checkpoint(loaded).to(device)
        except (RuntimeError, AssertionError) as error:
            raise CheckpointError(f"{path}: cannot run on {device!r}: {error}") from error
        self._device = device

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """See `Backend.run`."""
        import torch

        with torch.inference_mode():
            probabilities = self._stone(torch.from_numpy(np.asarray(segments)).to(self._device))
        return np.asarray(probabilities.cpu().numpy())


def load_backend(
    model: str | os.PathLike[str],
    device: str = "cpu",
    backend: str = "auto",
    threads: int | None = None,
) -> Backend:
    """Load a model by name or path.

    ``auto`` takes ONNX Runtime on the CPU and torch on any other device.

    Raises:
        CheckpointError: when the model is not found or cannot run as asked.
    """
    one_of("backend", backend, BACKENDS)
    path = find_model(model)
    if backend == "torch" or (backend == "auto" and device != "cpu"):
        return TorchBackend(path, device, threads)
    if device != "cpu":
        raise CheckpointError(f"ONNX Runtime runs on the CPU here; device {device!r} needs torch")
    return OnnxBackend(path, threads)
