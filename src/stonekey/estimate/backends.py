"""Run a model on a batch of segments, with ONNX Runtime (the core install) or torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stonekey.estimate.settings import BACKENDS
from stonekey.files import core_count
from stonekey.model.checkpoint import CheckpointError, load_checkpoint
from stonekey.model.info import ModelInfo
from stonekey.model.registry import find_model
from stonekey.model.runtime import onnx_runtime
from stonekey.options import one_of
from stonekey.text import one_line, to_install

if TYPE_CHECKING:
    from concurrent.futures import Executor


class Backend(Protocol):
    """A model that an estimator can run."""

    info: ModelInfo

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Waveforms, float32 (batch, samples) or a list -> probabilities (batch, outputs)."""
        ...


class OnnxBackend:
    """A model on ONNX Runtime, from an ONNX file or built from a checkpoint.

    Each segment runs alone on one thread. Its arrays stay in the core's cache, threads share a
    batch without waiting for each other, and the answer depends neither on the number of
    threads nor on the batching. Several threads may call `run` at once.

    Args:
        path: model file.
        threads: threads for one batch; None for one per core.

    Raises:
        CheckpointError: the file cannot be read, or is not a stonekey model.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        onnxruntime = onnx_runtime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # An arena never shrinks; a long-running program's memory must not grow with its tracks.
        options.enable_cpu_mem_arena = False
        from stonekey.graph.export import onnx_bytes

        try:
            self._session = onnxruntime.InferenceSession(
                onnx_bytes(path), options, providers=["CPUExecutionProvider"]
            )
            self.info = ModelInfo.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        except CheckpointError:
            raise
        except Exception as error:  # ONNX Runtime's errors share no narrower base class
            why = one_line(str(error)) or type(error).__name__
            message = f"{path}: not a readable stonekey ONNX model: {why}"
            raise CheckpointError(message) from error
        self._path = path
        self._arguments = (path.absolute(), threads)
        self._threads = threads or core_count()
        self._pool: Executor | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxBackend, self._arguments

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """See `Backend.run`."""
        batches = [segment[None] for segment in segments]
        if self._threads == 1 or len(batches) == 1:
            return np.concatenate(list(map(self._run_one, batches)))
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, "stonekey")
        return np.concatenate(list(self._pool.map(self._run_one, batches)))

    def _run_one(self, segment: np.ndarray) -> np.ndarray:
        try:
            outputs = np.asarray(self._session.run(None, {"waveform": segment})[0])
        except Exception as error:  # as above
            raise CheckpointError(f"{self._path}: cannot be run: {one_line(str(error))}") from error
        return _checked(outputs, self._path)


def _checked(outputs: np.ndarray, path: Path) -> np.ndarray:
    """Probabilities as they are; weights of nonsense give others, or NaN."""
    sums = outputs.sum(axis=-1)
    if not ((outputs >= 0).all() and (abs(sums - 1) < 1e-3).all()):
        raise CheckpointError(f"{path}: its network does not give probabilities")
    return outputs


class TorchBackend:
    """A model as a torch module.

    Args:
        path: checkpoint; for an ONNX file, the checkpoint beside it.
        device: torch device.
        threads: CPU threads of the whole process; None keeps torch's setting.

    Raises:
        CheckpointError: torch is missing, or the model cannot be read or run on ``device``.
    """

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None) -> None:
        try:
            import torch
        except ImportError as error:
            raise CheckpointError(f"this needs torch: {to_install('torch')}") from error
        from stonekey.network.stone import Stone

        if path.suffix == ".onnx":
            checkpoint = path.with_suffix(".safetensors")
            if not checkpoint.is_file():
                raise CheckpointError(f"{path}: an ONNX file runs only on ONNX Runtime, not torch")
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
        self._path = path
        self._arguments = (path.absolute(), device, threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return TorchBackend, self._arguments

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """See `Backend.run`."""
        import torch

        with torch.inference_mode():
            probabilities = self._stone(torch.from_numpy(np.asarray(segments)).to(self._device))
        return _checked(np.asarray(probabilities.cpu().numpy()), self._path)


def load_backend(
    model: str | os.PathLike[str],
    device: str = "cpu",
    backend: str = "auto",
    threads: int | None = None,
) -> Backend:
    """Load a model by name or path.

    ``auto`` chooses ONNX Runtime on the CPU and torch on any other device.

    Raises:
        CheckpointError: the model is not found, or cannot run with these settings.
        ValueError: for an unknown backend.
    """
    one_of("backend", backend, BACKENDS)
    path = find_model(model)
    if backend == "torch" or (backend == "auto" and device != "cpu"):
        return TorchBackend(path, device, threads)
    if device != "cpu":
        raise CheckpointError(f"the onnx backend runs only on the CPU; {device!r} needs torch")
    return OnnxBackend(path, threads)
