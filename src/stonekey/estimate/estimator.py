"""KeyEstimator: a recording in, its key out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from stonekey.audio.mixing import LOUDEST, to_mono
from stonekey.audio.resampling import check_rate, resample
from stonekey.audio.tuning import TuneOption, Tuner, checked_option
from stonekey.estimate.backends import BackendName, load_backend
from stonekey.estimate.result import KeyEstimate, SegmentEstimate
from stonekey.estimate.segments import PEAK_BLOCK_SECONDS, cut, peak_normalised
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


class KeyEstimator:
    """Estimates the key of recordings.

    Args:
        model: name (`stonekey.model.registry.model_names`) or path of a model.
        device: "cpu", or a torch device such as "cuda" (needs the torch extra).
        backend: "auto" (ONNX Runtime on the CPU, torch elsewhere), "onnx" or "torch".
        threads: threads that share a recording's segments; None for one per core. The answer is
            the same on any number.
        overlap: share of a 15 s segment that the next one repeats, 0 <= overlap < 1.
        published_segments: cut as the published inference does, for comparison with it: the
            remainder after the last whole segment is dropped and pauses count as well.
        batch_size: segments run at once; bounds memory, does not change the answer.
        tune: "auto" brings music that is not tuned to A = 440 Hz in tune, "off" takes it as it
            is, and a number is the deviation in cents to correct. With ``published_segments``
            auto is off: the published inference corrects nothing.
        segment_seconds: length of a segment; None for what the model was trained on, which is
            what it answers best on.
        min_confidence: an answer less sure than this is "no key".
        min_clarity: a recording less clear than this (`stonekey.model.confidence.clarity`) has "no
            key"; None for the model's own limit, which is 0 for models that have none.
        fast: hear only a few segments spread over a recording, and of a file decode only those.
        timeout: seconds that a file may take; None for a limit by its size
            (`stonekey.audio.deadline.time_limit`), infinite for none.

    Raises:
        CheckpointError: when the model cannot be had or has no class table yet.
        ValueError: for a setting out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        device: str = "cpu",
        *,
        backend: BackendName = "auto",
        threads: int | None = None,
        overlap: float = 0.0,
        published_segments: bool = False,
        batch_size: int = 4,
        tune: TuneOption = "auto",
        segment_seconds: float | None = None,
        fast: bool = False,
        min_confidence: float = 0.0,
        min_clarity: float | None = None,
        timeout: float | None = None,
    ) -> None:
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap must be at least 0 and below 1, got {overlap}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        if fast and (overlap or published_segments):
            raise ValueError("fast places its own segments: no overlap, no published_segments")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be above 0, got {timeout}")
        self.timeout = timeout
        self.fast = fast
        self.overlap = overlap
        self.published_segments = published_segments
        self.batch_size = batch_size
        self._backend = load_backend(model, device, backend, threads)
        self.info = self._backend.info
        if self.info.class_table is None:
            raise CheckpointError(
                f"{os.fspath(model)}: its outputs have no names yet; "
                f"run: stonekey calibrate {os.fspath(model)}"
            )
        self.class_table: tuple[ClassLabel, ...] = self.info.class_table
        self.min_confidence = min_confidence
        self.min_clarity = self.info.min_clarity if min_clarity is None else min_clarity
        for name, value in (("confidence", min_confidence), ("clarity", self.min_clarity)):
            if not 0 <= value <= 1:
                raise ValueError(f"min_{name} must be 0 to 1, got {value}")
        self.tune = checked_option(tune)
        if published_segments and tune == "auto":
            self.tune = "off"
        front_end = self.info.front_end
        self.segment_seconds = segment_seconds or front_end.segment_seconds
        if not self.segment_seconds * front_end.sample_rate >= 1:
            raise ValueError(f"segment_seconds must be positive, got {segment_seconds}")

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
        assert sample_rate is not None
        mono = to_mono(samples)
        if self.fast and (excerpts := self._excerpts_of(mono, sample_rate)):
            return self._from_excerpts(excerpts)
        tuner = Tuner(self.tune)
        rate = self.info.front_end.sample_rate * 2 ** (tuner(mono, sample_rate) / 1200)
        return self._estimate([resample(mono, sample_rate, rate)], tuner)

    def _from_file(self, path: Path) -> KeyEstimate:
        from stonekey.audio.stream import stream_audio

        if self.fast:
            from stonekey.audio.excerpts import read_excerpts

            length = FAST_MARGIN * self.segment_seconds
            if excerpts := read_excerpts(path, self._fast_segments, length, self.timeout):
                return self._from_excerpts(excerpts)
        tuner = Tuner(self.tune)
        with stream_audio(path, self.info.front_end.sample_rate, tuner, self.timeout) as stream:
            return self._estimate(stream, tuner, stream.warnings)

    def _excerpts_of(self, mono: np.ndarray, rate: float) -> Excerpts | None:
        """What `stonekey.audio.excerpts.read_excerpts` would read from a file of these samples."""
        from stonekey.audio.excerpts import Excerpts, spread

        length = FAST_MARGIN * self.segment_seconds
        starts = spread(len(mono) / rate, self._fast_segments, length)
        parts = [mono[round(s * rate) :][: round(length * rate)] for s in starts]
        return Excerpts(rate, len(mono) / rate, starts, tuple(parts)) if parts else None

    def _from_excerpts(self, excerpts: Excerpts) -> KeyEstimate:
        tuner = Tuner(self.tune)
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
            self.overlap,
            whole=not self.published_segments,
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
                self.published_segments or peak > PAUSE,
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
        mean = mean_of_segments(counted, self.class_table, self.info.softness)
        if self.info.temperature != 1:
            mean = tempered(mean, self.info.temperature)
        best = int(mean.argmax())
        label = self.class_table[best]
        confidence = float(mean[best])
        clear = clarity(counted, self.class_table) >= self.min_clarity
        if not clear:
            found.append("no clear key: noise, speech or drums?")
        elif confidence < self.min_confidence:
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
            if len(waiting) == self.batch_size:
                yield from flush()
        yield from flush()

    def _padded(self, samples: np.ndarray) -> np.ndarray:
        """Repeat a clip that is too short for the network.

        Of silence, mirror images and repetition, repetition did best on clips of 1 to 2.9 s,
        and somewhat better over two lengths of the minimum than over one (docs/results.md).
        """
        arch, front_end = self.info.architecture, self.info.front_end
        minimum = front_end.sample_rate
        if arch is not None:
            minimum = max(minimum, (arch.min_frames - 1) * front_end.hop)
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
    check_rate(sample_rate)  # 44.1 would be a rate in kHz
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
        if not (np.abs(array) <= LOUDEST).all():
            raise ValueError(f"the samples hold NaN, infinite values or ones beyond {LOUDEST:g}")
    return array
