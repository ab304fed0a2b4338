"""Fixtures shared by the tests, a home of their own, and one line on what was skipped."""

from __future__ import annotations

import itertools
import os
import signal
import site
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_homes = itertools.count()
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    _move_home(config)
    # Let tests send Ctrl-C to processes that they start, also where this run ignores it: a shell
    # starts background jobs with the signal ignored, and children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _move_home(config: pytest.Config) -> None:
    """Home, cache and configuration in a folder of this run, for this process and its children.

    From the start, not in a fixture: some libraries read them when they are imported.
    """
    folder = tempfile.TemporaryDirectory(prefix="stonekey-tests-")
    config.add_cleanup(folder.cleanup)
    moved = {
        # Packages that were installed for the user are found through the home.
        "PYTHONUSERBASE": site.getuserbase(),
        **{name: folder.name for name in ("HOME", "USERPROFILE")},
        "APPDATA": f"{folder.name}/config",
        "LOCALAPPDATA": f"{folder.name}/cache",
        "XDG_CACHE_HOME": f"{folder.name}/cache",
        "XDG_CONFIG_HOME": f"{folder.name}/config",
        "XDG_DATA_HOME": f"{folder.name}/data",
        "XDG_STATE_HOME": f"{folder.name}/state",
        "BEETSDIR": f"{folder.name}/beets",
        "MPLCONFIGDIR": f"{folder.name}/matplotlib",
        "STONEKEY_HOME": f"{folder.name}/stonekey",
    }
    before = {name: os.environ.get(name) for name in moved}
    os.environ.update(moved)

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

    config.add_cleanup(restore)


@pytest.fixture(autouse=True)
def stonekey_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each test has its own models and journals; the rest of the home is the run's."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_homes))
    monkeypatch.setenv("STONEKEY_HOME", str(home))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference material beside the repository: golden arrays, checkpoints, recordings."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference material in ../shared, which is not on this machine")
    return SHARED


_skipped_parity: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and "parity" in report.keywords and SHARED.is_dir():
        _skipped_parity.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where the reference material is, a parity test that does not run is a failure."""
    if _skipped_parity:
        print(f"\nparity tests were skipped although ../shared is here: {_skipped_parity}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line: how many tests were skipped, why, and so how to have them."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        parts = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped: {parts}")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """What runs browsers; a process can have but one."""
    from js_tools import missing_browser

    if problem := missing_browser():
        pytest.skip(problem)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running
