"""The package built once, for Node and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from js_tools import build, missing_tools, opened, served, web_folder


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built package, in which Node programs run."""
    if missing := missing_tools():
        pytest.skip(missing)
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the page finds as files/."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, files: Path, playwright: Any) -> Iterator[Any]:
    """A page in Chromium with the package as ``web``, and ``estimator`` with stone24."""
    if missing := missing_tools():
        pytest.skip(missing)
    folder = web_folder(tmp_path_factory.mktemp("page"))
    with served({"": folder, "files": files}) as address, opened(playwright, address) as page:
        page.wait_for_function("window.web")
        page.evaluate(
            """async () => {
              const urls = { workerUrl: "/worker.js", modelUrl: "/model.onnx" };
              window.estimator = web.createEstimator({ ...urls, threads: 2 });
              window.file = async (name) => (await fetch(`/files/${name}`)).blob();
              await estimator.ready;
            }"""
        )
        yield page
