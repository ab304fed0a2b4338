"""Import paths that older releases documented."""

from __future__ import annotations

from importlib import import_module

import pytest

from stonekey._moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_old_name_is_the_same_module(old: str) -> None:
    if old == "stonekey.stone":
        pytest.importorskip("torch")
    module = import_module(old)
    assert module is import_module(MOVED[old])
    assert module.__spec__ is not None
    assert module.__spec__.name == MOVED[old]
