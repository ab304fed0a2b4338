"""Depthwise convolution with a fast backward pass on a CPU.

torch computes neither gradient of a wide depthwise convolution with its depthwise kernels. The
gradient of the input is itself a depthwise convolution. That of the weight has a fast kernel for
filters of at most 3 columns, so it is computed in strips of columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

STRIP = 3  # columns of a filter; 4 take torch 6 times as long


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``conv2d`` of (batch, channels, height, width) with filters (channels, 1, k, k)."""
    training = bias is not None and weight.requires_grad and torch.is_grad_enabled()
    if (
        training
        and x.device.type == "cpu"
        and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"))
    ):
        return _Depthwise.apply(x, weight, bias)  # type: ignore[no-any-return,no-untyped-call]
    return functional.conv2d(x, weight, bias, groups=len(weight))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv2d(x, weight, bias, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        channels, _, rows, columns = weight.shape
        grad_x = functional.conv2d(
            grad, weight.flip(2, 3), padding=(rows - 1, columns - 1), groups=channels
        )
        strips = []
        for first in range(0, columns, STRIP):
            strip = weight[..., first : first + STRIP]
            seen = x[..., first : first + grad.shape[3] + strip.shape[3] - 1]
            strips.append(conv2d_weight(seen, strip.shape, grad, groups=channels))
        return grad_x, torch.cat(strips, dim=3), grad.sum(dim=(0, 2, 3))
