"""A whole training run: options in, a usable model out."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from stonekey.model.checkpoint import load_checkpoint
from stonekey.model.class_table import CalibrationError
from stonekey.model.registry import find_model
from stonekey.training.config import ConfigError, load_config
from stonekey.training.initial import initialise
from stonekey.training.logs import Logs
from stonekey.training.loop import Report, Trainer
from stonekey.training.options import DATA_HELP, Options
from stonekey.training.scores import Scorer, finish
from stonekey.training.state import Plan, agreed
from stonekey.training.tracks import (
    PREPARED,
    Converted,
    prepare_data,
    to_score,
    train_loader,
    validation_batches,
)


def train(options: Options, report: Report | None = None) -> Path | None:
    """Run or resume a training.

    Args:
        options: of the command.
        report: called after every step on the first process.

    Returns:
        The exported model, or None when it could not be calibrated.

    Raises:
        ConfigError, DataError, ManifestError, CheckpointError, DivergedError: as they say.
    """
    config = load_config(options.gin_file, options.train_type, options.bindings)
    if options.data is None and config.data.train_loader is None:
        raise ConfigError(DATA_HELP)
    options, config = agreed(options, config)
    fabric = _fabric(options)
    # Before the processes form a group, which would give up on one that takes hours.
    data = None if options.data is None else prepare_data(options, config)
    os.environ[PREPARED] = "1"
    try:
        fabric.launch()
    finally:
        del os.environ[PREPARED]
    first = fabric.is_global_zero
    labelled, examples = ([], []) if data is None or not first else to_score(options, config, data)
    fabric.print(config.text)
    batches = Converted(train_loader(config, options, data, fabric), fabric, config)
    plan = Plan(
        options.exp_name,
        options.circle_type,
        options.n_epochs,
        options.train_steps,
        options.val_steps,
        options.learning_rate,
        options.seed,
        options.models,
        keep_epochs=max(1, options.n_epochs // 10),
    )
    supervised = config.data.dataset_type_train != "selfsupervised"
    trainer = Trainer(
        fabric,
        config,
        plan,
        batches,
        lambda: validation_batches(config, data, fabric, options.seed),
        # The estimator that scores knows ChromaNet alone.
        Scorer(labelled, supervised) if labelled and config.network is None else None,
        compiled=options.compile,
    )
    if options.init is not None:
        path = find_model(options.init)
        if path.suffix == ".onnx":  # the weights lie beside it
            path = path.with_suffix(".safetensors")
        initialise(trainer.stone.chromanet, load_checkpoint(path))
        trainer.kept.chromanet.load_state_dict(trainer.stone.chromanet.state_dict())
    if options.resume:
        if _resumed(trainer, options):
            fabric.print(f"resumed at epoch {trainer.progress.epoch}, step {trainer.progress.step}")
    elif (plan.folder / "last.pt").exists() and first:
        (plan.folder / "last.pt").unlink()
    fabric.barrier()
    folder = options.save_dir / "tensorboard" / options.place
    logs = trainer.logs = Logs(folder if first else None, trainer.progress.step + 1)
    logs.text("config", config.text)
    logs.audio(examples, config.front_end.sample_rate)
    try:
        trainer.fit(report if first else None)
    finally:
        logs.close()
        close = getattr(batches.loader, "close", None)
        if close is not None:
            close()
    if not first:
        return None
    try:
        path = finish(plan.folder, supervised, config.network)
    except CalibrationError as error:
        fabric.print(f"not calibrated: {error}. {plan.folder / 'best.safetensors'} has no names")
        return None
    how = "stonekey FILE --model " if config.network is None else ""
    fabric.print(f"done: {how}{path if config.network else plan.folder / 'best'}")
    return path


def _resumed(trainer: Trainer, options: Options) -> bool:
    try:
        return trainer.resume()
    except ValueError as error:  # of the loader, whose place comes last
        if options.resume_with != "new":
            raise ConfigError(
                f"{error}. --resume-with new goes on from the data's start, --fresh starts again"
            ) from error
        trainer.fabric.print(f"the data start over: {error}")
        return True


def _fabric(options: Options) -> Fabric:
    many = options.devices * options.nodes > 1
    accelerator = options.device.split(":")[0]
    precision: Any = options.precision
    if precision is None:
        import torch

        gpu = accelerator in ("cuda", "gpu") or (
            accelerator == "auto" and torch.cuda.is_available()
        )
        precision = "bf16-mixed" if gpu else "32-true"
    devices: Any = options.devices
    if ":" in options.device:
        devices = [int(options.device.split(":")[1])]
    strategy: Any = _data_parallel() if many else "auto"
    try:
        return Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=options.nodes,
            precision=precision,
            strategy=strategy,
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"--device {options.device}, --precision {precision}: {error}") from error


def _data_parallel() -> DDPStrategy:
    """Without sending buffers around.

    They are equal on all processes already (`RowBatchNorm`), and validation may give these unequal
    numbers of batches.
    """
    names = inspect.signature(DistributedDataParallel).parameters
    # The newer name; the older one gives a warning on every process where both exist.
    name = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    options: dict[str, Any] = {name: False}
    return DDPStrategy(**options)
