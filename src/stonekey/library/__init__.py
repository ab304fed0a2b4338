"""Find the keys of a whole music library, in a run that can stop and resume at any moment.

>>> from stonekey.library import scan
>>> summary = scan(["~/Music"], "keys.csv")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stonekey.library.base import StoreError
    from stonekey.library.result import Result
    from stonekey.library.run import ScanError, Summary, scan
    from stonekey.library.store import read_results

_HOME = {
    "Result": "stonekey.library.result",
    "ScanError": "stonekey.library.run",
    "StoreError": "stonekey.library.base",
    "Summary": "stonekey.library.run",
    "read_results": "stonekey.library.store",
    "scan": "stonekey.library.run",
}

__all__ = ["Result", "ScanError", "StoreError", "Summary", "read_results", "scan"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'stonekey.library' has no attribute {name!r}")
