"""What is done with each kind of file, and which errors are a right answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from stonekey.audio.errors import AudioError
from stonekey.audio.files import find_audio_files
from stonekey.audio.playlists import PlaylistError, read_playlist
from stonekey.data.manifest import ManifestError, read_manifest
from stonekey.estimate.estimator import KeyEstimator
from stonekey.keys import Key
from stonekey.library.store import StoreError, open_store, read_results
from stonekey.model.checkpoint import CheckpointError
from stonekey.tags.journal import Journal, journal_folder
from stonekey.tags.tagging import Settings, tag_file

RATE = 22050


@cache
def _estimator() -> KeyEstimator:
    return KeyEstimator("template", threads=1)


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=RATE).astype(np.float32)


def estimate(path: Path) -> None:
    found = _estimator()(path)
    assert 0 <= found.confidence <= 1, found.confidence
    assert all(0 <= p <= 1 for p in found.probabilities.values())


def tag(path: Path) -> None:
    """Write a key; after an error the file is as it was."""
    before = path.read_bytes()
    os.environ["STONEKEY_HOME"] = str(path.parent / "home")
    try:
        with Journal(journal_folder()) as journal:
            settings = Settings(overwrite=True, also=("comment",))
            tag_file(path, Key.parse("C# minor"), 0.9, settings, journal)
    except AudioError:
        assert path.read_bytes() == before, "changed by a failure"
        raise


def run_model(path: Path) -> None:
    found = KeyEstimator(path, threads=1, tune="off")(_noise(), RATE)
    assert 0 <= found.confidence <= 1, found.confidence
    assert found.model.isprintable()


def playlist(path: Path) -> None:
    problems: list[object] = []
    found = read_playlist(path)
    find_audio_files(found.entries, None, lambda *told: problems.append(told))


def results(path: Path) -> None:
    """Read, and written back when a run would: never another file's contents."""
    before = path.read_bytes()
    read_results(path)
    store = open_store(path)
    try:
        kept = store.read(strict=True)
        store.rewrite(kept)
        store.finish()
        assert store.read() == kept
    except StoreError:
        if path.suffix != ".sqlite":  # which repairs what a crash left
            assert path.read_bytes() == before, "changed by a failure"
        raise
    finally:
        store.close()


Target = tuple[Callable[[Path], object], tuple[type[Exception], ...]]
TARGETS: dict[str, Target] = {
    "audio": (estimate, (AudioError,)),
    "tags": (tag, (AudioError,)),
    "model": (run_model, (CheckpointError,)),
    "header": (run_model, (CheckpointError,)),
    "playlist": (playlist, (PlaylistError,)),
    "results": (results, (StoreError,)),
    "manifest": (read_manifest, (ManifestError,)),
}
