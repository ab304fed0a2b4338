"""Progress bars on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
# A single file shows a bar only when it takes longer.
PATIENCE = 2.0


def _files_bar() -> Progress:
    """A bar over files: count, rate and time left; erased at the end."""
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
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(file=sys.stderr, force_terminal=True),
        redirect_stdout=False,
        transient=True,
    )


@contextmanager
def tracked(items: Sequence[T]) -> Iterator[Iterator[T]]:
    """The items, with a bar that advances as each is done."""
    with _files_bar() as bar:
        yield iter(bar.track(items, description="keys"))


class FilesBar:
    """A bar over files that also moves within a long file.

    Args:
        total: number of files.
        patience: seconds until it appears.

    Attributes:
        completed: files done, with the share of the one at work.
    """

    def __init__(self, total: int, patience: float = 0.0) -> None:
        self._total = total
        self._due = time.monotonic() + patience
        self._done = 0
        self.completed = 0.0
        self._bar: Progress | None = None

    def __enter__(self) -> FilesBar:
        self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def _draw(self) -> None:
        if self._bar is None and time.monotonic() >= self._due:
            self._bar = _files_bar()
            self._bar.add_task("keys", total=self._total)
            self._bar.start()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=self.completed)

    def heard(self, seconds: float, promised: float | None) -> None:
        """Part of a file is done; for `stonekey.KeyEstimator.watch`."""
        if promised:
            self.completed = self._done + min(seconds / promised, 1.0)
        self._draw()

    def advance(self) -> None:
        """A file is done."""
        self._done += 1
        self.completed = self._done
        if self._bar:  # no need to begin now
            self._draw()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Hide the bar in the block, so that others can write to the terminal."""
        if self._bar:
            self._bar.stop()
        yield
        if self._bar and self._done < self._total:
            self._bar.start()


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
