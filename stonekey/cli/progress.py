"""Progress bar on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def tracked(items: Sequence[T]) -> Iterator[Iterator[T]]:
    """The items with a bar that moves on as each is done: count, rate and time left."""
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

    # Standard output may be a pipe or carry results of its own: only standard error is taken.
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
