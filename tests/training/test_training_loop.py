"""The loop: schedules as set, restores, early stopping, validation, checkpoints, a full disk."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
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

from stonekey.data.batch import TrainingBatch  # noqa: E402
from stonekey.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint  # noqa: E402
from stonekey.training.loop import MAX_RESTORES, MAX_SKIPPED, DivergedError, Trainer  # noqa: E402
from stonekey.training.state import load_state, save_state  # noqa: E402


def test_a_run_leaves_its_models(tmp_path: Path) -> None:
    seen = []
    trainer = tiny_trainer(tmp_path, epochs=3, keep_epochs=2)
    progress = trainer.fit(lambda progress, values: seen.append((progress.step, values["total"])))
    assert (progress.epoch, progress.step) == (3, 9)
    assert [step for step, _ in seen] == list(range(1, 10))
    assert all(math.isfinite(total) for _, total in seen)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["best.safetensors", "epoch_2.safetensors", "last.pt"]
    best = load_checkpoint(tmp_path / "best.safetensors")
    record = best.info.training
    assert record["config"] == trainer.config.text
    assert record["validation"]["total"] == progress.best_loss
    assert best.info.front_end == trainer.config.front_end
    assert best.info.omega == 7


def test_schedules_reach_the_optimiser(tmp_path: Path) -> None:
    config = tiny_config("ks", "optimizer.n_epochs_cosine = 2", "optimizer.final_weight_decay=0.5")
    trainer = tiny_trainer(tmp_path, config, epochs=9, train_steps=5, learning_rate=1e-2)
    for step, rate, decay in ((0, 1e-2, 0.04), (5, (1e-2 + 5e-8) / 2, 0.27), (10, 5e-8, 0.5)):
        trainer.progress.step = step
        values = trainer.train_step(random_batch())
        assert values["learning_rate"] == pytest.approx(rate)
        assert values["weight_decay"] == pytest.approx(decay)
        groups = trainer.optimizer.param_groups
        assert [group["lr"] for group in groups] == [pytest.approx(rate)] * 2
        decays = {group["decayed"]: group["weight_decay"] for group in groups}
        assert decays == {True: pytest.approx(decay), False: 0.0}


def test_gradients_are_clipped_before_the_step(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, tiny_config("ks", "optimizer.clip = 1e-3"))
    values = trainer.train_step(random_batch())
    norms = [p.grad.norm().item() for p in trainer.network.parameters()]
    assert max(norms) <= 1.001e-3
    assert values["gradient_norm"] > 1e-3


def test_validation_is_the_same_each_time(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, tiny_config("ks_mode"))
    first = trainer.validate()
    torch.rand(100)
    state = torch.get_rng_state()
    assert trainer.validate() == first
    assert torch.equal(torch.get_rng_state(), state)
    assert set(first) == {"key", "mode", "total"}
    before = {name: value.clone() for name, value in trainer.stone.chromanet.state_dict().items()}
    trainer.validate()
    after = trainer.stone.chromanet.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    trainer.train_step(random_batch())
    assert trainer.validate() != first


def test_validation_is_a_mean_over_items_and_kinds(tmp_path: Path) -> None:
    """Batches of other sizes and kinds count by their items."""
    trainer = tiny_trainer(tmp_path, tiny_config("ks_mode", "loss.objective = 'skey'"))
    plain, labels = random_batch(3, seed=5), random_batch(1, True, seed=6)
    trainer.validation = lambda: iter([plain])
    first = trainer.validate()
    trainer.validation = lambda: iter([labels])
    second = trainer.validate()
    assert set(second) == {"key", "mode", "flat", "total"}
    trainer.validation = lambda: iter([plain, labels])
    both = trainer.validate()
    assert both["key"] == pytest.approx((3 * first["key"] + second["key"]) / 4, rel=1e-5)
    assert both["balance"] == pytest.approx(first["balance"], rel=1e-5)


def test_validation_stops_after_its_steps(tmp_path: Path) -> None:
    def endless() -> Iterator[object]:
        while True:
            yield random_batch(2)

    trainer = tiny_trainer(tmp_path, val_steps=2)
    trainer.validation = endless  # type: ignore[assignment]
    assert math.isfinite(trainer.validate()["total"])


def test_a_loss_that_is_not_finite_restores_the_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = Batches(broken={4})  # in the second epoch
    trainer = tiny_trainer(tmp_path, batches=batches, epochs=3)
    progress = trainer.fit()
    said = capsys.readouterr().out
    assert "not finite at step 4: going back to the checkpoint of epoch 1 (1 of 3 tries)" in said
    assert (progress.epoch, progress.step) == (3, 9)
    assert progress.restores == 0  # forgotten once an epoch went well
    assert batches.step == 9 + 2  # the broken batch and the one before it are not tried again
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())


def test_restoring_takes_the_weights_of_the_checkpoint(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, batches=Batches(broken={4}), epochs=2)
    restored = []
    original = trainer._restore

    def restore() -> None:
        original()
        state = load_state(tmp_path)
        assert state is not None
        now = trainer.stone.chromanet.state_dict()
        restored.append(all(torch.equal(value, now[k]) for k, value in state["network"].items()))

    trainer._restore = restore  # type: ignore[method-assign]
    trainer.fit()
    assert restored == [True]


def test_going_back_is_bounded(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, batches=Batches(broken=range(4, 1000)), epochs=5)
    with pytest.raises(DivergedError, match="not finite at step 3"):
        trainer.fit()
    assert trainer.progress.restores == MAX_RESTORES
    assert trainer.progress.epoch == 1
    assert load_checkpoint(tmp_path / "best.safetensors").info.training["epoch"] == 1


def test_a_first_epoch_that_fails_is_bounded_too(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        tiny_trainer(tmp_path, batches=Batches(broken=range(1000))).fit()


def test_a_gradient_that_is_not_finite_is_skipped_and_counted(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, train_steps=3, epochs=1)
    weight = trainer.stone.chromanet.classifier.weight
    handle = weight.register_hook(lambda gradient: gradient * math.inf)
    before = weight.detach().clone()
    values = trainer.train_step(random_batch())
    assert not math.isfinite(values["gradient_norm"])
    assert trainer.progress.skipped == 1
    assert torch.equal(weight, before)
    handle.remove()
    assert math.isfinite(trainer.train_step(random_batch())["gradient_norm"])
    assert not torch.equal(weight, before)


def test_gradients_that_are_never_finite_end_the_run(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, epochs=2, train_steps=MAX_SKIPPED + 5)
    trainer.stone.chromanet.classifier.bias.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(DivergedError):
        trainer.fit()


def test_early_stopping_stops(tmp_path: Path) -> None:
    trainer = tiny_trainer(
        tmp_path, tiny_config("ks", "optimizer.patience = 2"), epochs=50, train_steps=1
    )
    losses = iter([1.0, 0.9, 0.95, 0.8, 0.81, 0.82, 0.1])
    trainer.validate = lambda: {"total": next(losses)}  # type: ignore[method-assign]
    progress = trainer.fit()
    assert progress.epoch == 6
    assert progress.best_loss == 0.8
    assert load_checkpoint(tmp_path / "best.safetensors").info.training["epoch"] == 4
    again = tiny_trainer(tmp_path, trainer.config, epochs=50, train_steps=1)
    assert again.resume()
    assert again.fit().epoch == 6  # stays stopped


def test_resuming_in_the_loop_is_exact(tmp_path: Path) -> None:
    """Weights, their mean, optimiser, schedule, draws, place of the loader, record of the best."""
    config = tiny_config("ks_mode", "ChromaNet.drop_path = 0.3", "optimizer.average = 0.9")
    alone = tiny_trainer(tmp_path / "a", config, epochs=4)
    alone.fit()
    tiny_trainer(tmp_path / "b", config, epochs=2).fit()
    # The schedules follow the number of epochs: the first two of four, then the rest.
    first = tiny_trainer(tmp_path / "c", config, epochs=4)
    first.plan = type(first.plan)(**(vars(first.plan) | {"epochs": 4}))
    first._train_epoch(None)
    first.progress.epoch += 1
    first._end_epoch()
    first.train_step(next(first.batches))  # lost: not saved
    torch.rand(17)
    second = tiny_trainer(tmp_path / "c", config, epochs=4)
    assert second.resume()
    assert second.progress.epoch == 1
    second.fit()
    assert vars(second.progress) == vars(alone.progress)
    a, c = load_state(tmp_path / "a"), load_state(tmp_path / "c")
    assert equal(a, c)
    assert not equal(a, load_state(tmp_path / "b"))


def test_the_mean_of_the_weights_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    plain = tiny_trainer(tmp_path / "a", tiny_config("ks_mode"), epochs=1)
    averaging = tiny_config("ks_mode", "optimizer.average = 0.999")
    averaged = tiny_trainer(tmp_path / "b", averaging, epochs=1)
    trained: list[torch.Tensor] = []

    def weight(trainer: Trainer, name: str = "stone") -> torch.Tensor:
        stone = getattr(trainer, name)
        return stone.chromanet.convnext_blocks[0].pwconv1.weight.detach().clone()

    expected = weight(averaged)
    for step in range(3):
        for trainer in (plain, averaged):
            trainer.train_step(next(trainer.batches))
            trainer.progress.step += 1
        trained.append(weight(averaged))
        hold = (step + 1) / (step + 10)
        expected = hold * expected + (1 - hold) * trained[-1]
        assert torch.equal(trained[-1], weight(plain))
    torch.testing.assert_close(weight(averaged, "kept"), expected)
    assert plain.validate() != averaged.validate()
    kept = averaged.checkpoint().tensors["convnext_blocks.0.pwconv1.weight"]
    torch.testing.assert_close(torch.from_numpy(kept), expected)


def equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_seeds_and_steps_draw_differently(tmp_path: Path) -> None:
    trainers = [tiny_trainer(tmp_path, seed=seed) for seed in (0, 0, 1)]
    draws = []
    for trainer in trainers:
        trainer._seed_step()
        draws.append(torch.randint(1000, (20,), generator=trainer._crops))
        trainer.progress.step += 1
        trainer._seed_step()
        draws.append(torch.randint(1000, (20,), generator=trainer._crops))
    assert torch.equal(draws[0], draws[2])
    assert len({tuple(draw.tolist()) for draw in draws}) == 4


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut short"])
def test_a_broken_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.pt"):
        tiny_trainer(tmp_path).resume()


def test_a_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    for contents in ({"version": 99, "network": {}}, [1, 2], {"network": {}}):
        torch.save(contents, tmp_path / "last.pt")
        with pytest.raises(CheckpointError, match="of this version"):
            load_state(tmp_path)
    torch.save({"version": 1, "progress": Batches()}, tmp_path / "last.pt")  # runs code when read
    with pytest.raises(CheckpointError):
        load_state(tmp_path)


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    tiny_trainer(tmp_path, epochs=1).fit()
    with pytest.raises(CheckpointError, match="another network"):
        tiny_trainer(tmp_path, tiny_config("ks_mode")).resume()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_checkpoints(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, epochs=1)
    trainer.fit()
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(kept["last.pt"]) > 20_000
    with files_of_at_most(10_000):
        with pytest.raises(OSError, match=r"last\.pt"):
            trainer._save()
        with pytest.raises(OSError, match=r"large|space"):
            save_checkpoint(trainer.checkpoint(), tmp_path / "best.safetensors")
        with pytest.raises(OSError, match=r"last\.pt"):
            save_state(tmp_path, {"network": {"x": torch.zeros(100_000)}})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    again = tiny_trainer(tmp_path, epochs=2)
    assert again.resume()
    assert again.fit().epoch == 2


def test_half_precision_trains(tmp_path: Path) -> None:
    from lightning_fabric import Fabric

    base = tiny_trainer(tmp_path, tiny_config("ks_mode"), epochs=1)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    trainer = Trainer(fabric, base.config, base.plan, Batches(), base.validation)
    trainer.fit()
    assert trainer.progress.skipped == 0
    assert all(p.dtype == torch.float32 for p in trainer.network.parameters())
    exact = tiny_trainer(tmp_path / "b", base.config)
    exact.stone.chromanet.load_state_dict(trainer.stone.chromanet.state_dict())
    half, full = trainer.validate(), exact.validate()
    assert half != full  # really computed in half precision
    assert half["total"] == pytest.approx(full["total"], rel=0.05)


@pytest.mark.parametrize("objective", ["stone", "skey"])
def test_two_bins_to_a_semitone_and_two_harmonics(tmp_path: Path, objective: str) -> None:
    config = tiny_config(
        "ks_mode", "VQT.bins_per_octave = 24", "VQT.n_bins = 198", "ChromaNet.n_bins = 144",
        "VQT.harmonics = [1, 2]", f"loss.objective = '{objective}'",
    )  # fmt: skip
    assert config.front_end.transpositions == 16
    pair = torch.rand(2, 2, 1, 198, 173)
    batches = [TrainingBatch(*pair), TrainingBatch(pair[0], labels=torch.eye(24)[:2])]
    trainer = tiny_trainer(tmp_path, config, iter(batches))
    for batch in batches:
        values = trainer.train_step(batch)
        assert math.isfinite(values["total"])
        assert values["gradient_norm"] > 0
    trainer.validation = lambda: iter(batches)
    assert math.isfinite(trainer.validate()["total"])
