"""From a batch to the loss: views, one forward pass over all of them, the loss terms."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stonekey.data.batch import TrainingBatch
from stonekey.keys import ClassLabel, Key
from stonekey.model.class_table import row_table
from stonekey.model.settings import FrontEnd
from stonekey.network.chromanet import mean_across_ranks, probabilities
from stonekey.network.stone import Stone
from stonekey.training.config import LossConfig
from stonekey.training.losses import (
    chroma,
    divergence,
    flat_loss,
    skey_losses,
    stone_losses,
    supervised_losses,
)
from stonekey.training.options import ConfigError
from stonekey.training.views import (
    Crops,
    Views,
    crop,
    lowered,
    make_views,
    supervised_views,
)

Terms = dict[str, Tensor]


class OwnObjective(Protocol):
    """A loss of a user's own: a function, an object to call, or a class of such objects."""

    def __call__(
        self, y_a: Tensor, y_b: Tensor, y_c: Tensor, shift: Tensor, omega: int, /
    ) -> Mapping[str, Tensor]:
        """Scalar terms; ``total`` is what is minimised, the others are logged.

        Args:
            y_a, y_b, y_c: probabilities (batch, outputs) of the three views; in a labelled batch
                y_a is the label.
            shift: int64 (batch,), semitones that C sounds lower than A and B.
            omega: 7 (circle of fifths) or 1 (circle of semitones).
        """
        ...


def natural_table(front_end: FrontEnd, outputs: int) -> tuple[ClassLabel, ...]:
    """The class table that supervised training aims at.

    Output 0 is the signature whose major tonic is the lowest bin's pitch class (A with the
    default front end). With 24 outputs, row 0 is major and row 1 minor, relative keys side by
    side, since the key loss compares the rows' sum.
    """
    lowest = front_end.lowest_pitch_class
    return row_table(outputs, (lowest, (lowest + 9) % 12), ("major", "minor"))


def outputs_of_keys(table: Sequence[ClassLabel]) -> Tensor:
    """(24, outputs): 1 where an output stands for the key of that `Key.index`."""
    place = {label: i for i, label in enumerate(table)}
    keys = (Key.from_index(i) for i in range(24))
    return torch.eye(len(table))[[place[k.signature if len(table) == 12 else k] for k in keys]]


