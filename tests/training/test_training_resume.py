"""Runs that are killed or interrupted, then resumed by the same command: the same result."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("gin")
pytest.importorskip("tensorboard")

from toy_music import SMALL, start_main, wait_for, write_music  # noqa: E402

from stonekey.model.checkpoint import load_checkpoint  # noqa: E402
from stonekey.training.state import load_state  # noqa: E402

MIX = ("-tt", "ks_mode", "-b", 'data.dataset_type_train = "mix"')


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_music(tmp_path_factory.mktemp("recordings"))


def start(music: Path, save: Path, flags: tuple[str, ...]) -> subprocess.Popen[str]:
    return start_main(
        "-n", "run", "-s", save, "-e", "3", "-ts", "8", "-vs", "1", "--device", "cpu",
        "--data", music, "--cache", music.parent / "cache", *SMALL, *flags,
    )  # fmt: skip


def flat(state: object, name: str = "") -> dict[str, object]:
    if isinstance(state, dict):
        return {k: v for key in state for k, v in flat(state[key], f"{name}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return {k: v for i, x in enumerate(state) for k, v in flat(x, f"{name}/{i}").items()}
    return {name: state}


@pytest.mark.parametrize(
    ("flags", "number"),
    [
        pytest.param(MIX, signal.SIGKILL, id="mix killed"),
        pytest.param(("-tt", "ks"), signal.SIGKILL, id="ks killed", marks=pytest.mark.slow),
        pytest.param(("-tt", "ks"), signal.SIGINT, id="ks Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_ends_as_one_left_alone(
    flags: tuple[str, ...], number: signal.Signals, music: Path, tmp_path: Path
) -> None:
    alone = start(music, tmp_path / "alone", flags)
    stopped = start(music, tmp_path / "stopped", flags)
    wait_for(stopped.stderr, "step 13/24")  # in the second epoch
    stopped.send_signal(number)
    said, errors = stopped.communicate(timeout=600)
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert stopped.returncode == 130
        assert "run the same command again to resume from the last checkpoint" in errors
    else:
        assert stopped.returncode == -signal.SIGKILL
    assert "epoch 3/3" not in said
    place = Path("models", flags[1], "7", "run")
    saved = load_state(tmp_path / "stopped" / place)
    assert saved is not None
    assert saved["progress"]["step"] in (8, 16)
    resumed = start(music, tmp_path / "stopped", flags)
    said, errors = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, errors
    assert f"resumed at epoch {saved['progress']['epoch']}, step" in said
    _, errors = alone.communicate(timeout=600)
    assert alone.returncode == 0, errors
    one, two = (flat(load_state(tmp_path / name / place)) for name in ("alone", "stopped"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, two[name]), name  # type: ignore[arg-type]
        else:
            assert value == two[name], name
    best = [tmp_path / name / place / "best.safetensors" for name in ("alone", "stopped")]
    first, second = map(load_checkpoint, best)
    assert first.info == second.info
    assert all((value == second.tensors[name]).all() for name, value in first.tensors.items())
