"""Checkpoints of a run: what it resumes from, and the models it leaves.

In ``<save-dir>/models/<train type>/<circle>/<name>/``: ``last.pt`` (everything a run needs to go
on, read with ``weights_only=True``), ``best.safetensors``, ``best.onnx`` and
``epoch_<n>.safetensors`` (models for users).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stonekey.files import write_atomically
from stonekey.model.checkpoint import CheckpointError
from stonekey.training.config import Config, bindings_of, load_config
from stonekey.training.options import ConfigError, Options

LAST = "last.pt"
VERSION = 1
# Options that a resumed run keeps, beside its configuration.
KEPT = ("learning_rate", "train_steps", "seed")


@dataclass(frozen=True)
class Plan:
    """How long to train and what to write."""

    name: str
    omega: int
    epochs: int
    train_steps: int
    val_steps: int
    learning_rate: float
    seed: int
    folder: Path
    keep_epochs: int = 10


def settings_of(plan: Plan | Options, config: Config, processes: int) -> dict[str, Any]:
    """What a run must keep when it is resumed; plain values."""
    kept = {name: getattr(plan, name) for name in KEPT}
    return {**kept, "processes": processes, "config": config.text}


def differences(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for each setting that is another one now; see `settings_of`."""
    old, new = ({**s, **bindings_of(s["config"])} for s in (saved, now))
    return [
        f"{name}: {old.get(name, 'not set')} in the run, {new.get(name, 'not set')} now"
        for name in {**old, **new}
        if name != "config" and old.get(name) != new.get(name)
    ]


def agreed(options: Options, config: Config) -> tuple[Options, Config]:
    """Options and configuration for a run that may be resumed, as ``resume_with`` decides.

    Raises:
        ConfigError: naming every setting that differs from the saved run's, where nothing was
            decided.
        CheckpointError: as `load_state`.
    """
    state = load_state(options.models) if options.resume else None
    saved = (state or {}).get("settings")
    if saved is None or options.resume_with == "new":
        return options, config
    processes = options.devices * options.nodes
    if options.resume_with == "saved":
        options = replace(options, **{name: saved[name] for name in KEPT})
        config = load_config(None, options.train_type, saved["config"].splitlines())
    if found := differences(saved, settings_of(options, config, processes)):
        raise ConfigError(
            f"{options.models / LAST} is of a run with other settings:\n  "
            + "\n  ".join(found)
            + "\nGo on with --resume-with new or --resume-with saved, or start anew with --fresh"
        )
    return options, config


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
