"""No test reaches the home of whoever runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stonekey.model.registry import cache_folder
from stonekey.tags.journal import journal_folder


def real_home() -> Path:
    pwd = pytest.importorskip("pwd", reason="needs Unix")
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_nothing_points_to_the_real_home(monkeypatch: pytest.MonkeyPatch) -> None:
    home = real_home()
    code = "import pathlib, pooch; print(pathlib.Path.home()); print(pooch.os_cache('stonekey'))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folders = [Path.home(), cache_folder(), journal_folder(), *map(Path, child.stdout.split())]
    folders += [Path(os.environ[name]) for name in ("BEETSDIR", "MPLCONFIGDIR", "XDG_CONFIG_HOME")]
    monkeypatch.delenv("STONEKEY_HOME")
    folders.append(cache_folder())
    assert [path for path in folders if home in (path, *path.parents)] == []


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_its_own_models_and_journals(turn: int) -> None:
    assert not journal_folder().exists()
    journal_folder().mkdir(parents=True)
