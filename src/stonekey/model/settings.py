"""What a model is made of, in numbers: the front end and the network's shape.

Both travel with every model (checkpoint and ONNX file), so that audio at another rate or
a different network is an error, never a silent mistuning.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Norm = Literal["joint", "frame"]
GONE = ("mode_head", False)


def _from_dict(cls: type[Any], values: dict[str, Any]) -> Any:
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown {cls.__name__} setting(s): {', '.join(unknown)}")
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


# What a model's file may ask for at most: enough for any that can be trained, and no more work or
# memory than a recording is worth.
MAX_TAPS = 2**16
MAX_STAGES = 16
MAX_CHANNELS = 1024
MAX_ACTIVATIONS = 2**25


def whole(name: str, value: object, low: int, high: int) -> None:
    """Raise ValueError unless a setting is a whole number within a range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")


def real(name: str, value: object, low: float, high: float) -> None:
    """Raise ValueError unless a setting is a number within a range; NaN never is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")


# The magnitude is exp(LOG_SLOPE * x) of a log-VQT's x, up to a factor: tenfold adds 1/8 to x.
LOG_SLOPE = 8 * math.log(10)


@dataclass(frozen=True)
class FrontEnd:
    """The constant-Q front end (paper, section 2.1).

    Bin ``i`` is centred on ``fmin * 2 ** (i / bins_per_octave)`` Hz; with the defaults bin 0
    is A0 and the ``crop_bins`` lowest of the ``n_bins`` bins are what the network sees at
    inference. Training crops higher by whole semitones, which lowers the content. The network
    sees the mean of every ``average`` frames, hops of ``hop`` samples apart, once for each of
    ``harmonics``: its crop as many octaves higher. The defaults are those of the published models;
    a model's file has its own.
    """

    sample_rate: int = 22050
    hop: int = 512
    fmin: float = 27.5
    n_bins: int = 99
    bins_per_octave: int = 12
    crop_bins: int = 84
    segment_seconds: float = 15.0
    average: int = 1
    harmonics: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        whole("sample_rate", self.sample_rate, 1000, 1_000_000)
        whole("hop", self.hop, 1, 2**16)
        whole("average", self.average, 1, 1024)
        whole("bins_per_octave", self.bins_per_octave, 1, 96)
        whole("n_bins", self.n_bins, 1, 1024)
        whole("crop_bins", self.crop_bins, 1, 1024)
        real("fmin", self.fmin, 1, 20_000)
        real("segment_seconds", self.segment_seconds, 0.1, 600)
        if not self.bins_per_octave <= self.crop_bins <= self.n_bins:
            raise ValueError(
                f"need bins_per_octave <= crop_bins <= n_bins, got {self.bins_per_octave}, "
                f"{self.crop_bins}, {self.n_bins}"
            )
        self._check_harmonics()
        if self.bins_per_octave % 12:
            raise ValueError(
                f"bins_per_octave ({self.bins_per_octave}) must be 12, 24, 36, ...: a crop "
                "transposes only with a whole number of bins in a semitone"
            )
        if self.crop_bins % self.bins_per_octave:
            raise ValueError(
                f"crop_bins ({self.crop_bins}) must be whole octaves of {self.bins_per_octave}"
            )
        if self.hop % 2 ** (self.octaves - 1):
            raise ValueError(
                f"hop ({self.hop}) must be divisible by {2 ** (self.octaves - 1)}: each of the "
                f"{self.octaves} octaves halves it"
            )
        top = self.fmin * 2 ** ((self.n_bins - 1) / self.bins_per_octave)
        if top >= self.sample_rate / 2:
            raise ValueError(
                f"the top bin ({top:.0f} Hz) is above half the sample rate "
                f"({self.sample_rate / 2:.0f} Hz): lower n_bins or fmin"
            )
        # The longest kernel: Q periods of the uppermost octave's lowest bin.
        lowest = top / 2 ** ((self.bins_per_octave - 1) / self.bins_per_octave)
        taps = self.sample_rate / lowest / (2 ** (1 / self.bins_per_octave) - 1)
        if taps > MAX_TAPS:
            raise ValueError(f"a kernel of {taps:.0f} samples: raise fmin or n_bins")
        if self.frames(self.segment_samples) * self.n_bins > MAX_ACTIVATIONS:
            raise ValueError("a segment has too many frames: raise hop or lower segment_seconds")

    @property
    def octaves(self) -> int:
        """Octaves that the bins reach into, the uppermost possibly in part."""
        return math.ceil(self.n_bins / self.bins_per_octave)

    @property
    def segment_samples(self) -> int:
        """Samples in one segment (330 750 by default)."""
        return round(self.segment_seconds * self.sample_rate)

    @property
    def lowest_pitch_class(self) -> int:
        """Pitch class of bin 0, C = 0: 9 (A) by default."""
        return (round(12 * math.log2(self.fmin / 440.0)) + 9) % 12

    @property
    def bins_per_semitone(self) -> int:
        """Bins from one crop to the next, which is a semitone lower: 1 by default."""
        return self.bins_per_octave // 12

    @property
    def transpositions(self) -> int:
        """Number of crops there are: 16 by default, shifts of 0 to 15 semitones."""
        beyond = self.n_bins - self.crop_bins - self.harmonic_bins[-1]
        return beyond // self.bins_per_semitone + 1

    @property
    def harmonic_bins(self) -> tuple[int, ...]:
        """How many bins higher each of the harmonics is read, ascending: (0,) by default."""
        return tuple(self.bins_per_octave * (h.bit_length() - 1) for h in self.harmonics)

    def _check_harmonics(self) -> None:
        for harmonic in self.harmonics:
            whole("a harmonic", harmonic, 1, 64)
            if harmonic & (harmonic - 1):
                raise ValueError(
                    f"harmonic {harmonic} is no whole number of octaves up (1, 2, 4, ... are): "
                    "its bin of a note is that of another pitch class, so bins an octave apart "
                    "could not be taken for one"
                )
        if not self.harmonics or list(self.harmonics) != sorted(set(self.harmonics)):
            raise ValueError(f"harmonics must ascend, got {self.harmonics}")
        if self.crop_bins + self.harmonic_bins[-1] > self.n_bins:
            raise ValueError(
                f"harmonic {self.harmonics[-1]} needs {self.harmonic_bins[-1]} bins above the "
                f"crop: n_bins of at least {self.crop_bins + self.harmonic_bins[-1]}, got "
                f"{self.n_bins}"
            )

    def frames(self, samples: int) -> int:
        """Frames that ``samples`` samples give."""
        return samples // self.hop + 1

    def network_frames(self, samples: int) -> int:
        """Means of ``average`` frames among them: what the network sees."""
        return self.frames(samples) // self.average

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for metadata; without ``harmonics`` where it is the default, as of old."""
        values = asdict(self)
        if self.harmonics == (1,):
            del values["harmonics"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FrontEnd:
        """Inverse of `as_dict`; ValueError on an unknown name."""
        return _from_dict(cls, values)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Architecture:
    """The shape of ChromaNet (paper, section 2.2).

    ``norm`` is "frame" (layer norm of each frame over bins and channels, with weights: the
    published 12-signature model) or "joint" (layer norm over channels, bins and time at
    once, no weights: the published 24-key models, whose output therefore depends on the
    segment's length).
    """

    outputs: int = 24
    norm: Norm = "joint"
    channels: tuple[int, ...] = (2, 3, 40, 40, 30, 10, 3)
    kernels: tuple[int, ...] = (7, 7, 7, 7, 7, 5, 5)
    temperature: float = 1.0
    drop_path: float = field(default=0.1, metadata={"training": True})

    def __post_init__(self) -> None:
        if self.outputs not in (12, 24):
            raise ValueError(f"outputs must be 12 (signatures) or 24 (keys), got {self.outputs}")
        if self.norm not in ("joint", "frame"):
            raise ValueError(f"norm must be 'joint' or 'frame', got {self.norm!r}")
        if len(self.channels) != len(self.kernels):
            raise ValueError("channels and kernels must be equally many")
        whole("the number of stages", len(self.channels), 1, MAX_STAGES)
        for channels, kernel in zip(self.channels, self.kernels, strict=True):
            whole("channels", channels, 1, MAX_CHANNELS)
            whole("kernels", kernel, 1, 63)
        if any(k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernels must be odd, got {self.kernels}")
        real("temperature", self.temperature, 1e-3, 1e3)
        real("drop_path", self.drop_path, 0, 1)

    @property
    def min_frames(self) -> int:
        """Fewest frames the network can take: each stage halves them."""
        return int(2 ** len(self.channels))

    @property
    def rows(self) -> int:
        """Rows of 12 outputs: 1 for signatures, 2 for keys."""
        return self.outputs // 12

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Inverse of `as_dict`; ValueError on an unknown name."""
        # False in every model made before the setting went.
        values = {name: value for name, value in values.items() if (name, value) != GONE}
        return _from_dict(cls, values)  # type: ignore[no-any-return]
