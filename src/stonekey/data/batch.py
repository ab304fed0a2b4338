"""One form for every batch: what training takes, from our loaders or a user's own."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stonekey.keys import Key
from stonekey.network.vqt import VQT, log_vqt

KEYS = 24
# In place of a label: the music has no key.
KEYLESS_INDEX = -1


@dataclass(frozen=True)
class TrainingBatch:
    """Network inputs before the crop, and labels.

    ``a``: log-VQT (batch, 1, bins, frames), float32, of one segment of each track. ``b``: the same
    of a second segment of the same track, None in a supervised batch. ``labels``: float32
    (batch, 24), probabilities by `stonekey.keys.Key.index` of the music as it sounds: 1 at its key,
    1/24 everywhere where it has none; None in a self-supervised batch. Which output of a model
    stands for which key is for its class table to say. ``items``: int64 (batch,), the tracks'
    places in the data set, where known (validation draws fixed crops by them).
    """

    a: Tensor
    b: Tensor | None = None
    labels: Tensor | None = None
    items: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.b is None) == (self.labels is None):
            raise ValueError("a batch has either a second segment of each track or labels")
        if self.a.ndim != 4 or self.a.shape[1] != 1:
            raise ValueError(f"expected (batch, 1, bins, frames), got {tuple(self.a.shape)}")
        if self.b is not None and self.b.shape != self.a.shape:
            raise ValueError(f"segments of {tuple(self.a.shape)} and {tuple(self.b.shape)}")
        for name, values, shape in (
            ("labels", self.labels, (len(self.a), KEYS)),
            ("items", self.items, (len(self.a),)),
        ):
            if values is not None and values.shape != shape:
                raise ValueError(f"{len(self.a)} segments but {name} of {tuple(values.shape)}")

    @property
    def supervised(self) -> bool:
        """Whether there are labels."""
        return self.labels is not None

    def __len__(self) -> int:
        return len(self.a)

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same on a device."""
        moved = (
            None if part is None else part.to(device, non_blocking=True)
            for part in (self.a, self.b, self.labels, self.items)
        )
        return TrainingBatch(*moved)  # type: ignore[arg-type]


def key_targets(labels: Any) -> Tensor:
    """Labels as probabilities of the 24 keys, float32 (batch, 24).

    Args:
        labels: a float tensor of that shape; or a tensor or sequence of `Key.index`, or a sequence
            of spellings or `Key`, with -1 or None for music without a key.

    Raises:
        ValueError: naming the label that is not a key and its place.
    """
    if isinstance(labels, Tensor):
        if labels.is_floating_point() and labels.ndim == 2:
            return labels.float()
        labels = labels.reshape(-1).tolist()
    if isinstance(labels, (str, Key)) or not isinstance(labels, Sequence):
        labels = [labels] if isinstance(labels, (str, Key)) else list(labels)
    indices = torch.tensor([_index(label, i) for i, label in enumerate(labels)], dtype=torch.int64)
    one_hot = indices[:, None] == torch.arange(KEYS)
    return torch.where(indices[:, None] == KEYLESS_INDEX, 1 / KEYS, one_hot.float())


def _index(label: Any, place: int) -> int:
    try:
        if label is None or label == KEYLESS_INDEX:
            return KEYLESS_INDEX
        if isinstance(label, Key):
            return label.index
        if isinstance(label, str):
            return Key.parse(label).index
        return Key.from_index(operator.index(label)).index
    except (ValueError, TypeError) as error:
        raise ValueError(f"label {place} of the batch: {error}") from error


def training_batch(batch: Any, vqt: VQT, device: torch.device | str = "cpu") -> TrainingBatch:
    """Convert a batch of any of the documented shapes.

    - `TrainingBatch`: only moved to the device.
    - of `stonekey.data.loaders.CachedLoader`: a dict with log-VQTs ``a`` and ``b``, or ``a`` and
      ``label``, and perhaps ``items``.
    - audio (batch, samples, 2), a tensor or an array: two segments of each track; self-supervised.
    - a dict of ``audio`` (batch, samples, 1) or (batch, samples) and ``keymode``, the labels:
      spellings ("C# minor", "Dbm", "12A"), `Key`, indices as `Key.index`, or probabilities
      (batch, 24); supervised. A pair (audio, labels) means the same.
    - a dict of ``audio`` (batch, samples, 2) without ``keymode``, or with None: self-supervised.

    Audio is float at the front end's sample rate, each track scaled to a peak of 1.

    Args:
        batch: as above.
        vqt: the front end, on ``device``.
        device: where the result is wanted.

    Raises:
        ValueError: for any other shape, or a label that is not a key.
    """
    if isinstance(batch, TrainingBatch):
        return batch.to(device)
    items = None
    if isinstance(batch, Mapping) and "a" in batch:
        items = batch.get("items")
        if "label" in batch:
            return TrainingBatch(batch["a"], None, key_targets(batch["label"]), items).to(device)
        return TrainingBatch(batch["a"], batch["b"], None, items).to(device)
    if isinstance(batch, Mapping):
        if "audio" not in batch:
            names = ", ".join(map(str, batch))
            raise ValueError(f"a batch needs 'audio' (or log-VQTs 'a' and 'b'), got {names}")
        audio, labels, items = batch["audio"], batch.get("keymode"), batch.get("items")
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        audio, labels = batch
    else:
        audio, labels = batch, None
    audio = torch.as_tensor(audio)
    if audio.ndim == 2:
        audio = audio[..., None]
    wanted = 2 if labels is None else 1
    if audio.ndim != 3 or audio.shape[2] != wanted or not audio.is_floating_point():
        kind = "with labels" if labels is not None else "without labels"
        raise ValueError(
            f"a batch {kind} must be float (batch, samples, {wanted}), got {audio.dtype} "
            f"{tuple(audio.shape)}"
        )
    audio = audio.to(device, torch.float32, non_blocking=True)
    if items is not None:
        items = torch.as_tensor(items).to(device)
    with torch.no_grad():
        # One pass over both segments; each is scaled by its own maximum.
        x = log_vqt(vqt(audio.permute(2, 0, 1).flatten(0, 1)), vqt.front_end.average)
    if labels is None:
        return TrainingBatch(x[: len(audio)], x[len(audio) :], None, items)
    return TrainingBatch(x, None, key_targets(labels).to(device), items)
