"""Losses against the formulas of the papers written in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stonekey.training import losses  # noqa: E402

CIRCLES = (1, 7)
Array = np.ndarray[Any, Any]


def softmax(rng: np.random.Generator, batch: int, outputs: int) -> Array:
    exponent = np.exp(2 * rng.standard_normal((batch, outputs)))
    return np.asarray(exponent / exponent.sum(1, keepdims=True))


def np_z(y: Array, omega: int) -> Array:
    y = y.reshape(len(y), -1, 12).sum(1)
    return np.asarray((y * np.exp(2j * np.pi * omega * np.arange(12) / 12)).sum(1))


def np_key(a: Array, b: Array, c: Array, d: Array, omega: int) -> float:
    """Paper form, target phase exp(+2 pi i omega d / 12) for z(A) conj(z(C))."""
    z_a, z_b, z_c = np_z(a, omega), np_z(b, omega), np_z(c, omega)
    phase = np.exp(2j * np.pi * omega * d / 12)
    terms = (
        0.5 * abs(1 - z_a * z_b.conj()) ** 2
        + 0.5 * abs(phase - z_a * z_c.conj()) ** 2
        + 0.5 * abs(phase - z_b * z_c.conj()) ** 2
    )
    return float(terms.mean())


def np_bce(t: Array | float, p: Array) -> Array:
    return np.asarray(-t * np.log(p) - (1 - t) * np.log(1 - p))


def np_mode(a: Array, b: Array, c: Array) -> float:
    m_a, m_b, m_c = (y[:, :12].sum(1) for y in (a, b, c))
    terms = np_bce(m_a, m_c) + np_bce(m_a, m_b) + 0.5 * np_bce(m_b, m_c) + 0.5 * np_bce(m_c, m_b)
    return float(terms.mean())


def one_hot(index: Any, outputs: int = 12) -> torch.Tensor:
    return torch.eye(outputs)[torch.as_tensor(index)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("omega", CIRCLES)
@pytest.mark.parametrize("outputs", [12, 24])
@pytest.mark.parametrize("batch", [1, 9])
def test_stone_equals_the_formulas(
    rng: np.random.Generator, omega: int, outputs: int, batch: int
) -> None:
    a, b, c = (softmax(rng, batch, outputs) for _ in range(3))
    d = rng.integers(-15, 16, batch)
    arrays = (torch.from_numpy(x) for x in (a, b, c, d))
    terms = losses.stone_losses(*arrays, omega=omega)
    key = np_key(a, b, c, d, omega)
    assert terms["key"].item() == pytest.approx(key, rel=1e-10)
    if outputs == 12:
        assert set(terms) == {"key", "total"}
        assert terms["total"].item() == pytest.approx(key, rel=1e-10)
    else:
        mode = np_mode(a, b, c)
        assert terms["mode"].item() == pytest.approx(mode, rel=1e-10)
        assert terms["total"].item() == pytest.approx(key + 1.5 * mode, rel=1e-10)


@pytest.mark.parametrize("omega", CIRCLES)
def test_circle_and_distance_equal_the_formulas(rng: np.random.Generator, omega: int) -> None:
    a, b = softmax(rng, 6, 24), softmax(rng, 6, 24)
    k = rng.integers(-15, 16, 6)
    z_a, z_b = (losses.circle(torch.from_numpy(y), omega) for y in (a, b))
    np.testing.assert_allclose(torch.view_as_complex(z_a).numpy(), np_z(a, omega), atol=1e-12)
    product = np_z(a, omega) * np_z(b, omega).conj()
    expected = 0.5 * abs(np.exp(-2j * np.pi * omega * k / 12) - product) ** 2
    distance = losses.cpsd_distance(z_a, z_b, torch.from_numpy(k), omega)
    np.testing.assert_allclose(distance.numpy(), expected, atol=1e-12)
    published = losses.cpsd_distance(z_a, z_b, torch.from_numpy(k), omega, half=False)
    np.testing.assert_allclose(published.numpy(), 2 * expected, atol=1e-12)


@pytest.mark.parametrize("omega", CIRCLES)
@pytest.mark.parametrize("outputs", [12, 24])
def test_perfect_equivariance_is_free_and_the_wrong_sign_is_not(omega: int, outputs: int) -> None:
    d = torch.arange(-15, 16)
    q = torch.arange(31) % 12
    row = torch.arange(31) % (outputs // 12) * 12
    a = one_hot(row + q, outputs)
    lower = one_hot(row + (q - d) % 12, outputs)
    higher = one_hot(row + (q + d) % 12, outputs)
    assert losses.key_loss(a, a, lower, d, omega).item() == pytest.approx(0, abs=1e-9)
    # One sample at a time: only half an octave reads the same both ways.
    for i in range(31):
        wrong = losses.key_loss(a[[i]], a[[i]], higher[[i]], d[[i]], omega).item()
        assert (wrong < 1e-9) == (int(d[i]) % 6 == 0)


@pytest.mark.parametrize("omega", CIRCLES)
def test_one_integer_shift_stands_for_the_batch(rng: np.random.Generator, omega: int) -> None:
    a, b, c = (torch.from_numpy(softmax(rng, 4, 12)) for _ in range(3))
    one = losses.key_loss(a, b, c, 5, omega)
    torch.testing.assert_close(one, losses.key_loss(a, b, c, torch.full((4,), 5), omega))


@pytest.mark.parametrize("omega", CIRCLES)
def test_uniform_outputs(omega: int) -> None:
    y = torch.full((3, 24), 1 / 24)
    d = torch.tensor([0, 3, -7])
    terms = losses.stone_losses(y, y, y, d, omega)
    assert terms["key"].item() == pytest.approx(1.5)
    assert terms["mode"].item() == pytest.approx(3 * math.log(2))
    assert losses.key_loss(y, y, y, d, omega, half=False).item() == pytest.approx(3)
    skey = losses.skey_losses(y, y, y, d, torch.rand(3, 12), omega)
    assert skey["mode"].item() == pytest.approx(3 * math.log(2))
    assert skey["balance"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("omega", CIRCLES)
@pytest.mark.parametrize("kind", ["one-hot", "disagreeing", "uniform", "saturated"])
@pytest.mark.parametrize("objective", ["stone", "supervised", "skey"])
def test_gradients_are_finite_at_the_extremes(omega: int, kind: str, objective: str) -> None:
    """Both with respect to the outputs and to the logits behind them."""
    if kind == "saturated":
        logits = (1e4 * one_hot([[0, 5], [17, 2], [23, 12]], 24)).requires_grad_()
        leaf, views = logits, logits.softmax(-1)
    else:
        index = {"one-hot": [[0, 5]] * 3, "disagreeing": [[0, 5], [17, 2], [23, 12]]}
        start = one_hot(index[kind], 24) if kind in index else torch.full((3, 2, 24), 1 / 24)
        leaf = views = start.clone().requires_grad_()
    d = torch.tensor([0, 4])
    if objective == "stone":
        terms = losses.stone_losses(*views, d, omega)
    elif objective == "supervised":
        terms = losses.supervised_losses(one_hot([3, 14], 24), *views[1:], d, omega)
    else:
        terms = losses.skey_losses(*views, d, torch.rand(2, 12), omega)
    terms["total"].backward()
    assert all(torch.isfinite(value) for value in terms.values())
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()


def test_bce_at_and_near_the_ends() -> None:
    p = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.25], requires_grad=True)
    t = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0], requires_grad=True)
    value = losses.bce(t, p)
    value.sum().backward()
    expected = [0.0, 0.0, math.log(1e6), math.log(1e6), math.log(4)]
    np.testing.assert_allclose(value.detach().numpy(), expected, atol=2e-6, rtol=1e-2)
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()
    assert t.grad is not None
    assert torch.isfinite(t.grad).all()


def test_gradients_agree_with_finite_differences(rng: np.random.Generator) -> None:
    logits = torch.from_numpy(rng.standard_normal((3, 4, 24))).requires_grad_()
    d = torch.tensor([0, 5, -3, 15])
    energy = torch.from_numpy(rng.random((4, 12)))

    def stone(x: torch.Tensor) -> torch.Tensor:
        return losses.stone_losses(*x.softmax(-1), d)["total"]

    def skey(x: torch.Tensor) -> torch.Tensor:
        return losses.skey_losses(*x.softmax(-1), d, energy)["total"]

    assert torch.autograd.gradcheck(stone, logits)
    assert torch.autograd.gradcheck(skey, logits)


def test_mode_loss_sends_gradients_through_the_target(rng: np.random.Generator) -> None:
    a, b, c = (torch.from_numpy(softmax(rng, 4, 24)) for _ in range(3))
    a.requires_grad_()
    losses.mode_loss(a, b, c).backward()  # A is never anything but a target here
    assert a.grad is not None
    assert a.grad.abs().sum() > 0


@pytest.mark.parametrize("omega", CIRCLES)
@pytest.mark.parametrize("outputs", [12, 24])
def test_supervised(rng: np.random.Generator, omega: int, outputs: int) -> None:
    b, c = (torch.from_numpy(softmax(rng, 5, outputs)).requires_grad_() for _ in range(2))
    label = one_hot(rng.integers(0, outputs, 5), outputs).double().requires_grad_()
    d = torch.arange(5)
    terms = losses.supervised_losses(label, b, c, d, omega)
    a_np, b_np, c_np = (y.detach().numpy() for y in (label, b, c))
    expected = np_key(a_np, b_np, c_np, d.numpy(), omega)
    if outputs == 24:
        expected += 1.5 * np_mode(a_np, b_np, c_np)
    assert terms["total"].item() == pytest.approx(expected, rel=1e-10)
    terms["total"].backward()
    assert label.grad is None
    assert b.grad is not None
    assert b.grad.abs().sum() > 0
    assert c.grad is not None
    assert c.grad.abs().sum() > 0


def test_supervised_is_least_at_the_label() -> None:
    d, label = torch.tensor([3]), one_hot([12 + 4], 24)
    right = losses.supervised_losses(label, label, one_hot([12 + 1], 24), d)["total"]
    assert right.item() == pytest.approx(0, abs=1e-4)
    for q in (15, 17, 4):
        wrong = losses.supervised_losses(label, one_hot([q], 24), one_hot([12 + 1], 24), d)
        assert wrong["total"] > 0.1


def test_chroma_averages_time_and_octaves(rng: np.random.Generator) -> None:
    x = rng.random((3, 1, 84, 10))
    expected = x[:, 0].mean(2).reshape(3, 7, 12).mean(1)
    np.testing.assert_allclose(losses.chroma(torch.from_numpy(x)).numpy(), expected)
    half = losses.chroma(torch.from_numpy(x).half())
    assert half.dtype == torch.float32
    np.testing.assert_allclose(half.numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("omega", CIRCLES)
@pytest.mark.parametrize("batch", [1, 40])
def test_skey_equals_the_formulas(rng: np.random.Generator, omega: int, batch: int) -> None:
    a, b, c = (softmax(rng, batch, 24) for _ in range(3))
    d = rng.integers(-15, 16, batch)
    energy = rng.random((batch, 12))
    terms = losses.skey_losses(*(torch.from_numpy(x) for x in (a, b, c, d, energy)), omega)

    q = ((a + b) / 2).reshape(batch, 2, 12).sum(1).argmax(1)
    sample = np.arange(batch)
    label = (energy[sample, q] > energy[sample, (q - 3) % 12]).astype(float)
    if batch > 1:
        assert 0 < label.mean() < 1
    key = np_key(a, b, c, d, omega)
    mode = sum(np_bce(label, y[:, :12].sum(1)) for y in (a, b, c))
    both = np.concatenate([a, b])
    balance = (both[:, :12].sum(1).mean() - 0.5) * (0.5 - both[:, 12:].sum(1).mean())
    assert terms["key"].item() == pytest.approx(key, rel=1e-10)
    assert terms["mode"].item() == pytest.approx(np.mean(mode), rel=1e-10)
    assert terms["balance"].item() == pytest.approx(balance, rel=1e-10)
    total = key + 1.5 * np.mean(mode) + 15 * balance
    assert terms["total"].item() == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize(("loud", "expected"), [(4, 1), (1, 0), (None, 0)])
@pytest.mark.parametrize("row", [0, 1])
def test_pseudo_label_compares_the_two_tonics(loud: int | None, expected: int, row: int) -> None:
    """Signature 4: major tonic at bin 4, relative minor's at bin 1; the row does not count."""
    y = one_hot([12 * row + 4], 24)
    energy = torch.zeros(1, 12)
    if loud is not None:
        energy[0, loud] = 0.5
    energy[0, [0, 2, 3, 5, 6, 7, 8, 9, 10, 11]] = 1
    assert losses.pseudo_label(y, y, energy).tolist() == [expected]


