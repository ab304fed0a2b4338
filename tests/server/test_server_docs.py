"""The commands of docs/server.md, run in order as a reader would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra server")

from cli_tools import ROOT, music

PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def blocks(kind: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == kind]


@contextmanager
def started(line: str, folder: Path) -> Iterator[str]:
    """A server as in a line of the page, but at any free port; its address."""
    _, *arguments = line.split()
    assert arguments[0] == "serve"
    paths = [str(folder / "Music") if word == "~/Music" else word for word in arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "stonekey", *paths, "--port", "0", "-j", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        if found is None:
            process.kill()
            pytest.fail(process.communicate()[1])
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    song = music(tmp_path / "song.mp3", "E minor", 4.0)  # a WAV, which any decoder notices
    (tmp_path / "Music" / "album").mkdir(parents=True)
    for copy in (tmp_path / "song.flac", tmp_path / "Music" / "album" / "song.mp3"):
        shutil.copy(song, copy)
    (tmp_path / "token.txt").write_text("sesame\n")
    commands = [line for block in blocks("") for line in block.splitlines()]
    assert commands[0] == 'pip install ".[server]"'
    starts = [line for line in commands if line.startswith("stonekey serve --api")]
    calls = [line for line in commands if line.startswith(("curl", "python"))]
    assert len(starts) + len(calls) + 1 == len(commands)

    def shell(command: str, address: str) -> str:
        assert ADDRESS in command
        folder = os.path.dirname(sys.executable)
        done = subprocess.run(
            ["bash", "-c", command.replace(ADDRESS, address)], cwd=tmp_path, text=True,
            capture_output=True, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    with_token = [call for call in calls if "token.txt" in call]
    with started(starts[0], tmp_path) as address:
        found = [json.loads(shell(c, address) or "0") for c in calls if c not in with_token]
        place = address.removeprefix("http://")
        printed = [
            subprocess.run(
                [sys.executable, "-c", code.replace("127.0.0.1:8000", place)], cwd=tmp_path,
                text=True, capture_output=True, check=True,
            ).stdout
            for code in blocks("python")
        ]  # fmt: skip
    raw, form, named, models, health = found
    assert (raw["file"], raw["key"]) == ("song.mp3", "E minor")
    assert [(one["file"], one["key"]) for one in form] == [("song.mp3", "9A"), ("song.flac", "9A")]
    assert (named["file"], named["key"]) == ("album/song.mp3", "E minor")
    assert models[0]["name"] == "stone24"
    assert health == 0
    assert printed[0].startswith("E minor 0.")
    assert re.fullmatch(r"2\.0 None 0\.0\n4\.0 9A 0\.\d+\n", printed[1])
    with started(starts[1], tmp_path) as address:
        for call in with_token:
            assert json.loads(shell(call, address))[0]["name"] == "stone24"


def test_the_page_names_every_limit_and_metric() -> None:
    from dataclasses import fields

    from stonekey.server.metrics import Metrics
    from stonekey.server.query import PARAMETERS
    from stonekey.server.settings import ServerSettings

    options = [field for field in fields(ServerSettings) if "help" in field.metadata]
    defaults = ServerSettings()
    for field in options:
        assert f"--{field.name.replace('_', '-')}" in PAGE, field.name
        if field.name.startswith("max_") or field.name in ("queue", "grace"):
            value = getattr(defaults, field.name)
            assert f"--{field.name.replace('_', '-')} {value:g}" in PAGE
    for parameter in PARAMETERS:
        assert f"`{parameter.name}`" in PAGE
    text = Metrics(lambda: 0, lambda: 0).text().decode()
    for name in re.findall(r"^# TYPE (stonekey_\w+)", text, re.MULTILINE):
        assert f"`{name}`" in PAGE or name.endswith("_created")
