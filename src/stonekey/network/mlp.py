"""The pointwise part of a ConvNeXt block: expand channels by 4, GELU, reduce.

The expanded activations are by far the largest arrays of the network. Training on a CPU computes
them in parts that fit in cache, and again in the backward pass, instead of storing them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS = 4096  # positions computed at a time
SPLITS = 8


def pointwise_mlp(x: Tensor, expand: nn.Linear, reduce: nn.Linear, gamma: Tensor) -> Tensor:
    """``gamma * reduce(gelu(expand(x)))`` on the last axis of (..., channels)."""
    # Scale the weights, which are far smaller than the result.
    weight, bias = gamma[:, None] * reduce.weight, gamma * reduce.bias
    in_parts = x.device.type == "cpu" and x.requires_grad and not torch.compiler.is_compiling()
    if in_parts and not torch.is_autocast_enabled("cpu"):
        flat = x.reshape(-1, x.shape[-1])
        parameters = (expand.weight, expand.bias, weight, bias)
        return _InParts.apply(flat, *parameters).view_as(x)  # type: ignore[no-any-return,no-untyped-call]
    return functional.linear(functional.gelu(expand(x)), weight, bias)


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.save_for_backward(x, w1, b1, w2)
        out = torch.empty_like(x)
        for part, into in zip(x.split(ROWS), out.split(ROWS), strict=True):
            hidden = functional.gelu(torch.addmm(b1, part, w1.t()))
            torch.addmm(b2, hidden, w2.t(), out=into)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x, w1, b1, w2 = ctx.saved_tensors
        grad = grads[0].contiguous()
        grad_x = torch.empty_like(x)
        grad_w1, grad_b1 = torch.zeros_like(w1), torch.zeros_like(b1)
        grad_w2 = torch.zeros_like(w2)
        for part, upper, into in zip(
            x.split(ROWS), grad.split(ROWS), grad_x.split(ROWS), strict=True
        ):
            before = torch.addmm(b1, part, w1.t())
            grad_w2.add_(_summed_products(upper, functional.gelu(before)))
            lower = torch.ops.aten.gelu_backward(upper @ w2, before)
            grad_w1.add_(_summed_products(lower, part))
            grad_b1.add_(lower.sum(dim=0))
            torch.mm(lower, w1, out=into)
        return grad_x, grad_w1, grad_b1, grad_w2, grad.sum(dim=0)


def _summed_products(a: Tensor, b: Tensor) -> Tensor:
    """``a.t() @ b`` of (positions, m) and (positions, n), as several shorter products.

    With so long a sum and so small a result, torch's single product is 2 to 20 times slower.
    """
    if len(a) < ROWS or len(a) % SPLITS:
        return a.t() @ b
    first, second = (x.reshape(SPLITS, -1, x.shape[1]) for x in (a, b))
    return torch.bmm(first.transpose(1, 2), second).sum(dim=0)
