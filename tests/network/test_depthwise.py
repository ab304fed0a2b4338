"""The depthwise convolution with a backward pass of its own: the library's values and gradients."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from stonekey.network.depthwise import depthwise  # noqa: E402


def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(x, weight, bias, groups=len(weight))


def inputs(
    channels: int, kernel: int, dtype: torch.dtype, batch: int = 2, inner: bool = True
) -> tuple[torch.Tensor, ...]:
    """x, weight, bias and an upper gradient; x channels last in memory as in the network."""
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    x, upper = values(batch, channels, kernel + 8, kernel + 20), values(batch, channels, 9, 21)
    if inner:
        x, upper = (v.contiguous(memory_format=torch.channels_last) for v in (x, upper))
    weight = values(channels, 1, kernel, kernel).transpose(2, 3)
    return x, weight, values(channels), upper


def outcome(function, x, weight, bias, upper):
    wanted = [v.requires_grad_() for v in (x, weight, bias)]
    y = function(*wanted)
    return [y.detach(), *torch.autograd.grad(y, wanted, upper)]


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("channels", [1, 2, 5, 40])
@pytest.mark.parametrize("inner", [True, False])
def test_equals_the_library(channels: int, kernel: int, inner: bool) -> None:
    """Filters that are whole strips, end in a narrower strip, or are narrower than one."""
    arrays = inputs(channels, kernel, torch.float64, inner=inner)
    for a, b in zip(outcome(depthwise, *arrays), outcome(plain, *arrays), strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("channels", [2, 40])
def test_in_single_precision(channels: int) -> None:
    """The fast kernels, which exist for float32 only."""
    exact = outcome(plain, *inputs(channels, 7, torch.float64))
    for a, b in zip(outcome(depthwise, *inputs(channels, 7, torch.float32)), exact, strict=True):
        assert torch.allclose(a.double(), b, rtol=1e-5, atol=1e-4)


def test_empty_batch() -> None:
    y, x, weight, bias = outcome(depthwise, *inputs(3, 7, torch.float32, batch=0))
    assert y.shape == (0, 3, 9, 21)
    assert x.shape == (0, 3, 15, 27)
    assert not weight.any()
    assert not bias.any()


def test_is_its_own_only_where_a_gradient_is_wanted() -> None:
    x, weight, bias, _ = inputs(3, 7, torch.float32)
    assert depthwise(x, weight, bias).grad_fn is None
    weight.requires_grad_()
    assert "Depthwise" in str(depthwise(x, weight, bias).grad_fn)
    with torch.autocast("cpu", torch.bfloat16):
        y = depthwise(x, weight, bias)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert weight.grad is not None
