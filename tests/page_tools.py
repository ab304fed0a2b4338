"""The page in a browser, with what tests do to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds for anything the page does, on a machine that is busy with other things


class Page:
    """A page with what tests do to it; ``tab`` is Playwright's."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab

    def until(self, true: Callable[[], Any], what: str = "") -> Any:
        """Wait until it is true. (The page's policy forbids Playwright's own way.)"""
        end = time.monotonic() + PATIENCE
        while not (found := true()):
            assert time.monotonic() < end, what or self.rows()
            self.tab.wait_for_timeout(50)
        return found

    def choose(self, *paths: Path) -> None:
        """Choose files, as in the browser's dialogue."""
        self.tab.set_input_files("#files", list(map(str, paths)))

    def drop(self, *paths: Path) -> None:
        """Drop files and folders, as from the file manager."""
        protocol = self.tab.context.new_cdp_session(self.tab)
        data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            where = {"type": kind, "x": 300, "y": 300, "data": data}
            protocol.send("Input.dispatchDragEvent", where)

    def rows(self) -> dict[str, dict[str, str]]:
        """The rows by their names: state, key, sure, note, seconds, as they read."""
        return self.tab.evaluate(
            """() => {
              const rows = [...document.querySelectorAll(".list tbody tr")];
              return Object.fromEntries(rows.map(row => {
              const text = (part) => row.querySelector(part).textContent;
              return [text(".name"), { state: row.dataset.state, key: text(".is-key"),
                sure: text(".sure"), note: text(".note"), seconds: text(".is-seconds") }];
              }));
            }"""
        )

    def done(self, count: int) -> dict[str, dict[str, str]]:
        """The rows, as soon as there are so many and nothing is going on."""
        ended = ("done", "failed")

        def rows() -> dict[str, dict[str, str]] | None:
            found = self.rows()
            complete = [row for row in found.values() if row["state"] in ended]
            return found if len(complete) == len(found) == count else None

        return self.until(rows)

    def button(self, name: str) -> Any:
        """A button by its name."""
        return self.tab.get_by_role("button", name=name, exact=True)

    def save(self, name: str) -> str:
        """What a button lets the browser save."""
        with self.tab.expect_download() as download:
            self.button(name).click()
        return Path(download.value.path()).read_text(encoding="utf-8")
