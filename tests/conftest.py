"""Fixtures shared by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference material beside the repository: golden arrays, checkpoints, recordings."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference material in ../shared, which is not on this machine")
    return SHARED
