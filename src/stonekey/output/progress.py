"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def tracked(items: Sequence[T]) -> Iterator[Iterator[T]]:
    """The items, with a bar that advances as each is done: count, rate and time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("-- files/s" if not speed else f"{speed:.3g} files/s")

    # Standard output carries the results, so the bar must not redirect it.
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(file=sys.stderr, force_terminal=True),
        redirect_stdout=False,
    )
    with bar:
        yield iter(bar.track(items, description="keys"))


@contextmanager
def counted(description: str) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that draws a bar; off a terminal it prints up to 20 lines."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr)
    if not console.is_terminal:

        def line(done: int, total: int) -> None:
            if done == total or done % max(1, total // 20) == 0:
                print(f"{description}: {done}/{total}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
