"""The code of docs/training.md and docs/extending.md, run as a reader would run it."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("gin")
pytest.importorskip("tensorboard")

from cli_tools import ROOT, call  # noqa: E402
from toy_music import SMALL, one_thread, write_music  # noqa: E402, F401

TRAINING, EXTENDING = (
    (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("training", "extending")
)
# A tiny network, and few steps.
QUICK = (*SMALL[:4], "-e", "1", "-ts", "2", "-vs", "2", "--device", "cpu", "-b", "seconds = 4")


def block(page: str, language: str, holding: str) -> str:
    found = re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (one,) = [text for kind, text in found if kind == language and holding in text]
    return str(one)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files of the pages and a little music."""
    manifest = write_music(tmp_path)
    (tmp_path / "held-out.csv").write_text(manifest.read_text())
    (tmp_path / "my_loader.py").write_text(block(TRAINING, "python", "class Loader"))
    (tmp_path / "mine.py").write_text(block(EXTENDING, "python", "class Objective"))
    text = block(TRAINING, "", "data.train_loader = @my_loader.Loader")
    size = "my_loader.Loader.batch_size = 2\n"
    (tmp_path / "my.gin").write_text(text + size)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.mark.parametrize("mode", ["mix", "selfsupervised", "supervised"])
def test_the_loader_of_the_page_trains(
    mode: str, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = shlex.split(block(TRAINING, "", "-n own ").splitlines()[0])[1:]
    assert call(*command, *QUICK, "-b", f"mode = '{mode}'") == 0
    assert "step 2/2" in capfd.readouterr().err
    if mode == "mix":  # it goes on where it was
        assert call(*command, *QUICK, "-e", "2", "-b", f"mode = '{mode}'") == 0
        said = capfd.readouterr()
        assert "resumed at epoch 1, step 2" in said.out
        assert "starts over" not in said.err


@pytest.mark.skipif(os.name != "posix", reason="needs gloo")
def test_the_loader_of_the_page_trains_on_two_processes(desk: Path) -> None:
    command = shlex.split(block(TRAINING, "", "-n own ").splitlines()[1])[1:]
    done = subprocess.run(
        [sys.executable, "-m", "stonekey", *command, *QUICK],
        capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "done: " in done.stdout
    assert "Warning" not in done.stderr


def test_parts_of_the_other_page_train(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = re.findall(r"^\| `((?:loss|data|ChromaNet)\..*?)` \|", EXTENDING, re.MULTILINE)
    assert len(table) == 4
    command = shlex.split(block(EXTENDING, "", "-n mine"))[1:]
    command[command.index("~/Music")] = str(desk / "tracks.csv")
    named = [word for line in table for word in ("-b", line)]
    quick = QUICK[: QUICK.index("-b", 5)]
    assert (
        call(*command, *quick, "-b", "data.duration = 4", "-b", "data.batch_size = 2", *named) == 0
    )
    said = capfd.readouterr().out
    assert "near" in said
    assert "moved" in said
    (desk / "load.py").write_text(block(EXTENDING, "python", "own_network=True"))
    assert runpy.run_path(str(desk / "load.py"))["stone"].architecture.outputs == 24
