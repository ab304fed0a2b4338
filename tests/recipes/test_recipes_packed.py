"""Packed music: the same segments as the cache gives, and what is done to them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from cli_tools import ROOT, music

pytest.importorskip("gin", reason="needs the train extra")

import torch

from stonekey.data.cache import CachedTrack, build_cache, read_track
from stonekey.data.loaders import scale
from stonekey.data.manifest import Track
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd

FRONT_END = FrontEnd(sample_rate=11025, hop=256, n_bins=91, segment_seconds=3, average=4)
FRAMES = FRONT_END.network_frames(FRONT_END.segment_samples)
SHARES = {"songs": 1.0, "clips": 1.0}


@pytest.fixture(scope="module")
def packed() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "recipes"))
        return import_module("packed")


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> list[CachedTrack]:
    folder = tmp_path_factory.mktemp("music")
    tracks = []
    for name, key in (("a", "C major"), ("b", "E minor"), ("c", "G major"), ("d", None)):
        music(folder / f"{name}.wav", key or "F major", 6.0)
        group = "songs" if key else "clips"
        label = {"key": Key.parse(key)} if key else {"keyless": True}
        tracks.append(Track(name, folder / f"{name}.wav", group=group, **label))
    return build_cache(tracks, folder / "cache", FRONT_END, workers=1, progress=False).tracks


@pytest.fixture(scope="module")
def path(
    packed: ModuleType, cached: list[CachedTrack], tmp_path_factory: pytest.TempPathFactory
) -> str:
    path: Path = tmp_path_factory.mktemp("packed") / "music.npz"
    packed.pack(cached, [False, False, True, False], FRONT_END, path, other=np.eye(24)[:4])
    return str(path)


def loader(packed: ModuleType, path: str, **settings: Any) -> Any:
    data = packed.Packed([path], "cpu", FRAMES, valid=False)
    return packed.Loader(data, 64, SHARES, 0, **settings)


def test_segments_are_those_of_the_cache(
    packed: ModuleType, cached: list[CachedTrack], path: str
) -> None:
    data = packed.Packed([path], "cpu", FRAMES, valid=False)
    assert len(data) == 3
    start = torch.tensor([0.0])
    got = packed.network_input(data.cut(torch.tensor([1]), start))[0, 0]
    frames = read_track(cached[1], FRONT_END.n_bins)[: 4 * FRAMES]
    wanted = scale(torch.from_numpy(frames)[None], 4)[0, 0]
    # Of half a decibel in the 80 of the unit; the two differ by the level, which says nothing.
    difference = got - wanted
    assert difference.max() - difference.min() < 1.01 / 80
    assert got.min() >= 0
    assert got.max() == 1


def test_labels_splits_and_other_targets(packed: ModuleType, path: str) -> None:
    (held_out,) = packed.validation([path], 8, FRAMES, "cpu")
    assert held_out["label"].argmax() == Key.parse("G major").index
    other = packed.Packed([path], "cpu", FRAMES, valid=False, targets="other")
    assert other.target.argmax(dim=1).tolist() == [0, 1, 3]
    same = packed.Packed([path], "cpu", FRAMES, valid=False, targets="unknown")
    assert same.target[0].argmax() == Key.parse("C major").index


def test_batches_repeat_and_resume(packed: ModuleType, path: str) -> None:
    first, second = (
        loader(packed, path, mask=0.5, noise=0.5),
        loader(packed, path, mask=0.5, noise=0.5),
    )
    batches = [next(first) for _ in range(3)]
    second.load_state_dict({"step": 2})
    again = next(second)
    assert all(torch.equal(batches[2][name], again[name]) for name in again)
    assert not torch.equal(batches[1]["a"], again["a"])
    # Half of the segments have no key, of the others half are in minor.
    modes = torch.cat([b["label"] for b in batches])
    sure = modes.amax(dim=1) > 0.5
    assert 0.35 < sure.float().mean() < 0.65
    minor = modes[sure].argmax(dim=1) == Key.parse("E minor").index
    assert 0.3 < minor.float().mean() < 0.7


def test_masks_and_disturbances(packed: ModuleType, path: str) -> None:
    plain, masked = next(loader(packed, path)), next(loader(packed, path, mask=1.0))
    silent = (masked["a"] == 0).all(dim=2)[:, 0]
    assert silent.any()
    assert silent.float().mean() < packed.MASKED
    kept = ~silent[:, None, None].expand_as(plain["a"])
    assert torch.equal(masked["a"][kept], plain["a"][kept])
    disturbed = next(loader(packed, path, noise=1.0))
    assert torch.equal(disturbed["label"], plain["label"])
    # What is added fills what was quiet; it is never louder than the music.
    assert (disturbed["a"] - plain["a"]).mean() > 0.01
    assert not torch.equal(next(loader(packed, path, noise=0.0))["a"], disturbed["a"])


def test_teachers_answers_are_labels(packed: ModuleType, path: str) -> None:
    from stonekey.model.settings import Architecture
    from stonekey.network.stone import Stone
    from stonekey.training.objective import natural_table

    architecture = Architecture(outputs=24, norm="joint", channels=(4, 4), kernels=(3, 3))
    torch.manual_seed(0)
    stone = Stone(FRONT_END, architecture, natural_table(FRONT_END, 24)).eval()
    own = next(loader(packed, path))
    taught = next(loader(packed, path, teachers=[stone], trust=0.75))
    wanted = 0.25 * own["label"] + 0.75 * packed.answers(stone, own["a"])
    assert torch.allclose(taught["label"], wanted, atol=1e-6)
    assert torch.allclose(taught["label"].sum(dim=1), torch.ones(64))
