"""Checkpoints of a run: what it resumes from, and the models it leaves.

In ``<save-dir>/models/<train type>/<circle>/<name>/``: ``last.pt`` (everything a run needs to go
on, read with ``weights_only=True``), ``best.safetensors``, ``best.onnx`` and
``epoch_<n>.safetensors`` (models for users).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stonekey.files import write_atomically
from stonekey.model.checkpoint import CheckpointError

LAST = "last.pt"
VERSION = 1


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.pt``; when that fails the old one is untouched. OSError on a full disk."""

    def write(temporary: Path) -> None:
        try:
            torch.save({"version": VERSION, **state}, temporary)
        except RuntimeError as error:  # what torch makes of a failed write
            raise OSError(f"{folder / LAST}: cannot be written: {error}") from error

    write_atomically(folder / LAST, write)


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read ``last.pt``; None when there is none.

    Raises:
        CheckpointError: when it is broken or of another version.
    """
    path = folder / LAST
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise CheckpointError(f"{path}: not a training state of this version")
    return state
