"""The three views of a track: crops of the log-VQT along frequency stand for transpositions.

Crop c is bins c .. c + 83 (with more than 12 bins per octave, c counts semitones, not bins).
Raising c by one lowers the content by one semitone, so view C, cropped at c', sounds ``shift`` =
c' - c semitones lower than A and B.

Draws: c and c' are independent and uniform over 0 .. bins - 84 (0 .. 15 for 99 bins), for each
sample on its own, so every pair that fits is equally likely. c' = c is allowed (1 pair in 16). The
shift, a difference of two uniform draws, is triangular on -15 .. 15; for supervised views, where
c = 0, it is uniform on 0 .. 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CROP_BINS = 84
# A prime above any number of crops: multiplying by it permutes the pairs of crops.
_SCATTER = 2654435761


@dataclass(frozen=True)
class Crops:
    """Places of two crops of each sample: ``first`` (c) and ``second`` (c'), int64 (batch,)."""

    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Views:
    """Three views of a batch.

    ``a``, ``b`` and ``c`` are network inputs (batch, harmonics, crop_bins, T), but in supervised
    views ``a`` is the label (batch, outputs). ``shift``, int64 (batch,), is the number of
    semitones ``c`` sounds lower than ``a`` and ``b``.
    """

    a: Tensor
    b: Tensor
    c: Tensor
    shift: Tensor


def n_crops(bins: int, crop_bins: int = CROP_BINS, step: int = 1) -> int:
    """Count the positions of a crop: 16 for 84 of 99 bins; ``step`` bins are a semitone.

    Raises:
        ValueError: if the crop is wider than the spectrum.
    """
    if not 0 < crop_bins <= bins:
        raise ValueError(f"cannot crop {crop_bins} bins out of {bins}")
    return (bins - crop_bins) // step + 1


def random_crops(
    batch: int,
    generator: torch.Generator,
    bins: int = 99,
    crop_bins: int = CROP_BINS,
    step: int = 1,
) -> Crops:
    """Draw c and c' independently and uniformly for each sample, on the generator's device.

    Raises:
        ValueError: if the crop is wider than the spectrum.
    """
    size = (2, batch)
    device = generator.device
    draw = torch.randint(n_crops(bins, crop_bins, step), size, generator=generator, device=device)
    return Crops(draw[0], draw[1])


def fixed_crops(items: Tensor, bins: int = 99, crop_bins: int = CROP_BINS, step: int = 1) -> Crops:
    """Crops for validation, a function of the item's index alone.

    Any run of n_crops ** 2 consecutive indices (256 for 99 bins) meets each pair once.

    Args:
        items: (batch,) non-negative integer indices in the validation set.
        bins, crop_bins: height of the log-VQT and of the crop.
        step: bins in a semitone.

    Raises:
        ValueError: if the crop is wider than the spectrum.
    """
    n = n_crops(bins, crop_bins, step)
    pair = (items.long() % n**2) * (_SCATTER % n**2) % n**2
    return Crops(pair // n, pair % n)


def crop(
    x: Tensor,
    first: Tensor,
    crop_bins: int = CROP_BINS,
    step: int = 1,
    harmonics: Sequence[int] = (0,),
) -> Tensor:
    """Cut ``crop_bins`` bins from ``first[i]`` semitones of ``step`` bins on out of sample i.

    Args:
        x: (batch, 1, bins, T), any floating type.
        first: (batch,) integers from 0 to `n_crops` - 1, on any device. The range is the caller's
            duty: checking it would make a GPU wait.
        crop_bins: height of the crop.
        step: bins in a semitone.
        harmonics: how many bins higher each of the network's inputs is read.

    Returns:
        (batch, harmonics, crop_bins, T) of the type and on the device of x.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if x.ndim != 4 or x.shape[1] != 1:
        raise ValueError(f"expected a log-VQT of shape (batch, 1, bins, frames), got {(*x.shape,)}")
    if first.shape != x.shape[:1]:
        raise ValueError(f"{x.shape[0]} samples but crops of shape {(*first.shape,)}")
    n_crops(x.shape[2], crop_bins, step)
    first = step * first.to(x.device, non_blocking=True)
    bins = first[:, None] + torch.arange(crop_bins, device=x.device)
    sample = torch.arange(x.shape[0], device=x.device)[:, None]
    if len(harmonics) == 1:
        return x[sample, 0, bins][:, None]
    return torch.stack([x[sample, 0, bins + higher] for higher in harmonics], dim=1)


def make_views(
    a: Tensor,
    b: Tensor,
    crops: Crops,
    crop_bins: int = CROP_BINS,
    step: int = 1,
    harmonics: Sequence[int] = (0,),
) -> Views:
    """Self-supervised views of two segments A and B of each track.

    A and B are cropped at c, and A again at c' to give C.

    Args:
        a, b: (batch, 1, bins, T) log-VQT of the two segments.
        crops: from `random_crops` or `fixed_crops`.
        crop_bins, step, harmonics: see `crop`.

    Raises:
        ValueError: if the shapes do not fit.
    """
    shift = (crops.second - crops.first).to(a.device, non_blocking=True)
    return Views(
        crop(a, crops.first, crop_bins, step, harmonics),
        crop(b, crops.first, crop_bins, step, harmonics),
        crop(a, crops.second, crop_bins, step, harmonics),
        shift,
    )


def supervised_views(
    x: Tensor,
    labels: Tensor,
    crops: Crops,
    crop_bins: int = CROP_BINS,
    step: int = 1,
    harmonics: Sequence[int] = (0,),
) -> Views:
    """Views of labelled segments: A the label, B cropped at 0, C cropped at c'.

    Args:
        x: (batch, 1, bins, T) log-VQT of one segment of each track.
        labels: (batch, outputs) probabilities, for the music as it sounds (crop 0).
        crops: from `random_crops` or `fixed_crops`; only ``second`` is used, c being 0.
        crop_bins, step, harmonics: see `crop`.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if labels.ndim != 2 or len(labels) != len(x):
        raise ValueError(f"{x.shape[0]} samples but labels of shape {(*labels.shape,)}")
    shift = crops.second.to(x.device, non_blocking=True)
    return Views(
        labels.to(x.device),
        crop(x, torch.zeros_like(shift), crop_bins, step, harmonics),
        crop(x, shift, crop_bins, step, harmonics),
        shift,
    )


def lowered(labels: Tensor, semitones: Tensor) -> Tensor:
    """Labels of the same music so many semitones lower.

    Args:
        labels: (batch, 12 * rows) probabilities of outputs, row-major.
        semitones: (batch,) integers.
    """
    rows = labels.reshape(len(labels), -1, 12)
    from_bin = (torch.arange(12, device=labels.device) + semitones[:, None].to(labels.device)) % 12
    return rows.gather(2, from_bin[:, None].expand_as(rows)).flatten(1)
