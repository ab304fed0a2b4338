"""The page on a server of its own, below a folder, in headless Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from js_tools import launched, served
from page_tools import PATIENCE, Page

from stonekey.keys import Key
from stonekey.page import write
from stonekey.synthesis import cadence, write_wav

# A microphone that plays a file; it is asked for as a person would see it, and refused or granted.
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-file-for-fake-audio-capture=")


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """WAV files by their key."""
    folder = tmp_path_factory.mktemp("music")
    paths = {}
    for label in ("A minor", "C major", "Eb major", "F# minor", "D minor"):
        paths[label] = folder / f"{label}.wav"
        write_wav(paths[label], cadence(Key.parse(label), seconds=12))
    return paths


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is, written as a site and served below a folder."""
    folder = tmp_path_factory.mktemp("site")
    write(folder)
    with served({"": folder, "some": folder.parent}) as root:
        yield f"{root}some/{folder.name}/index.html"


@pytest.fixture(scope="session")
def browser(music: dict[str, Path], playwright: Any) -> Iterator[Any]:
    """Headless Chromium, whose microphone plays music in A minor."""
    with launched(playwright, [MICROPHONE[0], MICROPHONE[1] + str(music["A minor"])]) as found:
        yield found


@pytest.fixture
def new_page(browser: Any, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page; at the end, nothing went wrong in it and nothing left its server."""
    contexts = []
    problems: list[str] = []
    origin = "/".join(address.split("/")[:3]) + "/"

    def opened(**settings: Any) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **settings)
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        tab = context.new_page()
        tab.on("pageerror", lambda error: problems.append(f"error: {error}"))
        tab.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))

        def note(request: Any) -> None:
            if not request.url.startswith((origin, "blob:", "data:")):
                problems.append(f"request: {request.url}")

        context.on("request", note)
        tab.goto(address)
        return Page(tab)

    yield opened
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """The page, just opened."""
    return new_page()
