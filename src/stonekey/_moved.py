"""Modules under the names they had before: importing one gives the module at its new place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "stonekey.estimator": "stonekey.estimate.estimator",
    "stonekey.harmony": "stonekey.library.harmony",
    "stonekey.playlists": "stonekey.audio.playlists",
    "stonekey.plots": "stonekey.output.plots",
    "stonekey.stone": "stonekey.network.stone",
    "stonekey.timeline": "stonekey.estimate.timeline",
}


class _Moved(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(MOVED[spec.name])
        self._own = module.__spec__  # the import system is about to set that of the alias
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own


def install() -> None:
    """Let the old names be imported."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
