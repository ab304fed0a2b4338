"""A small library of songs to tag."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tag_files import make


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for name in ("v23.mp3", "song.flac", "song.m4a"):
        make(folder / name, "F# minor", 5)
    return folder


@pytest.fixture
def library(songs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(songs, tmp_path / "library"))
