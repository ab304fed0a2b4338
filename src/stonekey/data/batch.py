"""One form for every batch: what training takes, from our loaders or a user's own."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stonekey.keys import NO_KEY, UNLABELLED, Key, non_key
from stonekey.model.settings import FrontEnd
from stonekey.network.vqt import VQT, log_vqt

KEYS = 24


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
        labels: a float tensor or array of that shape; or a tensor, array or sequence of
            `Key.index`, or a sequence of spellings or `Key`, with "no key" for music without one.

    Raises:
        ValueError: naming the label that is not a key and its place.
    """
    targets = known_targets(labels)
    if targets is None:
        raise ValueError("no label says a key")
    return targets


def known_targets(labels: Any) -> Tensor | None:
    """As `key_targets`; None when every label says that nothing is known.

    Those labels are "-1", -1, None and "" and what else `stonekey.keys.non_key` calls unlabelled.

    Raises:
        ValueError: also when only some labels are known.
    """
    if hasattr(labels, "dtype"):  # a tensor or an array
        labels = torch.as_tensor(labels)
        if labels.is_floating_point() and labels.ndim == 2:
            return labels.float()  # type: ignore[no-any-return]
        labels = labels.reshape(-1).tolist()
    if labels is None or isinstance(labels, (str, Key, int)):
        labels = [labels]
    labels = list(labels)
    if len(labels) == 1 and isinstance(labels[0], (list, tuple)):
        labels = list(labels[0])  # what a data set of whole batches becomes in a DataLoader
    targets = [_target(label, place) for place, label in enumerate(labels)]
    unknown = [place for place, target in enumerate(targets) if target is None]
    if len(unknown) == len(targets):
        return None
    if unknown:
        raise ValueError(
            f"label {unknown[0]} of the batch is {labels[unknown[0]]!r}, but others are keys: put "
            "unlabelled tracks into batches of their own"
        )
    return torch.tensor(targets, dtype=torch.float32)


def _target(label: Any, place: int) -> list[float] | None:
    """Probabilities of the keys, None where nothing is known."""
    try:
        if label is None or label == -1:
            return None
        if isinstance(label, str):
            said = UNLABELLED if label.strip() == "-1" else non_key(label)
            if said == UNLABELLED:
                return None
            if said == NO_KEY:
                return [1 / KEYS] * KEYS
            label = Key.parse(label)
        key = label if isinstance(label, Key) else Key.from_index(operator.index(label))
        return [float(index == key.index) for index in range(KEYS)]
    except (ValueError, TypeError) as error:
        raise ValueError(f"label {place} of the batch: {error}") from error


def training_batch(batch: Any, vqt: VQT, device: torch.device | str = "cpu") -> TrainingBatch:
    """Convert a batch of any of the documented shapes.

    - `TrainingBatch`: only moved to the device.
    - of `stonekey.data.loaders.CachedLoader`: a dict with log-VQTs ``a`` and ``b``, or ``a`` and
      ``label``, and perhaps ``items``.
    - audio (batch, samples, 2), a tensor or an array: two segments of each track; self-supervised.
    - a dict of ``audio`` (batch, samples, 1) or (batch, samples) and ``keymode``, the labels:
      spellings ("C# minor", "Dbm", "12A", "no key"), `Key`, indices as `Key.index`, or
      probabilities (batch, 24); supervised. A pair (audio, labels) means the same.
    - a dict of ``audio`` (batch, samples, 2) without ``keymode``, or with None, or with nothing
      but "-1", -1, "" or None in it: self-supervised.

    Labels may be a tuple, a list, or either within a tuple or list of one.
    Audio is float at the front end's sample rate, each track scaled to a peak of 1, in segments of
    the front end's length.

    Args:
        batch: as above.
        vqt: the front end, on ``device``.
        device: where the result is wanted.

    Raises:
        ValueError: for any other shape or length, or a label that is not a key.
    """
    front_end = vqt.front_end
    if isinstance(batch, TrainingBatch):
        return _fitting(batch, front_end).to(device)
    items = None
    if isinstance(batch, Mapping) and "a" in batch:
        items = batch.get("items")
        if "label" in batch:
            made = TrainingBatch(batch["a"], None, key_targets(batch["label"]), items)
        else:
            made = TrainingBatch(batch["a"], batch["b"], None, items)
        return _fitting(made, front_end).to(device)
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
    targets = None if labels is None else known_targets(labels)
    wanted = 2 if targets is None else 1
    if audio.ndim != 3 or audio.shape[2] != wanted or not audio.is_floating_point():
        kind = "with labels" if targets is not None else "without labels"
        raise ValueError(
            f"a batch {kind} must be float (batch, samples, {wanted}), got {audio.dtype} "
            f"{tuple(audio.shape)}"
        )
    if audio.shape[1] != front_end.segment_samples:
        rate = front_end.sample_rate
        raise ValueError(
            f"segments of {audio.shape[1]} samples, but the model's are "
            f"{front_end.segment_samples} ({front_end.segment_seconds:g} s at {rate} Hz): cut them "
            f"to that, or set data.duration to {audio.shape[1] / rate:g}"
        )
    audio = audio.to(device, torch.float32, non_blocking=True)
    if items is not None:
        items = torch.as_tensor(items).to(device)
    with torch.no_grad():
        # One pass over both segments; each is scaled by its own maximum.
        x = log_vqt(vqt(audio.permute(2, 0, 1).flatten(0, 1)), front_end.average)
    if targets is None:
        return TrainingBatch(x[: len(audio)], x[len(audio) :], None, items)
    return TrainingBatch(x, None, targets.to(device), items)


def _fitting(batch: TrainingBatch, front_end: FrontEnd) -> TrainingBatch:
    """The batch, if its log-VQTs are of the front end's bins and length; else ValueError."""
    wanted = front_end.n_bins, front_end.network_frames(front_end.segment_samples)
    if batch.a.shape[2:] != wanted:
        raise ValueError(
            f"log-VQTs of {batch.a.shape[2]} bins and {batch.a.shape[3]} frames, but the model's "
            f"are of {wanted[0]} and {wanted[1]} (VQT.n_bins, data.duration)"
        )
    return batch
