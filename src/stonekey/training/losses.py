"""Losses of STONE, 24-STONE / Semi-TONE and S-KEY on the network's probabilities.

Outputs ``y`` are softmax probabilities of shape (batch, 12) or (batch, 24); 24 outputs are
row-major, index = 12 * row + q. Three views A, B, C of a track go in (`stonekey.training.views`): C
sounds ``shift`` semitones lower than A and B, so a perfectly equivariant network has
``argmax(y_c) = argmax(y_a) - shift`` modulo 12 within a row.

Scale of the key loss: ``half=True``, the default everywhere, is the formula of the STONE paper
with its factor 1/2. The published code has no such factor; ``half=False`` gives values comparable
with the validation losses recorded in published checkpoints (0.626 for 12 outputs).

Everything is computed in float32 (float64 stays float64), also under autocast, by elementwise
products and sums only: a matrix product would be cast down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

PITCH_CLASSES = 12
OMEGAS = (1, 7)
BCE_EPSILON = 1e-6
# Only where a softmax underflows: what is wrong and sure must keep its gradient.
LOG_FLOOR = 1e-30
# Where the relative minor's tonic lies above the major tonic, in semitones.
RELATIVE_MINOR = 9

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms; the defaults are those of the papers."""

    key: float = 1.0
    mode: float = 1.5
    balance: float = 15.0
    flat: float = 1.0

    def total(self, terms: Terms) -> Terms:
        """The terms with ``total``, their weighted sum, beside them."""
        weighted = [getattr(self, name) * term for name, term in terms.items()]
        return {**terms, "total": torch.stack(weighted).sum()}


PUBLISHED_WEIGHTS = Weights()


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _angle(steps: Tensor, omega: int, dtype: torch.dtype) -> Tensor:
    """2 pi omega steps / 12, reduced modulo 12 in integers first so that it stays exact."""
    return ((omega * steps) % PITCH_CLASSES).to(dtype) * (2 * math.pi / PITCH_CLASSES)


def rows(y: Tensor) -> Tensor:
    """View probabilities (batch, 12 * n) as (batch, n, 12), in float32 or float64.

    Raises:
        ValueError: if y is not (batch, 12) or (batch, 24).
    """
    if y.ndim != 2 or y.shape[1] not in (PITCH_CLASSES, 2 * PITCH_CLASSES):
        raise ValueError(f"expected outputs of shape (batch, 12) or (batch, 24), got {(*y.shape,)}")
    return _wide(y).reshape(y.shape[0], -1, PITCH_CLASSES)


def circle(y: Tensor, omega: int = 7) -> Tensor:
    """Project probabilities onto a circle: z = sum over q of y[q] exp(+2 pi i omega q / 12).

    Args:
        y: (batch, 12), or (batch, 24) which is summed over its two rows first.
        omega: 7 for the circle of fifths, 1 for the circle of semitones.

    Returns:
        (batch, 2): real and imaginary part (a pair rather than a complex tensor, which
        compilers and half precision handle badly).

    Raises:
        ValueError: for another omega or shape.
    """
    if omega not in OMEGAS:
        raise ValueError(f"omega must be 1 (semitones) or 7 (fifths), got {omega}")
    signature = rows(y).sum(1)
    angle = _angle(torch.arange(PITCH_CLASSES, device=y.device), omega, signature.dtype)
    return torch.stack(
        ((signature * angle.cos()).sum(-1), (signature * angle.sin()).sum(-1)), dim=-1
    )


def cpsd_distance(
    z_a: Tensor, z_b: Tensor, k: Tensor | int, omega: int = 7, *, half: bool = True
) -> Tensor:
    """D_k(a, b) = 1/2 | exp(-2 pi i omega k / 12) - z_a conj(z_b) |^2 for each sample.

    The sign is the paper's: D_k is zero where b is a raised by k semitones.

    Args:
        z_a, z_b: (batch, 2), from `circle`.
        k: transposition from a to b in semitones, upwards; (batch,) integers or one integer.
        omega: 7 or 1, as given to `circle`.
        half: keep the paper's factor 1/2; the published code has none.

    Returns:
        (batch,) distances.
    """
    (real_a, imag_a), (real_b, imag_b) = z_a.unbind(-1), z_b.unbind(-1)
    angle = _angle(torch.as_tensor(k, device=z_a.device), omega, z_a.dtype)
    real = angle.cos() - (real_a * real_b + imag_a * imag_b)
    imag = -angle.sin() - (imag_a * real_b - real_a * imag_b)
    squared = real.square() + imag.square()
    return 0.5 * squared if half else squared


