"""A loader of the user's own: its share on several processes, its draws, its place on resuming."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from lightning_fabric import Fabric, seed_everything

from stonekey.data.batch import TrainingBatch
from stonekey.data.batch_loader import DataError
from stonekey.text import log
from stonekey.training.config import parameters

SHARE = ("rank", "world_size")
# What a batch that is a dict has for each track.
PARTS = ("audio", "keymode", "items", "a", "b", "label")


def _made(function: Callable[..., Any], fabric: Fabric) -> tuple[Any, bool]:
    """What the function gives, and whether it was told which process's share that is to be."""
    if not set(SHARE) <= set(parameters(function)):
        return function(), False
    return function(rank=fabric.global_rank, world_size=fabric.world_size), True


def validation_loader(function: Callable[..., Any], fabric: Fabric, seed: int) -> Iterator[Any]:
    """This process's batches of ``data.test_loader``: its share, or every so many-th batch."""
    seed_everything(seed, verbose=False)
    loader, shared = _made(function, fabric)
    return iter(loader) if shared else islice(loader, fabric.global_rank, None, fabric.world_size)


class OwnLoader:
    """Batches of ``data.train_loader``, without end and, on several processes, without repeats.

    A function with the parameters ``rank`` and ``world_size`` gives this process's own batches. Any
    other must give the same batches on every process, which then takes its rows of each: together
    the processes see what one would. The generators of torch, NumPy and ``random`` are seeded
    anew for each batch, alike on all processes.

    ``state_dict`` has the loader's own, if it has one; without one it starts over.

    Args:
        function: gives an iterable of batches, see `stonekey.data.batch.training_batch`.
        fabric: launched.
        seed: of the run.
    """

    def __init__(self, function: Callable[..., Any], fabric: Fabric, seed: int) -> None:
        self.function, self.fabric, self.seed = function, fabric, seed
        self._number = 0
        self._seed()
        self.loader, shared = _made(function, fabric)
        self._splits = fabric.world_size > 1 and not shared
        self._batches: Iterator[Any] | None = None
        self._told = False

    def _seed(self) -> None:
        seed_everything((self.seed * 1_000_003 + self._number) % 2**32, verbose=False)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._seed()
        first = self._batches is None
        if self._batches is None:
            self._batches = iter(self.loader)
        try:
            batch = next(self._batches)
        except StopIteration:  # a finite one starts again
            if self._batches is self.loader:  # a generator, which gives nothing more
                self.loader, _ = _made(self.function, self.fabric)
            first, self._batches = True, iter(self.loader)
            try:
                batch = next(self._batches)
            except StopIteration:
                raise DataError(
                    "the training loader gives no more batches: it must be endless, or an "
                    "iterable that can be started again"
                ) from None
        self._number += 1
        return self._rows(batch, first) if self._splits else batch

    def _rows(self, batch: Any, check: bool) -> Any:
        """This process's rows of a batch; where ``check``, see that all have the same batch."""
        if check:
            digest = torch.tensor(_digest(batch), device=self.fabric.device)
            digests = self.fabric.all_gather(digest)
            if digests.unique().numel() > 1:  # type: ignore[union-attr]
                raise DataError(
                    "the training loader gives each process other batches: let its function take "
                    f"{' and '.join(SHARE)} and give each process its share"
                )
        world, size = self.fabric.world_size, len(_audio(batch))
        if size < world:
            raise DataError(f"a batch of {size} cannot be split over {world} processes")
        if size % world and not self._told and self.fabric.is_global_zero:
            self._told = True
            log(f"stonekey: of batches of {size}, {size % world} are left out on {world} processes")
        return _cut(batch, slice(self.fabric.global_rank, size // world * world, world))

    def state_dict(self) -> dict[str, Any]:
        """The number of the next batch, and the loader's own state where it has one.

        Raises:
            DataError: for a state of other things than plain values and tensors.
        """
        state = getattr(self.loader, "state_dict", None)
        own = None if state is None else state()
        stored = io.BytesIO()
        try:
            torch.save(own, stored)
            stored.seek(0)
            torch.load(stored, weights_only=True)
        except Exception as error:  # pickle raises many kinds
            raise DataError(
                "the training loader's state_dict must hold nothing but plain values and tensors: "
                f"{error}"
            ) from error
        return {"number": self._number, "own": own}

    def load_state_dict(self, state: Any) -> None:
        """Go on from a state, the loader's own or ours."""
        if isinstance(state, dict) and state.keys() == {"number", "own"}:
            self._number, state = state["number"], state["own"]
        self._batches = None
        load = getattr(self.loader, "load_state_dict", None)
        if state is not None and load is not None:
            load(state)
        elif self.fabric.is_global_zero:
            log(
                "stonekey: warning: the training loader starts over: it has no state_dict and "
                "load_state_dict"
            )


def _audio(batch: Any) -> Any:
    """The part of a batch that has a row for each track."""
    if isinstance(batch, TrainingBatch):
        return batch.a
    if isinstance(batch, Mapping):
        return batch["a"] if "a" in batch else batch.get("audio", ())
    return batch[0] if isinstance(batch, (tuple, list)) else batch


def _digest(batch: Any) -> int:
    audio = _audio(batch)
    return zlib.crc32(torch.as_tensor(audio).detach().cpu().float().numpy().tobytes())


def _cut(batch: Any, rows: slice) -> Any:
    """These rows of every part of a batch."""
    if isinstance(batch, TrainingBatch):
        parts = (batch.a, batch.b, batch.labels, batch.items)
        return TrainingBatch(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]
    if isinstance(batch, Mapping):
        return {n: _part(value, rows) if n in PARTS else value for n, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(_part(value, rows) for value in batch)
    return _part(batch, rows)


def _part(part: Any, rows: slice) -> Any:
    if isinstance(part, (list, tuple)) and len(part) == 1 and isinstance(part[0], (list, tuple)):
        part = part[0]  # labels within a tuple of one
    return part if part is None or isinstance(part, str) else part[rows]
