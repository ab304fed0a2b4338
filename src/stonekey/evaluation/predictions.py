"""Run models over the tracks of a manifest, with a cache on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stonekey import __version__
from stonekey.data.manifest import Track
from stonekey.estimate.settings import EstimatorSettings
from stonekey.files import sha256
from stonekey.keys import ClassLabel
from stonekey.model.class_table import parse_class_table
from stonekey.model.registry import find_model, model_names
from stonekey.text import json_text, reason

# Increase it when the same model and stonekey version give different answers.
CACHE_VERSION = 2

# Takes the name of the system and the tracks to estimate; yields each track when its turn comes.
Watch = Callable[[str, Sequence[Track]], AbstractContextManager[Iterator[Track]]]


def unwatched(name: str, tracks: Sequence[Track]) -> AbstractContextManager[Iterator[Track]]:
    """Yield the tracks without a progress bar."""
    return nullcontext(iter(tracks))


@dataclass(frozen=True)
class Answer:
    """A system's answer for one track.

    Attributes:
        label: a key or a key signature; None for "no key" and after an error.
        confidence: probability of the answer, 0 to 1; None if the system gives none.
        error: why there is no answer.
    """

    label: ClassLabel | None
    confidence: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class System:
    """One system's answers.

    Attributes:
        name: name for tables.
        outputs: 24 if it answers with keys, 12 if with key signatures.
        answers: answers by track id.
        source: the model or file that they come from.
        details: anything else that identifies them, for JSON.
        unmatched: paths in a file of predictions that belong to no track of the manifest.
        remark: what a reader of its scores must know, if anything.
    """

    name: str
    outputs: int
    answers: Mapping[str, Answer]
    source: str
    details: Mapping[str, Any] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    remark: str = ""

    def answer(self, track: Track) -> Answer:
        """The answer for a track; an error if the system has none."""
        return self.answers.get(track.id) or Answer(None, None, "no prediction")


class PredictionCache:
    """Outputs of one model file with one set of settings, kept in a file of JSON lines.

    The first line describes the model; every other line holds a recording's mean output and is
    written at once, so that an interrupted run continues where it stopped. Path, size and
    modification time identify a recording. Lines that cannot be read are ignored.

    Args:
        folder: folder of the cache; None keeps nothing.
        digest: SHA-256 of the model file.
        identity: settings that change the outputs.
    """

    def __init__(self, folder: Path | None, digest: str, identity: Mapping[str, Any]) -> None:
        self.table: tuple[ClassLabel, ...] | None = None
        self._outputs: dict[str, list[float] | None] = {}
        self._path: Path | None = None
        if folder is None:
            return
        known = [CACHE_VERSION, __version__, digest, dict(identity)]
        name = json_text(known, ascii=True, sort_keys=True)
        self._path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.jsonl"
        if self._path.is_file():
            for line in self._path.read_text("utf-8", errors="replace").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            record = json.loads(line)
            if "class_table" in record:
                self.table = parse_class_table(record["class_table"])
            else:
                self._outputs[record["file"]] = record["output"]
        except (ValueError, KeyError, TypeError):
            return

    def describe(self, model: str, table: tuple[ClassLabel, ...]) -> None:
        """Record the model and its class table, unless the cache has them."""
        if self.table is None:
            self.table = table
            names = [str(label) for label in table]
            self._append({"model": model, "class_table": names})

    def get(self, file: str) -> Answer | None:
        """The answer for a file (`file_identity`), or None if it is unknown."""
        if self.table is None or file not in self._outputs:
            return None
        return _answer(self._outputs[file], self.table)

    def put(self, file: str, path: Path, output: list[float] | None) -> None:
        """Keep the mean output (outputs,) of a file; None for "no key"."""
        self._outputs[file] = output
        self._append({"file": file, "path": str(path), "output": output})

    def _append(self, record: dict[str, Any]) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            # End a line that was cut off, so that only that one is lost.
            cut = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
            file.write((b"\n" if cut else b"") + json_text(record, ascii=True).encode() + b"\n")


def file_identity(path: Path) -> str:
    """A hash of a file's path, size and modification time."""
    status = path.stat()
    text = f"{os.path.realpath(path)}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _answer(output: Sequence[float] | None, table: tuple[ClassLabel, ...]) -> Answer:
    if output is None:
        return Answer(None, 0.0)
    best = int(np.argmax(output))
    return Answer(table[best], float(output[best]))


def predict_tracks(
    model: str | os.PathLike[str],
    tracks: Sequence[Track],
    settings: EstimatorSettings | None = None,
    *,
    name: str | None = None,
    cache: Path | None = None,
    watch: Watch = unwatched,
) -> System:
    """Run a model over tracks, except those in the cache.

    A track that cannot be estimated gets an answer with an error and is tried again next time.

    Args:
        model: name or path of a model.
        tracks: tracks to estimate.
        settings: settings of the estimator.
        name: name of the system (default: :func:`model_name`).
        cache: folder to keep outputs in; None keeps nothing.
        watch: called with the tracks to estimate, for a progress bar.

    Raises:
        CheckpointError: the model cannot be loaded or has no class table yet.
    """
    settings = settings or EstimatorSettings()
    name = name or model_name(model)
    path = find_model(model)
    digest = sha256(path)
    known = PredictionCache(cache, digest, settings.identity)
    answers: dict[str, Answer] = {}
    waiting: list[Track] = []
    for track in tracks:
        found = None
        if track.path is not None and track.path.is_file():
            found = known.get(file_identity(track.path))
        if found is None:
            waiting.append(track)
        else:
            answers[track.id] = found
    if waiting or known.table is None:
        from stonekey.estimate.estimator import KeyEstimator

        estimator = KeyEstimator(path, settings=settings)
        known.describe(os.fspath(model), estimator.class_table)
        with watch(name, waiting) as following:
            for track in following:
                try:
                    if track.path is None:
                        raise FileNotFoundError(f"{track.id}: no audio")
                    file = file_identity(track.path)
                    estimate = estimator(track.path)
                    # The model may not be sure enough for its most probable label.
                    has_key = estimate.label is not None
                    output = list(estimate.probabilities.values()) if has_key else None
                except Exception as error:  # of any kind: one bad file must not end the run
                    answers[track.id] = Answer(None, None, reason(error))
                    continue
                known.put(file, track.path, output)
                answers[track.id] = _answer(output, estimator.class_table)
    assert known.table is not None
    details = {"sha256": digest, **settings.identity}
    return System(name, len(known.table), answers, os.fspath(model), details)


def model_name(model: str | os.PathLike[str]) -> str:
    """A model's name for tables: its registered name or its file's (its folder's for "model")."""
    text = os.fspath(model)
    if text in model_names():
        return text
    path = Path(text)
    return path.resolve().parent.name if path.stem == "model" else path.stem or text
