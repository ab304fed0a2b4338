"""KeyEstimator: a recording in, its key out."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from stonekey.estimate.backends import load_backend
from stonekey.estimate.result import KeyEstimate, SegmentEstimate
from stonekey.estimate.segments import Windows, in_step
from stonekey.estimate.settings import EstimatorSettings
from stonekey.estimate.source import PAUSE, Source, open_source, swing
from stonekey.keys import ClassLabel, Key
from stonekey.model.checkpoint import CheckpointError
from stonekey.model.confidence import answer_of, clarity
from stonekey.model.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from stonekey.estimate.source import Recording


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
    def __call__(self, recording: Recording, sample_rate: float | None = None) -> KeyEstimate: ...

    @overload
    def __call__(
        self,
        recording: list[Recording],
        sample_rate: float | None = None,
    ) -> list[KeyEstimate]: ...

    def __call__(
        self,
        recording: Recording | list[Recording],
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
        with self.source(recording, sample_rate) as source:
            return self.answer(source)

    def source(
        self,
        recording: Recording,
        sample_rate: float | None = None,
        windows: Windows | None = None,
    ) -> AbstractContextManager[Source]:
        """One recording, ready to be answered; arguments as for `open_source`."""
        rate = float(self.info.front_end.sample_rate)
        return open_source(
            recording, sample_rate, self.settings, rate, self.segment_seconds, windows
        )

    def answer(self, source: Source) -> KeyEstimate:
        """Run the segments of a recording and take their mean."""
        return self.answer_and_windows(source)[0]

    def answer_and_windows(self, source: Source) -> tuple[KeyEstimate, tuple[SegmentEstimate, ...]]:
        """The answer to a recording, and the outputs of the windows that were asked for with it."""
        streams = (source.segments, source.windows)
        heard: list[list[tuple[int, int, float, np.ndarray]]] = [[], []]
        waiting: list[list[tuple[int, np.ndarray]]] = [[], []]

        def run(number: int) -> None:
            # A recording shorter than a segment is alone, so all of a stream are equally long.
            batch = waiting[number]
            outputs = self._backend.run([self._padded(x) for _, x in batch])
            for (start, x), output in zip(batch, outputs, strict=True):
                heard[number].append((start, len(x), float(swing(x)), output))
            batch.clear()

        for number, start, x in in_step(streams):
            waiting[number].append((start, x))
            if len(waiting[number]) == self.settings.batch_size:
                run(number)
        for number, rest in enumerate(waiting):
            if rest:
                run(number)
        rate = source.rate  # known only now
        every = self.settings.published_segments
        segments, windows = (
            tuple(
                SegmentEstimate(start / rate, (start + count) / rate, output, every or peak > PAUSE)
                for start, count, peak, output in stream
            )
            for stream in heard
        )
        return self._estimate(source, segments), windows

    def _estimate(self, source: Source, segments: tuple[SegmentEstimate, ...]) -> KeyEstimate:
        """What the segments say, all of which have been read."""
        no_signal = source.activity.no_signal()
        found = [*source.warnings, *no_signal]
        counted = [segment.probabilities for segment in segments if segment.counted]
        if no_signal or not counted:
            return KeyEstimate(
                None, None, 0.0, {}, segments, source.seconds, self.info.name,
                tuple(found), None if no_signal else source.tuner.cents,
            )  # fmt: skip
        mean = answer_of(counted, self.info.segment_temperature, self.info.confidence_temperature)
        best = int(mean.argmax())
        label = self.class_table[best]
        confidence = float(mean[best])
        clear = clarity(counted, self.class_table) >= self.min_clarity
        if not clear:
            found.append("no clear key: noise, speech or drums?")
        elif confidence < self.settings.min_confidence:
            clear = False
            found.append(f"no clear key: {label} with a confidence of only {confidence:.2g}")
        return KeyEstimate(
            key=label if clear and isinstance(label, Key) else None,
            signature=label.signature if clear else None,
            confidence=confidence,
            probabilities={k: float(p) for k, p in zip(self.class_table, mean, strict=True)},
            segments=segments,
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
