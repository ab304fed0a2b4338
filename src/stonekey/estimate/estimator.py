"""KeyEstimator: a recording in, its key out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from stonekey.audio.tuning import Tuner
from stonekey.estimate.backends import load_backend
from stonekey.estimate.result import KeyEstimate, SegmentEstimate
from stonekey.estimate.segments import PEAK_BLOCK_SECONDS, cut, peak_normalised
from stonekey.estimate.settings import EstimatorSettings
from stonekey.keys import ClassLabel, Key
from stonekey.model.checkpoint import CheckpointError
from stonekey.model.confidence import clarity, mean_of_segments, tempered
from stonekey.model.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from torch import Tensor

    from stonekey.audio.excerpts import Excerpts

    Samples = np.ndarray | Tensor

# Full scale is 1. Dither of 16-bit silence stays below this peak.
SILENCE_PEAK = 1e-4
# A segment this far below the recording's peak (60 dB) is a pause, not music.
PAUSE = 1e-3
# Less sound than this in a whole recording (a click, a beep) says nothing of a key.
MIN_SIGNAL_SECONDS = 0.5
ACTIVITY_FRAME_SECONDS = 0.05
# Seconds that a fast estimate hears: more say little more (docs/results.md).
FAST_SECONDS = 75.0
# Correcting the pitch by a semitone takes this much more sound.
FAST_MARGIN = 1.06
# Hz. Below it there is no music, but a rate in kHz or a mistake that would fill the memory.
MIN_SAMPLE_RATE = 1000


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
        self.settings = replace(settings or EstimatorSettings(), **options)
        self._backend = load_backend(
            model, self.settings.device, self.settings.backend, self.settings.threads
        )
        self.info = self._backend.info
        if self.info.class_table is None:
            raise CheckpointError(
                f"{os.fspath(model)}: its outputs have no names yet; "
                f"run: stonekey calibrate {os.fspath(model)}"
            )
        self.class_table: tuple[ClassLabel, ...] = self.info.class_table
        limit = self.settings.min_clarity
        self.min_clarity = self.info.min_clarity if limit is None else limit
        front_end = self.info.front_end
        self.segment_seconds = self.settings.segment_seconds or front_end.segment_seconds
        if self.segment_seconds * front_end.sample_rate < 1:
            raise ValueError(f"segment_seconds is below a sample: {self.segment_seconds}")

    @property
    def _fast_segments(self) -> int:
        return max(1, round(FAST_SECONDS / self.segment_seconds))

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
        if isinstance(recording, (str, os.PathLike)):
            return self._from_file(Path(recording))
        samples = _as_samples(recording, sample_rate)
        from stonekey.audio.mixing import to_mono
        from stonekey.audio.resampling import resample

        assert sample_rate is not None
        mono = to_mono(samples)
        if self.settings.fast and (excerpts := self._excerpts_of(mono, sample_rate)):
            return self._from_excerpts(excerpts)
        tuner = self.tuner()
        rate = self.info.front_end.sample_rate * 2 ** (tuner(mono, sample_rate) / 1200)
        return self._estimate([resample(mono, sample_rate, rate)], tuner)

    def tuner(self) -> Tuner:
        """What hears one recording's tuning and corrects it as the settings say."""
        settings = self.settings
        as_it_is = settings.published_segments and settings.tune == "auto"
        return Tuner("off" if as_it_is else settings.tune)

    def _from_file(self, path: Path) -> KeyEstimate:
        from stonekey.audio.stream import stream_audio

        if self.settings.fast:
            from stonekey.audio.excerpts import read_excerpts

            length = FAST_MARGIN * self.segment_seconds
            if excerpts := read_excerpts(path, self._fast_segments, length):
                return self._from_excerpts(excerpts)
        tuner = self.tuner()
        with stream_audio(path, self.info.front_end.sample_rate, tuner) as stream:
            return self._estimate(stream, tuner, stream.warnings)

    def _excerpts_of(self, mono: np.ndarray, rate: float) -> Excerpts | None:
        """What `stonekey.audio.excerpts.read_excerpts` would read from a file of these samples."""
        from stonekey.audio.excerpts import Excerpts, spread

        length = FAST_MARGIN * self.segment_seconds
        starts = spread(len(mono) / rate, self._fast_segments, length)
        parts = [mono[round(s * rate) :][: round(length * rate)] for s in starts]
        return Excerpts(rate, len(mono) / rate, starts, tuple(parts)) if parts else None

    def _from_excerpts(self, excerpts: Excerpts) -> KeyEstimate:
        from stonekey.audio.resampling import resample

        tuner = self.tuner()
        tuner(np.concatenate(excerpts.parts), excerpts.rate)
        nominal = self.info.front_end.sample_rate
        rate = nominal * 2 ** (tuner.correction / 1200)
        length = round(self.segment_seconds * nominal)
        activity = _Activity(nominal)
        parts = [resample(part, excerpts.rate, rate)[:length] for part in excerpts.parts]
        normalised = peak_normalised(activity.watch(parts), len(parts) * length)
        starts = [round(start * rate) for start in excerpts.starts]
        return self._answer(zip(starts, normalised, strict=True), activity, tuner, excerpts.seconds)

    def _estimate(
        self,
        blocks: Iterable[np.ndarray],
        tuner: Tuner | None = None,
        warnings: list[str] | None = None,
    ) -> KeyEstimate:
        """Mono blocks at the model's rate -> estimate; ``warnings`` is read at the end."""
        tuner = tuner or Tuner("off")
        rate = float(self.info.front_end.sample_rate)
        length = round(self.segment_seconds * rate)
        activity = _Activity(rate)
        pieces = cut(
            peak_normalised(activity.watch(blocks), round(PEAK_BLOCK_SECONDS * rate)),
            length,
            self.settings.overlap,
            whole=not self.settings.published_segments,
        )
        return self._answer(pieces, activity, tuner, None, warnings)

    def _answer(
        self,
        pieces: Iterable[tuple[int, np.ndarray]],
        activity: _Activity,
        tuner: Tuner,
        duration: float | None = None,
        warnings: list[str] | None = None,
    ) -> KeyEstimate:
        """Run segments and take their mean; without a duration it is what was heard."""
        ran = list(self._run(pieces))
        # Samples in a second of the recording itself.
        rate = self.info.front_end.sample_rate * 2 ** (tuner.correction / 1200)
        segments = [
            SegmentEstimate(
                start / rate,
                (start + count) / rate,
                output,
                self.settings.published_segments or peak > PAUSE,
            )
            for start, count, peak, output in ran
        ]
        duration = activity.samples / rate if duration is None else duration
        no_signal = activity.no_signal()
        found = [*(warnings or []), *no_signal]
        counted = [segment.probabilities for segment in segments if segment.counted]
        if no_signal or not counted:
            return KeyEstimate(
                None, None, 0.0, {}, tuple(segments), duration, self.info.name,
                tuple(found), None if no_signal else tuner.cents,
            )  # fmt: skip
        mean = mean_of_segments(counted, self.info.softness)
        if self.info.temperature != 1:
            mean = tempered(mean, self.info.temperature)
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
            segments=tuple(segments),
            duration=duration,
            model=self.info.name,
            warnings=tuple(found),
            tuning=tuner.cents,
        )

    def _run(
        self, pieces: Iterable[tuple[int, np.ndarray]]
    ) -> Iterator[tuple[int, int, float, np.ndarray]]:
        """Run segments in batches; yields (first sample, samples, peak, output)."""
        waiting: list[tuple[int, np.ndarray]] = []

        def flush() -> Iterator[tuple[int, int, float, np.ndarray]]:
            if waiting:
                # A recording shorter than a segment is alone, so lengths are equal.
                outputs = self._backend.run([self._padded(x) for _, x in waiting])
                for (start, x), output in zip(waiting, outputs, strict=True):
                    yield start, len(x), float(_swing(x)), output
                waiting.clear()

        for piece in pieces:
            waiting.append(piece)
            if len(waiting) == self.settings.batch_size:
                yield from flush()
        yield from flush()

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


