"""Configuration: the published parameters, what they change, and mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("gin")
torch = pytest.importorskip("torch")

from toy_music import ROOT, TINY, tiny_config  # noqa: E402

from stonekey.model.settings import Architecture, FrontEnd  # noqa: E402
from stonekey.network.stone import Stone  # noqa: E402
from stonekey.training.config import ConfigError, load_config  # noqa: E402

# Every parameter of the published configuration files, under our names.
PUBLISHED = """
VQT.harmonics = [1]
VQT.fmin = 27.5
VQT.n_bins = 99
VQT.bins_per_octave = 12
ChromaNet.n_bins = 84
ChromaNet.out_channels = [2, 3, 40, 40, 30, 10, 3]
ChromaNet.kernels = [7, 7, 7, 7, 7, 5, 5]
ChromaNet.temperature = 1
data.sample_rate = 22050
data.duration = 15
data.batch_size = 128
data.dataset_type_train = "{mode}"
data.dataset_type_test = "selfsupervised"
"""


def names(text: str) -> set[str]:
    lines = (line.split("=")[0].strip() for line in text.splitlines() if "=" in line)
    return {line for line in lines if not line.startswith("#")}


@pytest.mark.parametrize(("train_type", "mode"), [("ks", "selfsupervised"), ("ks_mode", "mix")])
def test_the_files_bind_every_published_parameter(train_type: str, mode: str) -> None:
    file = ROOT / "config" / f"{train_type}.gin"
    assert names(PUBLISHED) <= names(file.read_text())
    config = load_config(str(file), train_type)  # type: ignore[arg-type]
    same = load_config(None, train_type, PUBLISHED.format(mode=mode).splitlines())  # type: ignore[arg-type]
    assert config.front_end == same.front_end == FrontEnd()
    outputs, norm = (12, "frame") if train_type == "ks" else (24, "joint")
    wanted = Architecture(outputs=outputs, norm=norm)  # type: ignore[arg-type]
    assert config.architecture == same.architecture == wanted
    assert config.data == same.data
    assert (config.data.batch_size, config.data.dataset_type_train) == (128, mode)
    assert config.optimizer.n_epochs_cosine == 999


def test_published_spelling_of_the_self_supervised_mode() -> None:
    config = load_config(None, "ks", ['data.dataset_type_train = "unsupervised"'])
    assert config.data.dataset_type_train == "selfsupervised"


def test_sample_rate_and_bins_change_the_front_end() -> None:
    config = tiny_config(
        "ks_mode",
        "data.sample_rate = 16000",
        "VQT.n_bins = 75",
        "VQT.fmin = 55.0",
        "ChromaNet.n_bins = 72",
        "VQT.hop = 256",
        "data.duration = 3",
        "ChromaNet.temperature = 0.5",
    )
    assert config.front_end == FrontEnd(16000, 256, 55.0, 75, 12, 72, 3.0)
    assert config.architecture.temperature == 0.5
    stone = Stone(config.front_end, config.architecture).eval()
    time = torch.arange(3 * 16000) / 16000
    tone = torch.sin(2 * torch.pi * 220 * time)[None]
    x = stone.log_vqt(tone)
    assert x.shape == (1, 1, 75, 3 * 16000 // 256 + 1)
    assert int(x[0, 0].mean(dim=1).argmax()) == 24  # two octaves above 55 Hz
    with torch.inference_mode():
        assert stone(tone).shape == (1, 24)


def test_norm_can_be_chosen() -> None:
    assert tiny_config("ks", 'ChromaNet.norm = "joint"').architecture.norm == "joint"


def test_bindings_win_over_the_file_and_the_text_says_what_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.gin"
    file.write_text("data.batch_size = 7\noptimizer.clip = 2.5\n")
    config = load_config(str(file), "ks", ["data.batch_size = 9"])
    assert (config.data.batch_size, config.optimizer.clip) == (9, 2.5)
    lines = config.text.splitlines()
    assert "data.batch_size = 9" in lines
    assert "optimizer.clip = 2.5" in lines
    assert "loss.mode_weight = 1.5" in lines  # a default
    assert load_config(str(file), "ks").data.batch_size == 7  # nothing stays behind


def test_the_text_is_itself_a_configuration() -> None:
    config = tiny_config("ks_mode", "loss.half = False", "optimizer.patience = 4")
    again = load_config(None, "ks_mode", config.text.splitlines())
    assert again == config


def test_files_may_include_others(tmp_path: Path) -> None:
    (tmp_path / "base.gin").write_text("data.batch_size = 5\nloss.key_weight = 2.0\n")
    (tmp_path / "top.gin").write_text(f"include '{tmp_path / 'base.gin'}'\ndata.batch_size = 6\n")
    config = load_config(str(tmp_path / "top.gin"), "ks")
    assert (config.data.batch_size, config.loss.key_weight) == (6, 2.0)
    assert "loss.key_weight = 2.0" in config.text


@pytest.mark.parametrize(
    ("binding", "named"),
    [
        ("VQTT.fmin = 3", "VQTT"),
        ("VQT.fmn = 3", "fmn"),
        ("Chromanet.n_bins = 84", "Chromanet"),
        ("data.batchsize = 3", "batchsize"),
        ("data.batch_size = ", ""),
        ("data.batch_size", ""),
        ("data.batch_size = 'x'", "data.batch_size: 'x'"),
        ("data.batch_size = 0", "data.batch_size"),
        ("data.batch_size = True", "data.batch_size"),
        ("data.train_loader = @no_such_loader", "no_such_loader"),
        ("data.dataset_type_train = 'both'", "'both'"),
        ("data.sample_rate = 8000", "sample rate"),
        ("data.duration = 2.5", "data.duration"),
        ("data.window_seconds = 20", "two segments of 15 s"),
        ("data.window_seconds = 'x'", "data.window_seconds"),
        ("optimizer.betas = 3", "optimizer.betas"),
        ("optimizer.clip = 'x'", "optimizer.clip"),
        ("loss.objective = 'other'", "loss.objective"),
        ("loss.objective = 'skey'", "ks_mode"),
        ("loss.labels = 'mse'", "loss.labels"),
        ("loss.smoothing = 1.0", "loss.smoothing"),
        ("optimizer.average = 1.0", "optimizer.average"),
        ("data.shares = {'songs': 0}", "data.shares"),
        ("data.shares = ['songs']", "data.shares"),
        ("VQT.average = 0", "average"),
        ("loss.half = 1", "loss.half"),
        ("VQT.harmonics = [1, 4]", "harmonic 4 needs 24 bins above the crop"),
        ("VQT.harmonics = [1, 3]", "harmonic 3 is no whole number of octaves up"),
        ("VQT.harmonics = [2, 1]", "must ascend"),
        ("VQT.harmonics = []", "must ascend"),
        ("VQT.n_bins = 80", "80"),
        ("VQT.n_bins = 84", "VQT.n_bins = 84 and ChromaNet.n_bins = 84: no crop transposes"),
        ("data.train_loader = @loss()", "data.train_loader must be a function"),
        ("VQT.bins_per_octave = 24", "whole octaves of 24"),
        ("VQT.bins_per_octave = 18", "a whole number of bins in a semitone"),
        ("ChromaNet.kernels = [7]", "kernels"),
        ("ChromaNet.norm = 'batch'", "'batch'"),
        ("ChromaNet.temperature = 0", "temperature"),
        ("import no_such_module", "no_such_module"),
        ("include 'no_such.gin'", "no_such.gin"),
    ],
)
def test_mistakes_are_named(binding: str, named: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, "ks", [binding])
    assert named in str(error.value)


def test_a_file_includes_one_beside_it_without_a_log_of_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "first.gin").write_text("data.batch_size = 2\n")
    second = tmp_path / "second.gin"
    second.write_text('include "first.gin"\ndata.window_seconds = 40\n')
    config = load_config(str(second), "ks")
    assert (config.data.batch_size, config.data.window_seconds) == (2, 40)
    assert not caplog.records


def test_a_file_with_an_unknown_name_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "wrong.gin"
    file.write_text("data.batch_size = 2\nVQT.fmim = 27.5\n")
    with pytest.raises(ConfigError, match=r"wrong\.gin") as error:
        load_config(str(file), "ks")
    assert "fmim" in str(error.value)
    assert "line 2" in str(error.value)
    with pytest.raises(ConfigError, match=r"none\.gin"):
        load_config(str(tmp_path / "none.gin"), "ks")
    with pytest.raises(ConfigError):
        load_config(str(tmp_path), "ks")


def test_other_names_of_the_modes() -> None:
    for given, mode in (("mixed", "mix"), ("unsupervised", "selfsupervised")):
        config = tiny_config("ks", f"data.dataset_type_train = '{given}'")
        assert config.data.dataset_type_train == mode


def test_a_loader_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_loader_for_config.py").write_text(
        "import gin\n\n@gin.configurable\ndef own_loader(size=1):\n    yield size\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "own.gin"
    file.write_text(
        "import own_loader_for_config\ndata.train_loader = @own_loader\nown_loader.size = 3\n"
    )
    config = load_config(str(file), "ks", TINY)
    assert config.data.train_loader is not None
    assert next(config.data.train_loader()) == 3
    assert "own_loader.size = 3" in load_config(None, "ks", config.text.splitlines()).text
    assert "own_loader" in config.text
    assert "own_loader_for_config" in sys.modules


def test_a_file_includes_the_one_beside_it_whatever_was_read_before(tmp_path: Path) -> None:
    for name, size in (("first", 3), ("second", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.gin").write_text(f"data.batch_size = {size}\n")
        main = tmp_path / name / "main.gin"
        main.write_text("include 'part.gin'\n")
        assert load_config(str(main), "ks").data.batch_size == size
