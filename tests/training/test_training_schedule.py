"""Schedules, weight decay and clipping; and the batch norm against torch's own."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from stonekey.model.settings import Architecture  # noqa: E402
from stonekey.network.chromanet import ChromaNet, RowBatchNorm  # noqa: E402
from stonekey.training.schedule import clip_each, cosine, parameter_groups  # noqa: E402


def test_cosine_at_the_start_the_middle_and_the_end() -> None:
    assert cosine(1e-3, 5e-8, 0, 100) == pytest.approx(1e-3)
    assert cosine(1e-3, 5e-8, 50, 100) == pytest.approx((1e-3 + 5e-8) / 2)
    assert cosine(1e-3, 5e-8, 100, 100) == pytest.approx(5e-8)
    assert cosine(1e-3, 5e-8, 250, 100) == pytest.approx(5e-8)
    quarter = 0.5 * (1 + math.cos(math.pi / 4))
    assert cosine(0.04, 0.4, 25, 100) == pytest.approx(0.4 - 0.36 * quarter)


def test_cosine_falls_or_rises_all_the_way() -> None:
    rates = [cosine(1e-3, 5e-8, i, 64) for i in range(65)]
    decays = [cosine(0.04, 0.4, i, 64) for i in range(65)]
    assert rates == sorted(rates, reverse=True)
    assert decays == sorted(decays)


@pytest.mark.parametrize(("outputs", "norm"), [(12, "frame"), (24, "joint")])
def test_weights_of_products_are_decayed_and_nothing_else(outputs: int, norm: str) -> None:
    network = ChromaNet(Architecture(outputs=outputs, norm=norm))  # type: ignore[arg-type]
    decayed, kept = parameter_groups(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed_names = {names[id(p)] for p in decayed["params"]}
    kept_names = {names[id(p)] for p in kept["params"]}
    assert decayed_names | kept_names == set(names.values())
    assert not decayed_names & kept_names
    products = ("conv.weight", "dwconv.weight", "pwconv1.weight", "pwconv2.weight")
    assert decayed_names == {
        name for name in names.values() if name.endswith((*products, "classifier.weight"))
    }
    assert all(name.endswith(("bias", "gamma", ".norm.weight")) for name in kept_names)
    if norm == "frame":  # matrices, so that their number of axes does not tell
        assert "convnext_blocks.0.norm.weight" in kept_names
    assert (decayed["decayed"], kept["decayed"]) == (True, False)


def test_each_tensor_is_clipped_alone() -> None:
    small, large = (torch.zeros(3, requires_grad=True) for _ in range(2))
    without = torch.zeros(3, requires_grad=True)
    small.grad = torch.tensor([0.0, 1.0, 0.0])
    large.grad = torch.tensor([0.0, 30.0, 40.0])
    norm = clip_each([small, large, without], 3.0)
    assert norm.item() == pytest.approx(math.sqrt(1 + 50**2))
    assert torch.equal(small.grad, torch.tensor([0.0, 1.0, 0.0]))
    assert torch.allclose(large.grad, torch.tensor([0.0, 1.8, 2.4]))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad: float) -> None:
    parameter = torch.zeros(2, requires_grad=True)
    parameter.grad = torch.tensor([1.0, bad])
    assert not math.isfinite(clip_each([parameter], 3.0).item())


@pytest.mark.parametrize("batch", [1, 5])
def test_row_batch_norm_equals_torchs_own(batch: int) -> None:
    ours, expected = RowBatchNorm(2), nn.BatchNorm2d(2, affine=False)
    assert ours.state_dict().keys() == expected.state_dict().keys()
    for step in range(3):
        x = (3 * torch.randn(batch, 2, 12, 1) + step).requires_grad_()
        y = x.detach().clone().requires_grad_()
        upper = torch.randn(batch, 2, 12, 1)
        a, b = ours(x), expected(y)
        assert torch.allclose(a, b, atol=1e-5)
        (a * upper).sum().backward()
        (b * upper).sum().backward()
        assert torch.allclose(x.grad, y.grad, atol=1e-5)  # type: ignore[arg-type]
        for name, value in expected.state_dict().items():
            assert torch.allclose(ours.state_dict()[name], value, atol=1e-5)
    x = torch.randn(batch, 2, 12, 1)
    assert torch.allclose(ours.eval()(x), expected.eval()(x), atol=1e-5)
    before = ours.running_mean.clone()
    ours(x)
    assert torch.equal(ours.running_mean, before)
