"""From a batch to the loss: views, one forward pass over all of them, the loss terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stonekey.data.batch import TrainingBatch
from stonekey.keys import ClassLabel, Key
from stonekey.model.class_table import row_table
from stonekey.model.settings import FrontEnd
from stonekey.network.chromanet import ChromaNet, mean_across_ranks
from stonekey.training.config import LossConfig
from stonekey.training.losses import (
    chroma,
    divergence,
    flat_loss,
    skey_losses,
    stone_losses,
    supervised_losses,
)
from stonekey.training.views import (
    Crops,
    Views,
    crop,
    lowered,
    make_views,
    supervised_views,
)

Terms = dict[str, Tensor]


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
        self._outputs_of_keys = outputs_of_keys(natural_table(front_end, outputs))

    def views(self, batch: TrainingBatch, crops: Crops) -> Views:
        """The three views of a batch at the crops given."""
        bins = self.front_end.crop_bins
        if batch.labels is None:
            assert batch.b is not None
            return make_views(batch.a, batch.b, crops, bins)
        return supervised_views(batch.a, self.labels(batch), crops, bins)

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
        if self.loss.objective == "skey":
            energy = (chroma(views.a) + chroma(views.b)) / 2
            return skey_losses(
                y_a, y_b, y_c, views.shift, energy, self.omega,
                weights=weights, half=half, across_ranks=mean_across_ranks if joined else None,
            )  # fmt: skip
        return stone_losses(y_a, y_b, y_c, views.shift, self.omega, weights=weights, half=half)

    def _cross_entropy(
        self, network: Callable[[Tensor], Tensor], batch: TrainingBatch, crops: Crops
    ) -> Terms:
        """One view of each segment, cropped at ``crops.second``, against its label."""
        views = crop(batch.a, crops.second, self.front_end.crop_bins)
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
        terms = supervised_losses(
            views.a[used], y_b[used], y_c[used], views.shift[used], self.omega,
            weights=self.loss.weights, half=self.loss.half,
        )  # fmt: skip
        share = known.float().mean()  # terms are means over the whole batch
        terms = {name: share * value for name, value in terms.items()}
        del terms["total"]
        terms["flat"] = (1 - share) * flat
        return self.loss.weights.total(terms)


class Probabilities(nn.Module):
    """ChromaNet and its softmax, as one module for a data-parallel wrapper."""

    def __init__(self, chromanet: ChromaNet) -> None:
        super().__init__()
        self.chromanet = chromanet

    def forward(self, x: Tensor) -> Tensor:
        """Cropped log-VQT (batch, 1, bins, frames) -> (batch, outputs), float32."""
        return self.chromanet.probabilities(self.chromanet(x))


def profile_on_circle(probabilities: Tensor) -> Tensor:
    """Mean key signature profile (12,), in the order of the circle of fifths from output 0."""
    rows = probabilities.detach().float().reshape(len(probabilities), -1, 12).sum(dim=1)
    return rows.mean(dim=0)[torch.arange(12, device=rows.device) * 7 % 12]
