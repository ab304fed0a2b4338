"""Training learns: the short version of ``recipes/learns.py``, on music synthesised here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_tools import ROOT

pytest.importorskip("torch")
pytest.importorskip("gin")

sys.path.insert(0, str(ROOT / "recipes"))

from learns import learn

from stonekey.model.checkpoint import load_checkpoint


@pytest.mark.slow
def test_signatures_are_learnt_without_labels(tmp_path: Path) -> None:
    """On held-out pieces; uniform answers lose 1.5, the best answer deaf to the music 1.29."""
    models = learn("stone12", tmp_path, pieces=96, held_out=24, epochs=2, steps=40, batch_size=8)
    record = load_checkpoint(models / "best.safetensors").info.training
    assert record["steps"] == 80
    assert record["validation"]["key"] < 1.2
