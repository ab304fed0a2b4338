"""ONNX Runtime leaves nothing in the home of whoever runs a model, and so sends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cli_tools import music


def test_no_telemetry(tmp_path: Path) -> None:
    song = music(tmp_path / "song.wav", "C major")
    home = tmp_path / "home"
    home.mkdir()
    # Where one of these is set, ONNX Runtime sends nothing anyway.
    quiet = ("CI", "PYTEST_CURRENT_TEST", "ORT_DISABLE_TELEMETRY", "GITHUB_ACTIONS")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME", "TMPDIR"):
        environment[name] = str(home)
    command = [sys.executable, "-m", "stonekey", song]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "C major" in done.stdout
    assert list(home.rglob("*")) == []
