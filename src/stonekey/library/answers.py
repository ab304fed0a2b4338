"""Results for a list of files, from a scan or by analysing them now."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from stonekey.audio.spelling import ByPath
from stonekey.estimate.settings import EstimatorSettings
from stonekey.library.result import Result
from stonekey.text import log, reason, shown


def looked_up(
    paths: Iterable[Path], missing: Mapping[Path, str], known: Iterable[Result]
) -> dict[Path, Result]:
    """The results of ``known``, with paths as given; what it lacks is logged, and has an error.

    Args:
        missing: why some of ``paths`` are not there.
    """
    by_path = ByPath((result.path, result) for result in known)

    def absent(path: Path) -> Result:
        why = f" ({missing[path]})" if path in missing else ""
        log(f"stonekey: {shown(path)}: not in the library{why}")
        return Result(path, error=f"not in the library{why}")

    def spelt(path: Path) -> Result | None:
        found = by_path.get(Path(os.path.abspath(path)))
        return found and replace(found, path=path)

    return {path: spelt(path) or absent(path) for path in dict.fromkeys(paths)}


def analysed(
    paths: Iterable[Path], missing: Mapping[Path, str], model: str, settings: EstimatorSettings
) -> dict[Path, Result]:
    """Analyse files one after the other, with a progress bar on a terminal.

    Args:
        missing: why some of ``paths`` are not there; their results have that as an error.
    """
    from stonekey.estimate.estimator import KeyEstimator
    from stonekey.output.progress import tracked

    estimator = KeyEstimator(model, settings=settings)
    distinct = list(dict.fromkeys(paths))

    def failed(path: Path, why: str) -> Result:
        log(f"stonekey: {shown(path)}: {why}")
        return Result(path, error=why)

    def analyse(path: Path) -> Result:
        if why := missing.get(path):
            return failed(path, why)
        try:
            estimate = estimator(path)
        except Exception as error:  # one bad file must not end the run, whatever is wrong
            return failed(path, reason(error))
        result = Result(
            path,
            model=estimate.model,
            confidence=round(estimate.confidence, 4),
            duration=round(estimate.duration, 3),
        )
        return result.with_label(estimate.label, "musical")

    with ExitStack() as stack:
        todo: Iterable[Path] = distinct
        if len(distinct) > 1 and sys.stderr.isatty():
            todo = stack.enter_context(tracked(distinct))
        return {path: analyse(path) for path in todo}
