"""A user's own loss, augmentation, segment sampler and network, named in gin by import path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("gin")
pytest.importorskip("tensorboard")

from cli_tools import call  # noqa: E402
from toy_music import (  # noqa: E402
    SMALL,
    one_thread,  # noqa: F401
    random_batch,
    tiny_config,
    tiny_trainer,
    write_music,
)

from stonekey.model.checkpoint import CheckpointError, load_checkpoint  # noqa: E402
from stonekey.network.stone import Stone  # noqa: E402
from stonekey.training.config import ConfigError, load_config  # noqa: E402

PLUGINS = """
import torch
from torch import nn

seen = []

class Objective:
    def __init__(self, weight=1.0):
        self.weight = weight

    def __call__(self, y_a, y_b, y_c, shift, omega):
        seen.append(("objective", omega))
        near = (y_a - y_b).square().sum(1).mean() + 0 * y_c.sum()
        return {"near": near, "total": self.weight * near}

def no_total(y_a, y_b, y_c, shift, omega):
    return {"near": y_a.sum()}

def half_of_it(x, generator, factor=0.5):
    seen.append(("augmentation", x.shape[1]))
    return x * factor

def first_and_last(starts, length, generator):
    seen.append(("sampler", starts))
    return 0, starts - 1

def beyond(starts, length, generator):
    return 0, starts

class Network(nn.Module):
    def __init__(self, architecture, bins, channels=5):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.head = nn.Conv2d(channels, architecture.rows, 1)

    def forward(self, x):
        x = torch.relu(self.stem(x)).unflatten(2, (-1, 12)).mean((2, 4))
        return self.head(x[..., None]).flatten(1)
"""
OWN = (
    "loss.objective = @plugins_of_the_test.Objective",
    "plugins_of_the_test.Objective.weight = 2.0",
    'data.augment = ["equaliser", @plugins_of_the_test.half_of_it]',
    "data.sampler = @plugins_of_the_test.first_and_last",
    "ChromaNet.network = @plugins_of_the_test.Network",
    "plugins_of_the_test.Network.channels = 4",
)


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "plugins_of_the_test.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_run_with_parts_of_ones_own(
    plugins: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The issue's ``@mymodule.MyObjective``: nothing is registered or imported by hand."""
    manifest = write_music(tmp_path / "data")
    flags = ["-n", "own", "-tt", "ks_mode", "-s", tmp_path, "-e", "1", "-ts", "2", "-vs", "1",
             "--device", "cpu", "--data", manifest, "--cache", manifest.parent / "cache",
             "-b", "data.dataset_type_train = 'mix'", *SMALL]  # fmt: skip
    for line in OWN:
        flags += ["-b", line]
    assert call("train", *flags) == 0
    said = capfd.readouterr()
    assert "plugins_of_the_test.Objective.weight = 2.0" in said.out
    assert "validation total" in said.out
    assert "near" in said.out
    import plugins_of_the_test

    kinds = {kind for kind, _ in plugins_of_the_test.seen}
    assert kinds == {"objective", "augmentation", "sampler"}
    assert ("objective", 7) in plugins_of_the_test.seen
    path = tmp_path / "models" / "ks_mode" / "7" / "own" / "best.safetensors"
    with pytest.raises(CheckpointError, match=r"its network is plugins_of_the_test\.Network"):
        load_checkpoint(path)
    network = lambda **given: plugins_of_the_test.Network(channels=4, **given)  # noqa: E731
    stone = Stone.from_checkpoint(load_checkpoint(path, own_network=True), network)
    assert stone(torch.rand(1, stone.front_end.segment_samples)).shape == (1, 24)
    assert f"done: {path}" in said.out


def test_the_terms_of_ones_own_loss(plugins: Path, tmp_path: Path) -> None:
    config = tiny_config("ks", *OWN[:2])
    trainer = tiny_trainer(tmp_path, config)
    values = trainer.train_step(random_batch())
    assert values["total"] == pytest.approx(2 * values["near"], rel=1e-5)
    assert set(trainer.validate()) == {"near", "total"}
    wrong = tiny_trainer(
        tmp_path, tiny_config("ks", "loss.objective = @plugins_of_the_test.no_total")
    )
    with pytest.raises(ConfigError, match="'total'"):
        wrong.train_step(random_batch())


def test_the_text_of_a_configuration_names_import_paths(plugins: Path) -> None:
    config = tiny_config("ks_mode", *OWN)
    assert load_config(None, "ks_mode", config.text.splitlines()) == config
    for line in OWN[:2]:
        assert line in config.text


def test_gin_stays_open_for_modules_imported_later(plugins: Path) -> None:
    import gin

    tiny_config()
    gin.external_configurable(lambda: 3, name="registered_later", module="test")


def test_places_beyond_a_track_are_refused(plugins: Path, tmp_path: Path) -> None:
    from data_music import SHORT, write_tracks

    from stonekey.data.cache import build_cache
    from stonekey.data.loaders import CachedLoader

    tracks = build_cache(write_tracks(tmp_path, [9]), tmp_path / "c", SHORT, workers=1).tracks
    import plugins_of_the_test

    with (
        CachedLoader(
            tracks, batch_size=1, front_end=SHORT, sampler=plugins_of_the_test.beyond
        ) as loader,
        pytest.raises(ValueError, match="the sampler gives"),
    ):
        next(loader)
    with CachedLoader(
        tracks, batch_size=1, front_end=SHORT, sampler=plugins_of_the_test.first_and_last
    ) as loader:
        batch = next(loader)
    assert not np.array_equal(batch["a"], batch["b"])


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ("VQTT.fmin = 3", "there are VQT, ChromaNet, data, loss, optimizer"),
        ("data.batchsize = 3", "data has sample_rate, duration, batch_size"),
        ("loss.objective = 'other'", "must be one of stone, skey, @module.objective"),
        ("data.augment = ['gian']", "there are detune, equaliser, gain, noise, repeat"),
        ("loss.objective = @no_such_module.thing", "@no_such_module.thing"),
        ("loss.objective = @plugins_of_the_test.missing", "has no missing"),
        ("data.sampler = @plugins_of_the_test.first_and_last()", "first_and_last"),
        ("ChromaNet.network = 'resnet'", "ChromaNet.network"),
    ],
)
def test_unknown_names_list_what_there_is(plugins: Path, binding: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, "ks", [binding])
    assert said in str(error.value)