def key_loss(
    y_a: Tensor, y_b: Tensor, y_c: Tensor, shift: Tensor | int, omega: int = 7, *, half: bool = True
) -> Tensor:
    """Mean over the batch of D(A, B) + D(A, C) + D(B, C), with C ``shift`` semitones lower.

    The phase a perfectly equivariant network gives z_a conj(z_c) is
    exp(+2 pi i omega shift / 12); in the sign of `cpsd_distance` C is A raised by -shift. Zero
    for such a network with one-hot outputs; 1.5 (3 without ``half``) for uniform outputs.

    Args:
        y_a, y_b, y_c: (batch, 12) or (batch, 24) probabilities.
        shift: c' - c, (batch,) integers or one integer: how many semitones C sounds lower.
        omega: 7 or 1.
        half: see `cpsd_distance`.
    """
    z_a, z_b, z_c = circle(y_a, omega), circle(y_b, omega), circle(y_c, omega)
    loss = (
        cpsd_distance(z_a, z_b, 0, omega, half=half)
        + cpsd_distance(z_a, z_c, -shift, omega, half=half)
        + cpsd_distance(z_b, z_c, -shift, omega, half=half)
    )
    return loss.mean()


def bce(target: Tensor, p: Tensor) -> Tensor:
    """Binary cross entropy -t log p - (1 - t) log(1 - p), elementwise, in float32.

    p is clamped to [1e-6, 1 - 1e-6] before the logarithm (afterwards would leave NaN
    gradients at 0 and 1), so values stay below 13.9 and gradients are finite. Gradients flow
    through the target as well.
    """
    target, p = _wide(target), _wide(p).clamp(BCE_EPSILON, 1 - BCE_EPSILON)
    return -target * p.log() - (1 - target) * (1 - p).log()


def first_row(y: Tensor) -> Tensor:
    """m(y): the probability of row 0, (batch, 24) -> (batch,).

    Raises:
        ValueError: for 12 outputs, which know no mode.
    """
    parts = rows(y)
    if parts.shape[1] != 2:
        raise ValueError("the mode needs 24 outputs, got 12")
    return parts[:, 0].sum(-1)


def mode_loss(y_a: Tensor, y_b: Tensor, y_c: Tensor) -> Tensor:
    """Agreement of the views on the row (24-STONE), mean over the batch.

    BCE(m_a, m_c) + BCE(m_a, m_b) + 1/2 BCE(m_b, m_c) + 1/2 BCE(m_c, m_b), first argument the
    target, gradients through both. 3 log 2 for uniform outputs.

    Raises:
        ValueError: for 12 outputs.
    """
    m_a, m_b, m_c = first_row(y_a), first_row(y_b), first_row(y_c)
    loss = bce(m_a, m_c) + bce(m_a, m_b) + 0.5 * bce(m_b, m_c) + 0.5 * bce(m_c, m_b)
    return loss.mean()


def stone_losses(
    y_a: Tensor,
    y_b: Tensor,
    y_c: Tensor,
    shift: Tensor | int,
    omega: int = 7,
    *,
    weights: Weights = PUBLISHED_WEIGHTS,
    half: bool = True,
) -> Terms:
    """Self-supervised losses of STONE (12 outputs) and 24-STONE (24 outputs).

    Returns:
        Scalars ``key``, with 24 outputs ``mode``, unweighted, and ``total``, their weighted sum.
    """
    key = key_loss(y_a, y_b, y_c, shift, omega, half=half)
    if y_a.shape[1] == PITCH_CLASSES:
        return weights.total({"key": key})
    return weights.total({"key": key, "mode": mode_loss(y_a, y_b, y_c)})


def flat_loss(y: Tensor) -> Tensor:
    """How far outputs are from uniform: log n - H(y), in nats, mean over the batch.

    For recordings without a key. 0 for uniform outputs, log n for one-hot ones. Ours; the paper
    has no such term.

    Args:
        y: (batch, n) probabilities.
    """
    y = _wide(y)
    logs = y.clamp_min(BCE_EPSILON).log()
    return math.log(y.shape[1]) + (y * logs).sum(dim=1).mean()


def divergence(target: Tensor, y: Tensor) -> Tensor:
    """Kullback-Leibler divergence of outputs from labels, in nats, mean over the batch.

    The cross entropy but for the labels' own entropy, so 0 where the two are equal.

    Args:
        target: (batch, n) probabilities; no gradient flows through them.
        y: (batch, n) outputs.
    """
    target, y = _wide(target).detach(), _wide(y)
    logs = y.clamp_min(LOG_FLOOR).log()
    return (torch.xlogy(target, target) - target * logs).sum(dim=1).mean()


