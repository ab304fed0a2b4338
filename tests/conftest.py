"""Fixtures shared by the tests."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference material beside the repository: golden arrays, checkpoints, recordings."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference material in ../shared, which is not on this machine")
    return SHARED


def pytest_configure() -> None:
    """Let tests send Ctrl-C to processes that they start, also where this run ignores it.

    A shell starts background jobs with the signal ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_skipped_parity: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and "parity" in report.keywords and SHARED.is_dir():
        _skipped_parity.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where the reference material is, a parity test that does not run is a failure."""
    if _skipped_parity:
        print(f"\nparity tests were skipped although ../shared is here: {_skipped_parity}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
