"""Learning rate and weight decay over the steps of a run, and what is decayed."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stonekey.network.chromanet import FrameNorm


def cosine(start: float, end: float, step: int, total: int) -> float:
    """Half a cosine from ``start`` at step 0 to ``end`` at step ``total`` and after."""
    progress = min(1.0, step / max(1, total))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(module: nn.Module) -> list[dict[str, object]]:
    """Two groups for AdamW: weights of products, decayed; norms, biases and scales, not.

    A norm's gains are left alone whatever their shape: those of `FrameNorm` are matrices.
    """
    norms = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, FrameNorm)
        for parameter in part.parameters()
    }
    decayed: list[Tensor] = []
    kept: list[Tensor] = []
    for parameter in module.parameters():
        decayed_one = parameter.ndim > 1 and id(parameter) not in norms
        (decayed if decayed_one else kept).append(parameter)
    return [
        {"params": decayed, "weight_decay": 0.0, "decayed": True},
        {"params": kept, "weight_decay": 0.0, "decayed": False},
    ]


def clip_each(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Scale each parameter's gradient to a norm of at most ``limit``, in place.

    Returns:
        The norm of all gradients together before clipping, a scalar tensor.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch._foreach_norm(gradients)
    stacked = torch.stack([norm.float() for norm in norms])
    factors = (limit / (stacked + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, [f.to(g.dtype) for f, g in zip(factors, gradients, strict=True)])
    total: Tensor = torch.linalg.vector_norm(stacked)
    return total
