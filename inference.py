"""The published code's inference command: the keys of all audio files in a folder.

    python -m inference CHECKPOINT AUDIO_FOLDER -e mp3 [-o 0.5] [-a | --no-average] -tt ks|ks_mode

Recordings are segmented as the published inference does: consecutive 15 s segments, without the
remainder after the last; a shorter recording is one segment. Writes
``AUDIO_FOLDER/results/<checkpoint name>/results.npz``, which ``np.load`` opens without pickle (for
``best`` and ``epoch_10`` of a run, ``results/<train type>/<circle>/<run>/best/results.npz``):

- ``files`` (n,): names relative to the folder, sorted; ``errors`` (n,): why a file could not
  be read, or empty; ``class_table``: name of each class; ``checkpoint``.
- With averaging (the default): ``classes`` (n,), index of the most probable class of the mean
  over the segments, or -1; ``keys`` (n,), its name, or empty; ``probabilities`` (n, classes),
  or NaN.
- With ``--no-average``: ``outputs`` (m, classes), the probabilities of each segment of all
  files; ``classes`` and ``keys`` (m,) of each segment; ``segment_files`` (m,), index of its
  file; ``segment_starts`` (m,) in seconds.

Exit code: 0 when all files were read, 1 when some were not, 2 for bad usage.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OUTPUTS = {"ks": 12, "ks_mode": 24}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m inference",
        description="Estimate the keys of all audio files in a folder and write them to "
        "AUDIO_FOLDER/results/<checkpoint name>/results.npz.",
    )
    parser.add_argument("checkpoint", help="path or name of a model")
    parser.add_argument(
        "audio_folder", type=Path, help="folder of recordings, searched to any depth"
    )
    parser.add_argument(
        "-e", "--extension", required=True, help="extension of the files, such as mp3"
    )
    parser.add_argument(
        "-o", "--overlap", type=float, default=0.0,
        help="share of a segment that the next one repeats, from 0 to below 1 (default 0)",
    )  # fmt: skip
    parser.add_argument(
        "-a", "--average", action=argparse.BooleanOptionalAction, default=True,
        help="average over each file's segments (default), or keep each segment's output",
    )  # fmt: skip
    parser.add_argument(
        "-tt", "--train_type", "--train-type", dest="train_type", choices=tuple(OUTPUTS),
        required=True, help="ks: 12 key signatures; ks_mode: 24 keys",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if not 0 <= options.overlap < 1:
        parser.error(f"--overlap must be at least 0 and below 1, got {options.overlap}")
    if not options.audio_folder.is_dir():
        parser.error(f"{options.audio_folder}: no such folder")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parse_arguments(arguments)
    from stonekey.audio import find_audio_files
    from stonekey.estimate.estimator import KeyEstimator
    from stonekey.files import write_atomically
    from stonekey.model.checkpoint import CheckpointError
    from stonekey.model.registry import find_model
    from stonekey.output.records import FileResult
    from stonekey.text import reason

    folder: Path = options.audio_folder
    try:
        path = find_model(options.checkpoint)
        estimator = KeyEstimator(path, overlap=options.overlap, published_segments=True)
    except (CheckpointError, ValueError, OSError) as error:
        return _fail(str(error), 2)
    outputs, expected = len(estimator.class_table), OUTPUTS[options.train_type]
    if outputs != expected:
        return _fail(
            f"{options.checkpoint} has {outputs} outputs, but -tt {options.train_type} means "
            f"{expected}; use -tt {'ks' if outputs == 12 else 'ks_mode'}",
            2,
        )
    unlisted: list[FileResult] = []
    files = find_audio_files(
        folder,
        options.extension,
        lambda place, error: unlisted.append(FileResult(place, None, reason(error))),
    )
    if not files and not unlisted:
        return _fail(f"no .{options.extension.lstrip('.')} files in {folder}", 1)
    results = list(unlisted)
    for file in files:
        try:
            results.append(FileResult(file, estimator(file)))
        except Exception as error:  # one bad file must not end the run
            results.append(FileResult(file, None, reason(error)))
    for result in results:
        if result.error is not None:
            _fail(f"{result.file}: {result.error}")
    arrays = collect(results, folder, estimator, options.average)
    target = folder / "results" / _place(path, estimator.info, options.train_type) / "results.npz"
    try:
        write_atomically(target, lambda temporary: _save(temporary, arrays))
    except OSError as error:
        return _fail(f"{target}: cannot be written: {error}")
    print(f"{len(files)} files: {target}")
    return 1 if any(result.error is not None for result in results) else 0


def collect(results: Sequence[Any], folder: Path, estimator: Any, average: bool) -> dict[str, Any]:
    """The arrays to write, as in the module's docstring.

    Args:
        results: a `stonekey.output.records.FileResult` per file.
        estimator: the `KeyEstimator` that made them.
    """
    import numpy as np

    from stonekey.text import display_name

    table = estimator.class_table
    names = np.array([str(label) for label in table])
    arrays: dict[str, Any] = {
        "files": np.array([display_name(r.path.relative_to(folder)) for r in results]),
        "errors": np.array([r.error or "" for r in results]),
        "class_table": names,
        "checkpoint": np.array(estimator.info.name),
    }
    if average:
        unknown = np.full(len(table), np.nan)
        probabilities = [
            list(r.estimate.probabilities.values())
            if r.estimate and r.estimate.probabilities else unknown
            for r in results
        ]  # fmt: skip
        labels = [r.estimate.label if r.estimate else None for r in results]
        classes = [-1 if label is None else table.index(label) for label in labels]
        arrays["probabilities"] = np.array(probabilities)
        arrays["keys"] = np.array([str(label) if label is not None else "" for label in labels])
        arrays["classes"] = np.array(classes, dtype=np.int64)
        return arrays
    segments = [
        (i, segment)
        for i, r in enumerate(results)
        for segment in (r.estimate.segments if r.estimate else ())
    ]
    outputs = np.array([s.probabilities for _, s in segments], dtype=np.float32)
    outputs = outputs.reshape(-1, len(table))
    arrays["outputs"] = outputs
    arrays["classes"] = outputs.argmax(axis=1)
    arrays["keys"] = names[arrays["classes"]]
    arrays["segment_files"] = np.array([i for i, _ in segments], dtype=np.int64)
    arrays["segment_starts"] = np.array([s.start for _, s in segments])
    return arrays


def _place(path: Path, info: Any, train_type: str) -> Path:
    """Folder for a checkpoint's results: the models of all runs have the same few names."""
    if info.omega is None or not re.fullmatch(r"best|epoch_\d+", path.stem):
        return Path(path.stem)
    run = re.sub(r"[^\w .+-]|^[. ]+", "_", info.name)
    return Path(train_type, str(info.omega), run, path.stem)


def _save(path: Path, arrays: dict[str, Any]) -> None:
    import numpy as np

    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def _fail(message: str, code: int = 1) -> int:
    """Print an error; returns the exit code."""
    from stonekey.text import printable

    print(printable(message), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
