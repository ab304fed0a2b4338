"""Results for a list of files, from a scan or by analysing them now."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from stonekey.audio.spelling import ByPath
from stonekey.estimate.settings import EstimatorSettings
from stonekey.library.result import Result, path_text
from stonekey.text import is_address, log, reason, shown

REPLACED = "another recording since the scan; scan it again"
# Seconds by which the length in a header may differ from that of the sound, for its padding.
_TOLERANCE = 0.1


def replaced(result: Result) -> bool:
    """Whether another recording has taken the file's place since the scan.

    Tags change size and modification time but not the length of the sound, so a file counts as
    replaced only if its length differs too. What cannot be checked is believed: a file that is
    gone or at an address, a row without size or duration.
    """
    if result.size is None or result.duration is None or is_address(result.path):
        return False
    try:
        status = result.path.stat()
    except OSError:
        return False
    if (status.st_size, status.st_mtime) == (result.size, result.mtime):
        return False
    return all(abs(s - result.duration) > _TOLERANCE for s in _lengths(result.path))


def _lengths(path: Path) -> Iterator[float]:
    """The length in seconds: by the header, then by decoding; nothing if it is not sound."""
    from stonekey.audio import AudioError, stream_audio

    try:
        with stream_audio(path, timeout=None) as stream:
            if stream.expected_seconds is not None:
                yield stream.expected_seconds
            for _ in stream:
                pass
            yield stream.seconds
    except AudioError:
        return


def looked_up(
    paths: Iterable[Path],
    missing: Mapping[Path, str],
    known: Iterable[Result],
    check: bool = True,
) -> dict[Path, Result]:
    """The results of ``known``, with paths as given; what it lacks is logged, and has an error.

    Args:
        missing: why some of ``paths`` are not there.
        check: refuse results of files that have been replaced.
    """
    by_path = ByPath((result.path, result) for result in known)

    def look_up(path: Path) -> Result:
        place = path if is_address(path) else Path(os.path.abspath(path))
        result = by_path.get(place)
        if result is None:
            why = f" ({missing[path]})" if path in missing else ""
            return _failed(path, f"not in the library{why}")
        if check and replaced(result):
            return _failed(path, REPLACED)
        return replace(result, path=path)

    return {path: look_up(path) for path in dict.fromkeys(paths)}


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

    def analyse(path: Path) -> Result:
        if why := missing.get(path):
            return _failed(path, why)
        try:
            estimate = estimator(path)
        except Exception as error:  # one bad file must not end the run, whatever is wrong
            return _failed(path, reason(error))
        return Result.from_dict({**estimate.to_dict(top=0), "path": path_text(path)})

    with ExitStack() as stack:
        todo: Iterable[Path] = distinct
        if len(distinct) > 1 and sys.stderr.isatty():
            todo = stack.enter_context(tracked(distinct))
        return {path: analyse(path) for path in todo}


def _failed(path: Path, why: str) -> Result:
    log(f"stonekey: {shown(path)}: {why}")
    return Result(path, error=why)