class _Activity:
    """Watches a stream go by: how long it is and whether there is enough sound in it."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._frame = max(1, round(rate * ACTIVITY_FRAME_SECONDS))
        self._levels: list[np.ndarray] = []  # of the whole frames so far
        self._rest = np.empty(0, dtype=np.float32)  # what follows them
        self.samples = 0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            block = np.asarray(block, dtype=np.float32)
            self.samples += len(block)
            seen = np.concatenate([self._rest, block])
            whole = len(seen) - len(seen) % self._frame
            if whole:
                self._levels.append(_swing(seen[:whole].reshape(-1, self._frame)))
                seen = seen[whole:].copy()
            self._rest = seen
            yield block

    def no_signal(self) -> list[str]:
        """Why there cannot be a key, or nothing."""
        if not self.samples:
            return ["silence"]
        rest = [_swing(self._rest[None])] if len(self._rest) else []
        levels = np.concatenate([*self._levels, *rest])
        loudest = levels.max()
        if loudest < SILENCE_PEAK:
            return ["silence"]
        active = np.flatnonzero(levels > PAUSE * loudest)
        # The last frame may be cut short by the end.
        ends = np.minimum((active + 1) * self._frame, self.samples)
        seconds = (ends - active * self._frame).sum() / self._rate
        if seconds < MIN_SIGNAL_SECONDS:
            return [f"only {seconds:.2g} s of sound, too little for a key"]
        return []


def _swing(samples: np.ndarray) -> np.ndarray:
    """Half the range along the last axis: its peak, but 0 for a constant, which is no sound."""
    return np.asarray(samples.max(axis=-1) / 2 - samples.min(axis=-1) / 2)


def _as_samples(samples: Samples, sample_rate: float | None) -> np.ndarray:
    """Samples that are fit for `stonekey.audio.resample`, as an array."""
    if sample_rate is None:
        raise ValueError("samples need their sample_rate")
    if not MIN_SAMPLE_RATE <= sample_rate < np.inf:  # 44.1 would be a rate in kHz
        raise ValueError(f"sample_rate is in Hz, at least {MIN_SAMPLE_RATE}; got {sample_rate}")
    if not isinstance(samples, np.ndarray) and hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        # numpy has no bfloat16.
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"expected (samples,) or (samples, channels), got {array.shape}")
    if array.ndim == 2 and array.shape[1] > max(32, array.shape[0]):
        raise ValueError(f"{array.shape} looks like (channels, samples): pass it transposed")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"samples must be real numbers, got {array.dtype}")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise ValueError("the samples hold NaN or infinite values")
    return array