def test_pseudo_label_follows_the_crop(rng: np.random.Generator) -> None:
    """Crop input and outputs alike one semitone higher or lower: the same label."""
    x = torch.from_numpy(rng.random((20, 1, 99, 4)))
    y = torch.from_numpy(softmax(rng, 20, 24))
    labels = [
        losses.pseudo_label(
            y.reshape(-1, 2, 12).roll(-c, -1).flatten(1),
            y.reshape(-1, 2, 12).roll(-c, -1).flatten(1),
            losses.chroma(x[:, :, 0:84].reshape(20, 1, 7, 12, 4).roll(-c, 3).flatten(2, 3)),
        )
        for c in (0, 1, 5)
    ]
    assert torch.equal(labels[0], labels[1])
    assert torch.equal(labels[0], labels[2])
    assert 0 < labels[0].mean() < 1


def test_balance_over_two_halves_equals_the_joined_batch(rng: np.random.Generator) -> None:
    a, b = (torch.from_numpy(softmax(rng, 6, 24)) for _ in range(2))
    whole = losses.balance_loss(a, b)

    def other_half(mine: torch.Tensor) -> torch.Tensor:
        both = torch.cat((a[3:], b[3:])).reshape(-1, 2, 12).sum(-1).mean(0)
        return (mine + both) / 2

    torch.testing.assert_close(losses.balance_loss(a[:3], b[:3], other_half), whole)
    assert losses.balance_loss(a[:3], b[:3]) != whole


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_whatever_comes_in(rng: np.random.Generator, dtype: torch.dtype) -> None:
    a, b, c = (torch.from_numpy(softmax(rng, 8, 24)).to(dtype) for _ in range(3))
    d = torch.arange(8)
    energy = torch.rand(8, 12)
    with torch.autocast("cpu", dtype=dtype):
        low = losses.skey_losses(a, b, c, d, energy)
    high = losses.skey_losses(a.float(), b.float(), c.float(), d, energy)
    for name, value in low.items():
        assert value.dtype == torch.float32
        assert value.item() == high[name].item()


