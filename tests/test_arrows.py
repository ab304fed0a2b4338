"""Imports point one way: from each package to those named before it, and in no circles."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

grimp = pytest.importorskip("grimp")

# fmt: off
ORDER = (
    "_moved", "options", "text", "files", "keys", "audio", "synthesis", "tags", "model", "network",
    "page", "graph", "estimate", "output", "library", "data", "evaluation", "training", "server",
    "cli", "__main__",
)
# fmt: on


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Every module of the package and what it imports of it, inside functions too."""
    graph = grimp.build_graph("stonekey", exclude_type_checking_imports=True, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def test_no_circles(imports: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_packages_import_only_those_before_them(imports: dict[str, set[str]]) -> None:
    def place(module: str) -> int:
        return ORDER.index(module.split(".")[1])

    wrong = [
        f"{module} imports {other}"
        for module, others in imports.items()
        for other in others
        if "." in module and "." in other and place(other) > place(module)
    ]
    assert not wrong
