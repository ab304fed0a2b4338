"""The pointwise MLP computed by parts: the plain one's values and gradients."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from stonekey.network import mlp  # noqa: E402
from stonekey.network.mlp import pointwise_mlp  # noqa: E402


def layers(channels: int, seed: int = 0) -> tuple[nn.Linear, nn.Linear]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(channels, 4 * channels).double(), nn.Linear(
            4 * channels, channels
        ).double()


def plain(
    x: torch.Tensor, expand: nn.Linear, reduce: nn.Linear, gamma: torch.Tensor
) -> torch.Tensor:
    return gamma * reduce(functional.gelu(expand(x)))


def outcome(function, x: torch.Tensor, parts: tuple[nn.Linear, nn.Linear], upper: torch.Tensor):
    x = x.clone().requires_grad_()
    gamma = torch.linspace(0.5, 2.0, x.shape[-1], dtype=x.dtype, requires_grad=True)
    wanted = [x, gamma, *(p for part in parts for p in part.parameters())]
    y = function(x, *parts, gamma)
    return [y.detach(), *torch.autograd.grad((y * upper).sum(), wanted)]


@pytest.mark.parametrize("positions", [1, 7, 64, 65, 200])
def test_equals_the_plain_one(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole parts, a last part that is smaller, and fewer positions than a part has."""
    monkeypatch.setattr(mlp, "ROWS", 64)
    parts = layers(5)
    x = torch.randn(1, positions, 1, 5, dtype=torch.float64)
    upper = torch.randn_like(x)
    ours, expected = outcome(pointwise_mlp, x, parts, upper), outcome(plain, x, parts, upper)
    for a, b in zip(ours, expected, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_strided_input_and_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the network, where arrays are permuted views."""
    monkeypatch.setattr(mlp, "ROWS", 16)
    parts = layers(4)
    x = torch.randn(2, 4, 3, 6, dtype=torch.float64).permute(0, 3, 2, 1)
    upper = torch.randn(2, 4, 3, 6, dtype=torch.float64).permute(0, 3, 2, 1)
    ours, expected = outcome(pointwise_mlp, x, parts, upper), outcome(plain, x, parts, upper)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(ours, expected, strict=True))


def test_is_by_parts_only_where_a_gradient_is_wanted() -> None:
    parts = layers(3)
    x = torch.randn(5, 3, dtype=torch.float64)

    def recorded(x: torch.Tensor) -> str:
        function = pointwise_mlp(x, *parts, torch.ones(3, dtype=torch.float64)).grad_fn
        assert function is not None
        return str([function, function.next_functions])

    assert "InParts" not in recorded(x)
    assert "InParts" in recorded(x.requires_grad_())


def test_under_autocast_and_for_empty_batches() -> None:
    expand, reduce = (part.float() for part in layers(3))
    x, gamma = torch.randn(6, 3, requires_grad=True), torch.ones(3)
    with torch.autocast("cpu", torch.bfloat16):
        y = pointwise_mlp(x, expand, reduce, gamma)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    none = torch.zeros(0, 3, requires_grad=True)
    assert pointwise_mlp(none, expand, reduce, gamma).shape == (0, 3)
