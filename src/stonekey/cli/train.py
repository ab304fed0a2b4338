"""``stonekey train``: train a model on a folder or manifest of music."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stonekey.cli.common import fail, say, told_errors
from stonekey.cli.interrupt import surely_interrupted

if TYPE_CHECKING:
    from stonekey.training.loop import Progress as RunProgress
    from stonekey.training.loop import Report


def train(
    exp_name: Annotated[
        str, typer.Option("--exp-name", "-n", help="Name of the run, also of its folders.")
    ],
    train_type: Annotated[
        str,
        typer.Option("--train-type", "-tt", help="ks (12 signatures) or ks_mode (24 keys)."),
    ] = "ks",
    circle_type: Annotated[
        int, typer.Option("--circle-type", "-c", help="1 (semitones) or 7 (fifths).")
    ] = 7,
    save_dir: Annotated[
        Path, typer.Option("--save-dir", "-s", help="Folder for models, events and the cache.")
    ] = Path("runs"),
    n_epochs: Annotated[int, typer.Option("--n-epochs", "-e", help="Epochs.")] = 100,
    train_steps: Annotated[
        int, typer.Option("--train-steps", "-ts", help="Training steps in an epoch.")
    ] = 512,
    val_steps: Annotated[
        int, typer.Option("--val-steps", "-vs", help="Validation batches after an epoch, at most.")
    ] = 256,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "-lr", help="Learning rate at the start.")
    ] = 1e-3,
    gin_file: Annotated[
        str | None, typer.Option("--gin-file", "-g", help="Configuration, such as config/ks.gin.")
    ] = None,
    binding: Annotated[
        list[str] | None,
        typer.Option("--binding", "-b", help='One more line of gin: "data.batch_size = 32".'),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of music, or manifest (path, key, split).")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Manifest of labelled recordings, to add to the data.")
    ] = None,
    valid: Annotated[
        Path | None,
        typer.Option(help="Folder or manifest to validate on; labelled ones are scored too."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for transformed tracks; default SAVE_DIR/cache.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    devices: Annotated[int, typer.Option(help="Devices (processes) on each machine.")] = 1,
    nodes: Annotated[int, typer.Option(help="Machines; start with torchrun on each.")] = 1,
    precision: Annotated[
        str | None,
        typer.Option(help="32-true, bf16-mixed or 16-mixed; default bf16-mixed on a GPU."),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Run the network through torch.compile.")
    ] = False,
    init: Annotated[
        str | None, typer.Option(help="Model, a checkpoint, whose weights to start from.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[
        bool,
        typer.Option("--resume/--fresh", help="Go on from the run's last checkpoint, or anew."),
    ] = True,
) -> None:
    """Train a model on your own music; no labels are needed.

    Needs the train extra: pip install "stonekey[train]". A run that was stopped goes on when
    the same command is given again. At the end the best model is calibrated and exported:
    stonekey FILE --model SAVE_DIR/models/TRAIN_TYPE/CIRCLE/NAME/best

    Examples:

      stonekey train -n basic -tt ks -g config/ks.gin --data ~/Music

      stonekey train -n semi -tt ks_mode -g config/ks_mode.gin --data tracks.csv

      stonekey train -n quick --data ~/Music -e 20 -ts 100 -b "data.batch_size = 16"
    """
    try:
        from stonekey.data.cache import CacheError
        from stonekey.training.loop import DivergedError
        from stonekey.training.options import Options
        from stonekey.training.run import train as run
    except ImportError as error:
        fail(f'training needs more packages ({error.name}): pip install "stonekey[train]"')
    with told_errors():
        options = Options(
            exp_name=exp_name,
            train_type=train_type,  # type: ignore[arg-type]
            circle_type=circle_type,
            save_dir=save_dir,
            n_epochs=n_epochs,
            train_steps=train_steps,
            val_steps=val_steps,
            learning_rate=learning_rate,
            gin_file=gin_file,
            bindings=tuple(binding or ()),
            data=data,
            labels=labels,
            valid=valid,
            cache=cache,
            device=device,
            devices=devices,
            nodes=nodes,
            precision=precision,
            compile=compile,
            init=init,
            seed=seed,
            resume=resume,
        )
        total = options.n_epochs * options.train_steps
        try:
            with surely_interrupted(_stopped), progress(total) as report:
                run(options, report)
        except (DivergedError, CacheError) as error:
            fail(str(error), 1)
        except KeyboardInterrupt:
            raise typer.Exit(_stopped()) from None


def _stopped() -> int:
    """Say that the run was stopped; returns the exit code."""
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return 0  # The first process speaks; it is killed if this one ends with a failure.
    say("stonekey: stopped; the same command goes on from the last checkpoint")
    return 130


@contextmanager
def progress(total: int) -> Iterator[Report]:
    """A bar with the loss terms and the time left; a line now and then where none can be drawn."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        every = max(1, total // 100)

        def line(progress: RunProgress, values: dict[str, float]) -> None:
            if progress.step % every == 0:
                print(f"step {progress.step}/{total}: {_terms(values)}", file=sys.stderr)

        yield line
        return
    bar = Progress(
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[terms]}"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task: Any = None

        def advance(progress: RunProgress, values: dict[str, float]) -> None:
            nonlocal task
            fields: dict[str, Any] = {"epoch": progress.epoch + 1, "terms": _terms(values)}
            if task is None:  # only now: a resumed run starts in the middle
                task = bar.add_task("", total=total, completed=progress.step - 1, **fields)
            bar.update(task, completed=progress.step, **fields)

        yield advance


def _terms(values: dict[str, float]) -> str:
    shown = ("total", "key", "mode", "balance")
    return " ".join(f"{name} {values[name]:.4f}" for name in shown if name in values)
