"""A worker process of the server: one recording after another, each with its own options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from stonekey.audio.errors import AudioError
from stonekey.estimate.estimator import KeyEstimator
from stonekey.library.worker import serve
from stonekey.output.records import FileResult
from stonekey.text import reason


@dataclass(frozen=True)
class AnalysisSettings:
    """Settings of a worker.

    Attributes:
        models: path of each model's file by its name, the default one first.
        options: settings of the estimators, `stonekey.estimate.settings.EstimatorSettings`.
        max_duration: limit on the length of a recording in seconds.
        max_time: limit on the analysis of a file in seconds.
    """

    models: dict[str, str]
    options: dict[str, Any]
    max_duration: float
    max_time: float

    program: ClassVar[str] = __name__

    def limit(self, request: dict[str, Any]) -> float:
        """Seconds that a file may take."""
        return self.max_time


@dataclass(frozen=True)
class Analysis:
    """What a request asks of a worker, apart from the file.

    Attributes:
        model: name of the model.
        options: settings of the estimator that differ from the server's.
        notation: how keys are written (`stonekey.keys.NOTATIONS`).
        top: how many of the most probable keys to list.
    """

    model: str
    options: dict[str, Any]
    notation: str = "musical"
    top: int = 3


class Analyst:
    """Answers with ``{"record": {...}}``, the file's JSON record, or ``{"error": reason}``."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = AnalysisSettings(**settings)
        self._estimators: dict[str, KeyEstimator] = {}
        self.model = next(iter(self._settings.models))
        self._estimator(self.model)
        self.limit = self._settings.limit

    def _estimator(self, name: str) -> KeyEstimator:
        if name not in self._estimators:
            path = self._settings.models[name]
            self._estimators[name] = KeyEstimator(path, **self._settings.options)
        return self._estimators[name]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to an `Analysis` as a dictionary, with the file as ``path``."""
        path = Path(request.pop("path"))
        asked = Analysis(**request)
        try:
            estimator = self._estimator(asked.model).with_settings(**asked.options)
            estimator.watch = self._watch(path)
            result = FileResult(path, estimator(path))
        except Exception as error:  # of any kind: the worker goes on
            return {"error": reason(error)}
        return {"record": result.as_dict(asked.model, asked.notation, asked.top)}

    def _watch(self, path: Path) -> Any:
        most = self._settings.max_duration

        def watch(seconds: float, promised: float | None) -> None:
            if max(seconds, promised or 0.0) > most:
                raise AudioError(path, f"is longer than {most:g} s, the limit of this server")

        return watch


def main() -> None:
    """Analyse the server's files."""
    serve(Analyst)