class Objective:
    """The loss of a batch, as configured.

    Args:
        loss: objective and weights.
        omega: 7 (circle of fifths) or 1 (circle of semitones).
        front_end: settings of the model.
        outputs: 12 or 24.
    """

    def __init__(self, loss: LossConfig, omega: int, front_end: FrontEnd, outputs: int) -> None:
        self.loss = loss
        self.omega = omega
        self.front_end = front_end
        self.outputs = outputs
        self._size = front_end.crop_bins, front_end.bins_per_semitone, front_end.harmonic_bins
        self._own: OwnObjective | None = None
        if callable(loss.objective):
            own: Any = loss.objective() if inspect.isclass(loss.objective) else loss.objective
            self._own = own
        self._outputs_of_keys = outputs_of_keys(natural_table(front_end, outputs))

    def views(self, batch: TrainingBatch, crops: Crops) -> Views:
        """The three views of a batch at the crops given."""
        size = self._size
        if batch.labels is None:
            assert batch.b is not None
            return make_views(batch.a, batch.b, crops, *size)
        return supervised_views(batch.a, self.labels(batch), crops, *size)

    def labels(self, batch: TrainingBatch) -> Tensor:
        """The labels of a batch as probabilities of the outputs, (batch, outputs)."""
        assert batch.labels is not None
        return batch.labels @ self._outputs_of_keys.to(batch.labels.device)

    def __call__(
        self,
        network: Callable[[Tensor], Tensor],
        batch: TrainingBatch,
        crops: Crops,
        joined: bool = True,
    ) -> Terms:
        """Loss terms of a batch, scalars; ``total`` is the weighted sum to minimise.

        Args:
            network: cropped log-VQT (batch, 1, bins, frames) -> probabilities.
            batch: a self-supervised or supervised batch.
            crops: one pair for each item.
            joined: take the batch means of all processes together; then every process must
                call at the same time.
        """
        if batch.labels is not None and self.loss.labels == "cross_entropy":
            return self._cross_entropy(network, batch, crops)
        views = self.views(batch, crops)
        weights, half = self.loss.weights, self.loss.half
        if batch.labels is not None:
            y_b, y_c = network(torch.cat([views.b, views.c])).chunk(2)
            known = batch.labels.amax(dim=1) > batch.labels.amin(dim=1)
            return self._supervised(known, views, y_b, y_c)
        y_a, y_b, y_c = network(torch.cat([views.a, views.b, views.c])).chunk(3)
        if self._own is not None:
            return self._own_terms(y_a, y_b, y_c, views.shift)
        if self.loss.objective == "skey":
            step = self.front_end.bins_per_semitone
            energy = (chroma(views.a[:, :1], step) + chroma(views.b[:, :1], step)) / 2
            return skey_losses(
                y_a, y_b, y_c, views.shift, energy, self.omega,
                weights=weights, half=half, across_ranks=mean_across_ranks if joined else None,
            )  # fmt: skip
        return stone_losses(y_a, y_b, y_c, views.shift, self.omega, weights=weights, half=half)

    def _own_terms(self, y_a: Tensor, y_b: Tensor, y_c: Tensor, shift: Tensor) -> Terms:
        assert self._own is not None
        terms = dict(self._own(y_a, y_b, y_c, shift, self.omega))
        if "total" not in terms or any(getattr(t, "ndim", None) != 0 for t in terms.values()):
            raise ConfigError("loss.objective must give a dict of scalar tensors with 'total'")
        return terms

    def _cross_entropy(
        self, network: Callable[[Tensor], Tensor], batch: TrainingBatch, crops: Crops
    ) -> Terms:
        """One view of each segment, cropped at ``crops.second``, against its label."""
        views = crop(batch.a, crops.second, *self._size)
        target = lowered(self.labels(batch), crops.second)
        target = target + self.loss.smoothing * (1 / self.outputs - target)
        total = divergence(target, network(views))
        return {"divergence": total, "total": total}

    def _supervised(self, known: Tensor, views: Views, y_b: Tensor, y_c: Tensor) -> Terms:
        """Terms of a labelled batch; ``known`` (batch,) is false for music without a key."""
        flat = y_b.new_zeros(())
        if not known.all():
            flat = flat_loss(torch.cat([y_b[~known], y_c[~known]]))
        # Without any known one the terms below are multiplied by 0, but must be there.
        used = known if known.any() else ~known
        parts = (views.a[used], y_b[used], y_c[used], views.shift[used])
        share = known.float().mean()  # terms are means over the whole batch
        flat = (1 - share) * flat
        if self._own is not None:
            parts = (parts[0].detach(), *parts[1:])
            terms = {name: share * value for name, value in self._own_terms(*parts).items()}
            total = terms["total"] + self.loss.weights.flat * flat
            return {**terms, "flat": flat, "total": total}
        found = supervised_losses(
            *parts, self.omega, weights=self.loss.weights, half=self.loss.half
        )
        terms = {name: share * value for name, value in found.items()}
        del terms["total"]
        terms["flat"] = flat
        return self.loss.weights.total(terms)


class Probabilities(nn.Module):
    """A model's network and its softmax, as one module for a data-parallel wrapper."""

    def __init__(self, stone: Stone) -> None:
        super().__init__()
        self.chromanet = stone.chromanet
        self._temperature = stone.architecture.temperature

    def forward(self, x: Tensor) -> Tensor:
        """Cropped log-VQT (batch, 1, bins, frames) -> (batch, outputs), float32."""
        return probabilities(self.chromanet(x), self._temperature)


def profile_on_circle(probabilities: Tensor) -> Tensor:
    """Mean key signature profile (12,), in the order of the circle of fifths from output 0."""
    rows = probabilities.detach().float().reshape(len(probabilities), -1, 12).sum(dim=1)
    return rows.mean(dim=0)[torch.arange(12, device=rows.device) * 7 % 12]
