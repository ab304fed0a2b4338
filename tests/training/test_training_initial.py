"""Starting from another model's weights, and configurations that include others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cli_tools import ROOT

from stonekey.model.checkpoint import load_checkpoint
from stonekey.model.registry import find_model
from stonekey.model.settings import Architecture, FrontEnd
from stonekey.network.stone import Stone
from stonekey.training.config import ConfigError, load_config
from stonekey.training.initial import initialise


def random_stone(**settings: object) -> Stone:
    torch.manual_seed(len(settings))
    stone = Stone(FrontEnd(), Architecture(**settings))  # type: ignore[arg-type]
    for parameter in stone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return stone.eval()


def test_twelve_start_twenty_four() -> None:
    source = random_stone(outputs=12, norm="joint")
    target = random_stone(outputs=24, norm="joint")
    initialise(target.chromanet, source.to_checkpoint("source"))
    x = torch.rand(2, 1, 84, 260)
    features = [s.chromanet.pool(s.chromanet.features(x)) for s in (source, target)]
    assert torch.equal(*features)
    expected = source.chromanet.classifier(features[0])[:, 0]
    rows = target.chromanet.classifier(features[1])
    assert torch.allclose(rows[:, 0], expected)
    assert torch.allclose(rows[:, 1], expected)


def test_same_outputs_start_equal() -> None:
    source = random_stone(outputs=24, norm="joint")
    target = random_stone(outputs=24, norm="joint", drop_path=0.0)
    initialise(target.chromanet, source.to_checkpoint("source"))
    x = torch.rand(2, 1, 84, 260)
    assert torch.equal(source.chromanet(x), target.eval().chromanet(x))


@pytest.mark.parametrize(
    "other",
    [{"outputs": 12, "norm": "frame"}, {"outputs": 24, "norm": "joint"}, {"kernels": (5,) * 7}],
)
def test_another_network_is_refused(other: dict) -> None:
    target = random_stone(outputs=12, norm="joint")
    source = random_stone(**{"norm": "joint", **other})
    before = {k: v.clone() for k, v in target.chromanet.state_dict().items()}
    with pytest.raises(ConfigError, match="another network"):
        initialise(target.chromanet, source.to_checkpoint("source"))
    after = target.chromanet.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize(("name", "kind"), [("stone12", "ks"), ("stone24", "ks_mode")])
def test_shipped_configurations_are_those_of_the_shipped_models(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # what is included lies beside the file, wherever we are
    config = load_config(str(ROOT / "config" / f"{name}.gin"), kind)  # type: ignore[arg-type]
    info = load_checkpoint(find_model(name).with_suffix(".safetensors")).info
    assert (config.front_end, config.architecture) == (info.front_end, info.architecture)
