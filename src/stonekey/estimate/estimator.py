"""KeyEstimator: a recording in, its key out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from typing import Any, TypeVar, overload

import numpy as np

from stonekey.estimate.backends import load_backend
from stonekey.estimate.result import KeyEstimate, SegmentEstimate
from stonekey.estimate.segments import Windows, in_step
from stonekey.estimate.settings import EstimatorSettings
from stonekey.estimate.source import PAUSE, Recording, Source, open_source, swing
from stonekey.keys import UNCLEAR, ClassLabel, Key
from stonekey.model.checkpoint import CheckpointError
from stonekey.model.confidence import answer_of, clarity, holds_for_whole
from stonekey.model.registry import DEFAULT_MODEL

_Recording = TypeVar("_Recording", bound=Recording)

# A fast answer that is less likely to be that for the whole recording comes with a warning.
SURE = 0.9


class KeyEstimator:
    """Estimates the key of recordings.

    Args:
        model: name (`stonekey.model.registry.model_names`) or path of a model.
        device: "cpu", or a torch device such as "cuda" (needs the torch extra).
        settings: how recordings are heard and answered.
        options: settings by name, such as ``fast=True``; they go before ``settings``.

    Attributes:
        info: what the model's file says of it.
        class_table: key or key signature of each output.
        settings: as given.
        segment_seconds: length of a segment: the one that this model was trained on, unless the
            settings have another.
        min_clarity: key clarity below which the answer is "no key": this model's own limit, unless
            the settings have another.
        watch: called after every few segments with the seconds heard so far and the length that
            the recording promises, None where it promises none; for a progress bar.

    An estimator can be pickled: a copy loads the model from its file again, and has no ``watch``.

    Raises:
        CheckpointError: when the model cannot be had or has no class table yet.
        TypeError: for an option that does not exist.
        ValueError: for a setting out of range.
    """

    watch: Callable[[float, float | None], None] | None = None

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
        self,
        recording: Recording,
        sample_rate: float | None = None,
        channels_first: bool | None = None,
    ) -> KeyEstimate: ...

    @overload
    def __call__(
        self,
        recording: list[_Recording] | tuple[_Recording, ...],
        sample_rate: float | None = None,
        channels_first: bool | None = None,
    ) -> list[KeyEstimate]: ...

    def __call__(
        self,
        recording: Recording | list[_Recording] | tuple[_Recording, ...],
        sample_rate: float | None = None,
        channels_first: bool | None = None,
    ) -> KeyEstimate | list[KeyEstimate]:
        """Estimate the key of one recording, or of each of a list.

        Args:
            recording: a path; a file's content as bytes or as a binary file object, which is read
                from where it is; samples as an array or tensor of shape (samples,),
                (samples, channels) or (channels, samples), of any scale; or a list of these, the
                first that fails ending it (`each` goes on).
            sample_rate: of the samples, in Hz; not used for files.
            channels_first: whether samples are (channels, samples); None where their shape tells,
                as a sound has at most 32 channels. Not used for files.

        Raises:
            AudioError: when a file cannot be read.
            TypeError: for what is no recording.
            ValueError: for samples without a rate, or not of the shapes above.
        """
        if isinstance(recording, (list, tuple)):
            return [self(one, sample_rate, channels_first) for one in recording]
        with self.source(recording, sample_rate, None, channels_first) as source:
            return self.answer(source)

    def each(
        self,
        recordings: Iterable[Recording],
        sample_rate: float | None = None,
        channels_first: bool | None = None,
    ) -> Iterator[KeyEstimate | Exception]:
        """Estimate one recording after another, whatever is wrong with some of them.

        Args:
            recordings: each as for a call.
            sample_rate: of samples, in Hz.
            channels_first: as for a call.

        Yields:
            For each recording, in their order and as soon as it is known, its estimate or the error
            that a call would have raised.
        """
        for recording in recordings:
            try:
                yield self(recording, sample_rate, channels_first)
            except Exception as error:  # of any kind: the others must not be lost
                yield error

    def source(
        self,
        recording: Recording,
        sample_rate: float | None = None,
        windows: Windows | None = None,
        channels_first: bool | None = None,
    ) -> AbstractContextManager[Source]:
        """One recording, ready to be answered; arguments and errors as for `open_source`."""
        return open_source(
            recording, sample_rate, self.settings, float(self.info.front_end.sample_rate),
            self.segment_seconds, windows, channels_first,
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "watch"}

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
            outputs = self.outputs([x for _, x in batch])
            for (start, x), output in zip(batch, outputs, strict=True):
                heard[number].append((start, len(x), float(swing(x)), output))
            if self.watch and number == 0:
                start, x = batch[-1]
                self.watch((start + len(x)) / source.rate, source.promised_seconds)
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
        if no_signal:
            found = self.of_segments((), source.seconds, None, [*source.warnings, *no_signal])
            return replace(found, segments=segments)
        found = self.of_segments(segments, source.seconds, source.tuner.cents, source.warnings)
        if found.label is not None and source.whole_seconds is not None:
            doubt = self._doubt(segments, source.whole_seconds)
            found = replace(found, warnings=(*found.warnings, *doubt))
        return found

    def outputs(self, segments: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities (n, outputs) of n segments at the model's rate, all of one length."""
        return self._backend.run([self._padded(x) for x in segments])

    def of_segments(
        self,
        segments: tuple[SegmentEstimate, ...],
        duration: float,
        tuning: float | None = None,
        warnings: Sequence[str] = (),
        state: int | None = None,
    ) -> KeyEstimate:
        """The answer that the counted ones among segments give; of none, "no key".

        Args:
            segments: of one recording.
            duration: its length in seconds.
            tuning: its deviation from A = 440 Hz in cents.
            warnings: what is known of it already.
            state: output that is the answer, if there is a key; None for the most probable.
        """
        found = list(warnings)
        counted = [segment.probabilities for segment in segments if segment.counted]
        if not counted:
            return KeyEstimate(
                None, None, 0.0, {}, segments, duration, self.info.name, tuple(found), tuning
            )
        mean = answer_of(counted, self.info.segment_temperature, self.info.confidence_temperature)
        clear = clarity(counted, self.class_table) >= self.min_clarity
        best = state if clear and state is not None else int(mean.argmax())
        label = self.class_table[best]
        confidence = float(mean[best])
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
            segments=segments,
            duration=duration,
            model=self.info.name,
            warnings=tuple(found),
            tuning=tuning,
        )

    def _doubt(self, segments: Sequence[SegmentEstimate], whole: float) -> list[str]:
        """What to say where the parts heard may not answer for the whole recording."""
        heard = sum(segment.end - segment.start for segment in segments)
        counted = [segment.probabilities for segment in segments if segment.counted]
        sure = holds_for_whole(counted, heard / whole, self.info.segment_temperature)
        if sure >= SURE:
            return []
        return [
            f"heard {heard:.0f} s of {whole:.0f} s: the whole gives the same answer with a "
            f"probability of about {sure:.0%}"
        ]

    def _padded(self, samples: np.ndarray) -> np.ndarray:
        """Repeat a clip that is too short for the network.

        Of silence, mirror images and repetition, repetition did best on clips of 1 to 2.9 s,
        and somewhat better over two lengths of the minimum than over one (recipes/LOG.md).
        """
        minimum = self.info.shortest_samples
        return samples if len(samples) >= minimum else np.resize(samples, 2 * minimum)