def test_errors() -> None:
    y12, y24 = torch.full((2, 12), 1 / 12), torch.full((2, 24), 1 / 24)
    with pytest.raises(ValueError, match="omega"):
        losses.circle(y12, 5)
    with pytest.raises(ValueError, match="shape"):
        losses.circle(torch.ones(2, 36))
    with pytest.raises(ValueError, match="24 outputs"):
        losses.mode_loss(y12, y12, y12)
    with pytest.raises(ValueError, match="24 outputs"):
        losses.balance_loss(y12, y12)
    with pytest.raises(ValueError, match="labels of shape"):
        losses.supervised_losses(y12, y24, y24, 0)
    with pytest.raises(ValueError, match="octaves"):
        losses.chroma(torch.ones(2, 1, 85, 3))


def test_everything_stays_on_the_device_of_the_outputs() -> None:
    """The meta device refuses to mix with the CPU, as a GPU does."""
    y, d = torch.ones(2, 24, device="meta"), torch.ones(2, dtype=torch.long, device="meta")
    energy = losses.chroma(torch.ones(2, 1, 84, 3, device="meta"))
    for terms in (
        losses.stone_losses(y, y, y, d),
        losses.supervised_losses(y, y, y, d),
        losses.skey_losses(y, y, y, d, energy),
    ):
        assert {value.device.type for value in terms.values()} == {"meta"}


def test_flat_loss_is_the_distance_from_uniform() -> None:
    y = torch.softmax(torch.randn(5, 24, generator=torch.Generator().manual_seed(0)), dim=1)
    p = y.double().numpy()
    expected = np.mean([np.log(24) + (row * np.log(row)).sum() for row in p])
    assert float(losses.flat_loss(y)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.flat_loss(torch.full((3, 12), 1 / 12))) == pytest.approx(0, abs=1e-6)
    sharp = torch.eye(24)[:2].requires_grad_()
    loss = losses.flat_loss(sharp)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(24), rel=1e-3)
    assert sharp.grad is not None
    assert bool(sharp.grad.isfinite().all())
