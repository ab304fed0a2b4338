"""How far a training is, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stonekey.training.loop import Progress as RunProgress
from stonekey.training.loop import Report


@contextmanager
def progress(total: int) -> Iterator[Report]:
    """A bar with the loss terms and the time left; off a terminal, up to 100 lines."""
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
            if task is None:  # not earlier: a resumed run starts in the middle
                task = bar.add_task("", total=total, completed=progress.step - 1, **fields)
            bar.update(task, completed=progress.step, **fields)

        yield advance


def _terms(values: dict[str, float]) -> str:
    shown = ("total", "key", "mode", "balance")
    return " ".join(f"{name} {values[name]:.4f}" for name in shown if name in values)