def supervised_losses(
    target: Tensor,
    y_b: Tensor,
    y_c: Tensor,
    shift: Tensor | int,
    omega: int = 7,
    *,
    weights: Weights = PUBLISHED_WEIGHTS,
    half: bool = True,
) -> Terms:
    """The same losses with A replaced by the label, through which no gradient flows.

    Args:
        target: (batch, 12) or (batch, 24) one-hot labels, as wide as the outputs, for the segment
            cropped at 0 (`stonekey.training.views.supervised_views` makes them).
        y_b: outputs for the segment cropped at 0.
        y_c: outputs for the segment cropped at ``shift``.
        shift, omega, weights, half: as in `stone_losses`.

    Raises:
        ValueError: if the target is not as wide as the outputs.
    """
    if target.shape != y_b.shape:
        raise ValueError(f"labels of shape {(*target.shape,)} for outputs of shape {(*y_b.shape,)}")
    return stone_losses(target.detach(), y_b, y_c, shift, omega, weights=weights, half=half)


def chroma(x: Tensor, per_semitone: int = 1) -> Tensor:
    """Mean of the cropped log-VQT over time and octaves: (batch, 1, 84, T) -> (batch, 12).

    Entry j is bin j of the crop and its octaves, the numbering the network itself sees: the pitch
    class c + j semitones above A for a crop at c (bin 0 of the VQT, 27.5 Hz, is A0). With several
    bins to a semitone, the mean of them.

    Raises:
        ValueError: if the bins are no whole number of octaves.
    """
    if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] % (PITCH_CLASSES * per_semitone):
        raise ValueError(f"expected (batch, 1, 12 * octaves, frames), got {(*x.shape,)}")
    profile = x.mean((1, 3), dtype=torch.promote_types(x.dtype, torch.float32))
    return profile.reshape(x.shape[0], -1, PITCH_CLASSES, per_semitone).mean((1, 3))


@torch.no_grad()
def pseudo_label(y_a: Tensor, y_b: Tensor, energy: Tensor) -> Tensor:
    """S-KEY's pseudo-label for the mode: 1 ("major", row 0) or 0 ("minor", row 1), (batch,).

    The key signature is q = argmax of the mean of A and B summed over rows. Convention: output q
    is read as the key signature whose major tonic is chroma bin q, both counted from the first bin
    of the crop that A and B share (A at crop 0), and whose minor tonic is bin (q + 9) mod 12. The
    label is major where bin q has strictly more energy than bin q + 9; a tie (silence) is minor.

    This pins row 0: the published S-KEY model has A major at column 0, as the convention says.
    It does not force row 1 to be the relative minors (that model has B minor at column 0), so the
    class table is still found by calibration.

    Args:
        y_a, y_b: (batch, 24) outputs.
        energy: (batch, 12), mean of `chroma` of A and of B.
    """
    major = (rows(y_a) + rows(y_b)).sum(1).argmax(-1, keepdim=True)
    minor = (major + RELATIVE_MINOR) % PITCH_CLASSES
    return (energy.gather(1, major) > energy.gather(1, minor)).squeeze(1).to(_wide(y_a).dtype)


def balance_loss(
    y_a: Tensor, y_b: Tensor, across_ranks: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """S-KEY's balance: (mean row 0 - 1/2)(1/2 - mean row 1), means over the batch of A and B.

    The rows sum to one, so this is (mean row 0 - 1/2)^2: it pushes to as many major as minor.

    Args:
        y_a, y_b: (batch, 24) outputs.
        across_ranks: differentiable mean over processes of a tensor. The loss is not linear in
            the batch mean, so without it several processes do not add up to the joined batch.
    """
    means = torch.cat((rows(y_a), rows(y_b))).sum(-1).mean(0)
    if means.shape[0] != 2:
        raise ValueError("the mode needs 24 outputs, got 12")
    if across_ranks is not None:
        means = across_ranks(means)
    return (means[0] - 0.5) * (0.5 - means[1])


def skey_losses(
    y_a: Tensor,
    y_b: Tensor,
    y_c: Tensor,
    shift: Tensor | int,
    energy: Tensor,
    omega: int = 7,
    *,
    weights: Weights = PUBLISHED_WEIGHTS,
    half: bool = True,
    across_ranks: Callable[[Tensor], Tensor] | None = None,
) -> Terms:
    """S-KEY: key loss, mode learnt from the pseudo-label, balance of the modes.

    Args:
        y_a, y_b, y_c: (batch, 24) outputs.
        shift: semitones C sounds lower than A and B.
        energy: (batch, 12) mean of `chroma` of A and of B, see `pseudo_label`.
        omega: 7 or 1.
        weights: of the terms; the paper's by default.
        half: see `cpsd_distance`.
        across_ranks: see `balance_loss`.

    Returns:
        Unweighted scalars ``key``, ``mode`` (sum of the BCE of A, B and C against the
        pseudo-label, mean over the batch), ``balance``, and their weighted sum ``total``.
    """
    label = pseudo_label(y_a, y_b, energy)
    key = key_loss(y_a, y_b, y_c, shift, omega, half=half)
    mode = sum((bce(label, first_row(y)) for y in (y_a, y_b, y_c)), torch.zeros_like(label)).mean()
    balance = balance_loss(y_a, y_b, across_ranks)
    return weights.total({"key": key, "mode": mode, "balance": balance})
