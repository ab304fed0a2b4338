"""One step of every mode and circle: losses, gradients, class order."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

from toy_music import (  # noqa: E402
    Batches,
    one_thread,  # noqa: F401 - used by every test
    random_batch,
    tiny_config,
    tiny_trainer,
)

from stonekey.data.batch import TrainingBatch, key_targets  # noqa: E402
from stonekey.keys import Key, KeySignature  # noqa: E402
from stonekey.model.settings import FrontEnd  # noqa: E402
from stonekey.training.config import LossConfig  # noqa: E402
from stonekey.training.losses import key_loss, stone_losses  # noqa: E402
from stonekey.training.objective import (  # noqa: E402
    Objective,
    natural_table,
    outputs_of_keys,
    profile_on_circle,
)
from stonekey.training.views import Crops, make_views  # noqa: E402

PLAIN = LossConfig()


class Labels(Batches):
    """Supervised batches, or the two kinds in turn."""

    def __init__(self, mode: str, size: int = 2) -> None:
        super().__init__(size=size)
        self.mode = mode

    def __next__(self) -> TrainingBatch:
        self.step += 1
        kind = self.mode == "supervised" or (self.mode == "mix" and self.step % 2 == 0)
        return random_batch(self.size, kind, self.step)


@pytest.mark.parametrize(
    ("mode", "objective", "train_type", "omega"),
    [
        case
        for case in product(
            ("selfsupervised", "supervised", "mix"), ("stone", "skey"), ("ks", "ks_mode"), (1, 7)
        )
        if case[1:3] != ("skey", "ks")
    ],
)
@pytest.mark.parametrize("size", [1, 3])
def test_every_mode_trains_on_both_circles(
    mode: str, objective: str, train_type: str, omega: int, size: int, tmp_path: Path
) -> None:
    config = tiny_config(train_type, f"loss.objective = '{objective}'")
    trainer = tiny_trainer(tmp_path, config, omega=omega)
    batches = Labels(mode, size)
    for batch in [next(batches) for _ in range(2 if mode == "mix" else 1)]:
        before = [p.detach().clone() for p in trainer.network.parameters()]
        values = trainer.train_step(batch)
        names = {"key", "total"} | ({"mode"} if train_type == "ks_mode" else set())
        if batch.supervised:
            names |= {"flat"}
        if objective == "skey" and not batch.supervised:
            names |= {"balance"}
        assert names | {"gradient_norm", "learning_rate", "weight_decay"} == set(values)
        assert all(math.isfinite(value) for value in values.values())
        assert values["gradient_norm"] > 0
        changed = [
            not torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True)
        ]
        assert sum(changed) > 0.8 * len(changed)


@pytest.mark.parametrize("outputs", [12, 24])
def test_one_pass_over_all_views_gives_the_losses_of_three(outputs: int) -> None:
    objective = Objective(PLAIN, 7, FrontEnd(), outputs)
    weights = torch.randn(84, outputs, generator=torch.Generator().manual_seed(0))

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.mean(dim=(1, 3)) @ weights * 20, dim=1)

    batch = random_batch(4)
    crops = Crops(torch.tensor([0, 3, 15, 7]), torch.tensor([5, 3, 0, 15]))
    terms = objective(network, batch, crops)
    assert batch.b is not None
    views = make_views(batch.a, batch.b, crops)
    expected = stone_losses(
        network(views.a), network(views.b), network(views.c), crops.second - crops.first, 7
    )
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(terms[name], value, atol=1e-6)


def test_weights_of_the_terms() -> None:
    batch, crops = random_batch(2), Crops(torch.tensor([0, 1]), torch.tensor([4, 9]))

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x[:, 0, :24, 0] * 5, dim=1)

    for kind, balance in (("stone", 0.0), ("skey", 4.0)):
        loss = LossConfig(kind, 2.0, 3.0, 4.0)  # type: ignore[arg-type]
        terms = Objective(loss, 7, FrontEnd(), 24)(network, batch, crops)
        total = 2 * terms["key"] + 3 * terms["mode"]
        if balance:
            total = total + balance * terms["balance"]
        assert torch.allclose(terms["total"], total, atol=1e-6)


@pytest.mark.parametrize("key", ["C major", "A minor", "F# minor", "Eb major"])
@pytest.mark.parametrize("outputs", [12, 24])
def test_a_network_that_answers_the_label_has_no_key_loss(key: str, outputs: int) -> None:
    """The class order that supervised training aims at turns with the crop."""
    wanted = Key.parse(key)
    table = natural_table(FrontEnd(), outputs)
    place = table.index(wanted.signature if outputs == 12 else wanted)
    shift = torch.tensor([0, 5, 11, 15])

    def network(x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros(8, outputs)
        row, column = divmod(place, 12)
        for i, d in enumerate([0] * 4 + shift.tolist()):
            y[i, 12 * row + (column - d) % 12] = 1.0
        return y

    batch = TrainingBatch(torch.rand(4, 1, 99, 140), labels=key_targets([wanted] * 4))
    objective = Objective(PLAIN, 7, FrontEnd(), outputs)
    terms = objective(network, batch, Crops(torch.zeros_like(shift), shift))
    assert terms["key"].item() == pytest.approx(0, abs=1e-6)
    wrong = objective(
        lambda x: network(x).roll(1, dims=1), batch, Crops(torch.zeros_like(shift), shift)
    )
    assert wrong["key"].item() > 0.1


def test_natural_table() -> None:
    twelve, both = natural_table(FrontEnd(), 12), natural_table(FrontEnd(), 24)
    assert twelve[0] == KeySignature.parse("A major")
    assert str(both[0]) == "A major"
    assert str(both[12]) == "F# minor"  # relative keys side by side
    assert all(a.signature == b.signature for a, b in zip(both[:12], both[12:], strict=True))  # type: ignore[union-attr]
    assert str(natural_table(FrontEnd(fmin=32.703195662574826), 12)[0]).startswith("C major")
    places = outputs_of_keys(both)
    assert places.sum(dim=0).tolist() == places.sum(dim=1).tolist() == [1] * 24
    assert places[Key.parse("F# minor").index, 12] == 1
    assert outputs_of_keys(twelve)[Key.parse("F# minor").index, 0] == 1


def test_profile_is_in_the_order_of_fifths() -> None:
    y = torch.zeros(1, 24)
    y[0, 7], y[0, 12 + 2] = 0.75, 0.25
    assert torch.allclose(profile_on_circle(y)[:3], torch.tensor([0.0, 0.75, 0.25]))


def test_the_factor_one_half_can_be_left_out() -> None:
    batch, crops = random_batch(2), Crops(torch.tensor([0, 1]), torch.tensor([4, 9]))

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x[:, 0, :12, 0] * 5, dim=1)

    full = Objective(LossConfig(half=False), 1, FrontEnd(), 12)
    half = Objective(PLAIN, 1, FrontEnd(), 12)
    ratio = full(network, batch, crops)["key"] / half(network, batch, crops)["key"]
    assert ratio.item() == pytest.approx(2, rel=1e-5)
    uniform = torch.full((1, 12), 1 / 12)
    assert key_loss(uniform, uniform, uniform, 3, 1).item() == pytest.approx(1.5)


def test_music_without_a_key_is_to_give_flat_outputs() -> None:
    """The terms are means over the whole batch; what has no key counts in ``flat`` alone."""
    objective = Objective(PLAIN, 7, FrontEnd(), 24)
    batch = random_batch(4, True, 1)
    assert batch.labels is not None
    labels = batch.labels.clone()
    labels[1] = 1 / 24
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(84, 24, generator=generator)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.mean(dim=(1, 3)) @ weight, dim=1)

    crops = Crops(torch.zeros(4, dtype=torch.int64), torch.tensor([1, 2, 3, 4]))
    terms = objective(network, TrainingBatch(batch.a, labels=labels), crops)
    kept = torch.tensor([0, 2, 3])
    known = objective(
        network,
        TrainingBatch(batch.a[kept], labels=labels[kept]),
        Crops(crops.first[kept], crops.second[kept]),
    )
    assert float(known["flat"]) == 0
    for name in ("key", "mode"):
        assert float(terms[name]) == pytest.approx(0.75 * float(known[name]), rel=1e-5)
    y = torch.cat([network(batch.a[1:2, :, start : start + 84]) for start in (0, 2)]).double()
    flat = (math.log(24) + (y * y.log()).sum(dim=1)).mean()
    assert float(terms["flat"]) == pytest.approx(float(flat) / 4, rel=1e-4)
    expected = terms["key"] + 1.5 * terms["mode"] + terms["flat"]
    assert float(terms["total"]) == pytest.approx(float(expected), rel=1e-5)
    none = objective(network, TrainingBatch(batch.a, labels=key_targets(["no key"] * 4)), crops)
    assert float(none["total"]) == pytest.approx(float(none["flat"]))


@pytest.mark.parametrize("outputs", [12, 24])
def test_cross_entropy_compares_with_the_label_as_it_sounds_in_the_crop(outputs: int) -> None:
    loss = replace(PLAIN, labels="cross_entropy")
    objective = Objective(loss, 7, FrontEnd(), outputs)
    labels = torch.zeros(4, 24)
    labels[:, Key.parse("C major").index], labels[:, Key.parse("C minor").index] = 0.75, 0.25
    batch = TrainingBatch(torch.rand(4, 1, 99, 140), labels=labels)
    shift = torch.tensor([0, 3, 12, 15])
    table = natural_table(FrontEnd(), outputs)

    def network(x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros(4, outputs)
        for row, d in enumerate(shift.tolist()):
            assert torch.equal(x[row], batch.a[row, :, d : d + 84])
            for name, share in (("C major", 0.75), ("C minor", 0.25)):
                key = Key.parse(name).transpose(-d)
                y[row, table.index(key.signature if outputs == 12 else key)] += share
        return y

    crops = Crops(torch.zeros_like(shift), shift)
    assert objective(network, batch, crops)["total"].item() == pytest.approx(0, abs=1e-6)
    turned = objective(lambda x: network(x).roll(1, dims=1), batch, crops)
    assert turned["total"].item() > 1
    smooth = Objective(replace(loss, smoothing=0.1), 7, FrontEnd(), outputs)
    assert smooth(network, batch, crops)["total"].item() > 0.1
    flat = TrainingBatch(batch.a, labels=key_targets(["no key"] * 4))
    uniform = torch.full((4, outputs), 1 / outputs)
    assert smooth(lambda x: uniform, flat, crops)["total"].item() == pytest.approx(0, abs=1e-6)
