"""KeyEstimator: a recording in, its key out."""

from __future__ import annotations

import os
from copy import copy
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from stonekey.estimate.backends import load_backend
from stonekey.estimate.result import KeyEstimate, SegmentEstimate
from stonekey.estimate.settings import EstimatorSettings
from stonekey.estimate.source import PAUSE, Source, open_source, swing
from stonekey.keys import UNCLEAR, ClassLabel, Key
from stonekey.model.checkpoint import CheckpointError
from stonekey.model.confidence import clarity, mean_of_segments, tempered
from stonekey.model.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from torch import Tensor

    Samples = np.ndarray | Tensor


class KeyEstimator:
    """Estimates the key of recordings.

    Args:
        model: name (`stonekey.model.registry.model_names`) or path of a model.
        device: "cpu", or a torch device such as "cuda" (needs the torch extra).
        settings: how recordings are heard and answered.
        options: settings by name, such as ``fast=True``; they go before ``settings``.

    Raises:
        CheckpointError: when the model cannot be had or has no class table yet.
        TypeError: for an option that does not exist.
        ValueError: for a setting out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        device: str | None = None,
        *,
        settings: EstimatorSettings | None = None,
        **options: Any,
    ) -> None:
        if device is not None:
            options["device"] = device
        chosen = replace(settings or EstimatorSettings(), **options)
        self._backend = load_backend(model, chosen.device, chosen.backend, chosen.threads)
        self.info = self._backend.info
        if self.info.class_table is None:
            raise CheckpointError(
                f"{os.fspath(model)}: its outputs have no names yet; "
                f"run: stonekey calibrate {os.fspath(model)}"
            )
        self.class_table: tuple[ClassLabel, ...] = self.info.class_table
        self._adopt(chosen)

    def _adopt(self, settings: EstimatorSettings) -> None:
        self.settings = settings
        limit = settings.min_clarity
        self.min_clarity = self.info.min_clarity if limit is None else limit
        front_end = self.info.front_end
        self.segment_seconds = settings.segment_seconds or front_end.segment_seconds
        if self.segment_seconds * front_end.sample_rate < 1:
            raise ValueError(f"segment_seconds is below a sample: {self.segment_seconds}")

    def with_settings(self, **options: Any) -> KeyEstimator:
        """The same loaded model under other settings; device, backend and threads stay."""
        other = copy(self)
        other._adopt(replace(self.settings, **options))
        return other

    @overload
    def __call__(
        self, recording: str | os.PathLike[str] | Samples, sample_rate: float | None = None
    ) -> KeyEstimate: ...

    @overload
    def __call__(
        self,
        recording: list[str | os.PathLike[str] | Samples],
        sample_rate: float | None = None,
    ) -> list[KeyEstimate]: ...

    def __call__(
        self,
        recording: str | os.PathLike[str] | Samples | list[str | os.PathLike[str] | Samples],
        sample_rate: float | None = None,
    ) -> KeyEstimate | list[KeyEstimate]:
        """Estimate the key of one recording, or of each of a list.

        Args:
            recording: a path, or samples as an array or tensor of shape (samples,) or
                (samples, channels), of any scale; or a list of these.
            sample_rate: of the samples, in Hz; not used for a path.

        Raises:
            AudioError: when a file cannot be read.
            ValueError: for samples without a rate, or not of the shapes above.
        """
        if isinstance(recording, (list, tuple)):
            return [self(one, sample_rate) for one in recording]
        rate = float(self.info.front_end.sample_rate)
        with open_source(
            recording, sample_rate, self.settings, rate, self.segment_seconds
        ) as source:
            return self.answer(source)

    def answer(self, source: Source) -> KeyEstimate:
        """Run the segments of a recording and take their mean."""
        heard: list[tuple[int, int, float, np.ndarray]] = []
        pieces = iter(source.segments)
        while batch := list(islice(pieces, self.settings.batch_size)):
            # A recording shorter than a segment is alone, so all are equally long.
            outputs = self._backend.run([self._padded(x) for _, x in batch])
            for (start, x), output in zip(batch, outputs, strict=True):
                heard.append((start, len(x), float(swing(x)), output))
        rate = source.rate  # known only now
        every = self.settings.published_segments
        segments = [
            SegmentEstimate(start / rate, (start + count) / rate, output, every or peak > PAUSE)
            for start, count, peak, output in heard
        ]
        no_signal = source.activity.no_signal()
        found = [*source.warnings, *no_signal]
        counted = [segment.probabilities for segment in segments if segment.counted]
        if no_signal or not counted:
            return KeyEstimate(
                None, None, 0.0, {}, tuple(segments), source.seconds, self.info.name,
                tuple(found), None if no_signal else source.tuner.cents,
            )  # fmt: skip
        mean = mean_of_segments(counted, self.info.segment_temperature)
        if self.info.confidence_temperature != 1:
            mean = tempered(mean, self.info.confidence_temperature)
        best = int(mean.argmax())
        label = self.class_table[best]
        confidence = float(mean[best])
        clear = clarity(counted, self.class_table) >= self.min_clarity
        if not clear:
            found.append(UNCLEAR)
        elif confidence < self.settings.min_confidence:
            clear = False
            found.append(f"no clear key: {label} with a confidence of only {confidence:.2g}")
        return KeyEstimate(
            key=label if clear and isinstance(label, Key) else None,
            signature=label.signature if clear else None,
            confidence=confidence,
            probabilities={k: float(p) for k, p in zip(self.class_table, mean, strict=True)},
            segments=tuple(segments),
            duration=source.seconds,
            model=self.info.name,
            warnings=tuple(found),
            tuning=source.tuner.cents,
        )

    def _padded(self, samples: np.ndarray) -> np.ndarray:
        """Repeat a clip that is too short for the network.

        Of silence, mirror images and repetition, repetition did best on clips of 1 to 2.9 s,
        and somewhat better over two lengths of the minimum than over one (recipes/LOG.md).
        """
        arch, front_end = self.info.architecture, self.info.front_end
        minimum = front_end.sample_rate
        if arch is not None:
            minimum = max(minimum, (arch.min_frames * front_end.average - 1) * front_end.hop)
        return samples if len(samples) >= minimum else np.resize(samples, 2 * minimum)
