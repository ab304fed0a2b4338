"""Run a model on a batch of segments: ONNX Runtime (the core install) or torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from stonekey.model.checkpoint import CheckpointError, ModelInfo, load_checkpoint
from stonekey.model.registry import EMBEDDED, find_model
from stonekey.text import one_line

if TYPE_CHECKING:
    from concurrent.futures import Executor

BackendName = Literal["auto", "onnx", "torch"]


class Backend(Protocol):
    """What an estimator needs of a model."""

    info: ModelInfo

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Waveforms (batch, samples) float32, or a list -> probabilities (batch, outputs)."""
        ...


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
        try:
            self._session = onnxruntime.InferenceSession(
                onnx_bytes(path), options, providers=["CPUExecutionProvider"]
            )
            self.info = ModelInfo.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        except CheckpointError:
            raise
        except Exception as error:  # its errors share no base class but Exception
            why = one_line(str(error)) or type(error).__name__
            message = f"{path}: cannot be read as an ONNX model of ours: {why}"
            raise CheckpointError(message) from error
        self._path = path
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


def onnx_bytes(path: Path) -> bytes:
    """A model file's contents as a serialised ONNX model.

    Raises:
        CheckpointError: when it is no checkpoint that can be used.
        ValueError, OSError, or what onnx raises: when it is no graph of ours.
    """
    if path.suffix == ".onnx":
        data = path.read_bytes()
        if path not in [model.path for model in EMBEDDED]:  # checking takes time
            from stonekey.graph.check import check_graph

            check_graph(data)
        return data
    from stonekey.graph.model import checkpoint_to_onnx

    return bytes(checkpoint_to_onnx(load_checkpoint(path)).SerializeToString())


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
            self._stone = loaded.to_stone().to(device)
        except (RuntimeError, AssertionError) as error:
            raise CheckpointError(f"{path}: cannot run on {device!r}: {error}") from error
        self._device = device
        self._path = path

    def run(self, segments: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """See `Backend.run`."""
        import torch

        with torch.inference_mode():
            probabilities = self._stone(torch.from_numpy(np.asarray(segments)).to(self._device))
        return _checked(np.asarray(probabilities.cpu().numpy()), self._path)


def load_backend(
    model: str | os.PathLike[str],
    device: str = "cpu",
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Backend:
    """Load a model by name or path.

    ``auto`` takes ONNX Runtime on the CPU and torch on any other device.

    Raises:
        CheckpointError: when the model is not found or cannot run as asked.
    """
    if backend not in ("auto", "onnx", "torch"):
        raise ValueError(f"backend must be auto, onnx or torch, got {backend!r}")
    path = find_model(model)
    if backend == "torch" or (backend == "auto" and device != "cpu"):
        return TorchBackend(path, device, threads)
    if device != "cpu":
        raise CheckpointError(f"ONNX Runtime runs on the CPU here; device {device!r} needs torch")
    return OnnxBackend(path, threads)
