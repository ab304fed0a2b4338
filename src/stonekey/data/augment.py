"""Optional augmentations by name: gain, equaliser, noise, repeat, detune.

Transposition by cropping is the only augmentation of the published models, so none is on by
default. Each comes in two forms that draw from the same ranges:

- on a waveform, ``(samples,)`` or ``(samples, segments)`` float32, peak 1 for a normalised track;
- on a cached log-VQT, ``(frames, bins)`` float32 in the cache's unit, 10 log10(magnitude) / 80, in
  which a gain of g dB is g / 160.

Detuning has no second form: a transform with one bin per semitone cannot be shifted by less. The
cache is built with detuned variants of each track instead (`variant_cents`, `detune_variants`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from stonekey.audio.resampling import resample

GAIN_DB = 12.0
EQUALISER_DB = 12.0
EQUALISER_TERMS = 3
NOISE_SNR_DB = (15.0, 45.0)
REPEAT_CHANCE = 0.08
REPEAT_SHARE = (0.15, 0.65)
MAX_CENTS = 50.0
# Octaves that the equaliser's curve spans on a waveform: those of the 99 bins, from 27.5 Hz.
_LOWEST_HZ = 27.5
_OCTAVES = 8.25
_UNITS_PER_DB = 1 / 160

Generator = np.random.Generator
Waveform = Callable[[np.ndarray, int, Generator], np.ndarray]
LogVqt = Callable[[np.ndarray, Generator], np.ndarray]


def gain(samples: np.ndarray, sample_rate: int, generator: Generator) -> np.ndarray:
    """Scale by a gain uniform within +-12 dB."""
    scale = 10 ** (generator.uniform(-GAIN_DB, GAIN_DB) / 20)
    out: np.ndarray = samples * np.float32(scale)
    return out


def _curve(place: np.ndarray, generator: Generator) -> np.ndarray:
    """A smooth random curve in dB over places 0 .. 1, at most +-`EQUALISER_DB`."""
    weights = generator.uniform(-1, 1, EQUALISER_TERMS) * EQUALISER_DB / EQUALISER_TERMS
    terms = np.arange(1, EQUALISER_TERMS + 1)[:, None]
    return np.asarray(weights @ np.cos(np.pi * terms * place))


def equaliser(samples: np.ndarray, sample_rate: int, generator: Generator) -> np.ndarray:
    """Filter with a curve that is smooth in log-frequency, within +-12 dB."""
    frequencies = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    octave = np.log2(np.maximum(frequencies, _LOWEST_HZ) / _LOWEST_HZ)
    response = 10 ** (_curve(np.clip(octave / _OCTAVES, 0, 1), generator) / 20)
    spectrum = np.fft.rfft(samples, axis=0)
    spectrum *= response.reshape(-1, *[1] * (samples.ndim - 1))
    return np.fft.irfft(spectrum, n=len(samples), axis=0).astype(np.float32)


def noise(samples: np.ndarray, sample_rate: int, generator: Generator) -> np.ndarray:
    """Add white noise, 15 to 45 dB below the signal's power; silence stays silent."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    level = np.float32(np.sqrt(power * 10 ** (-generator.uniform(*NOISE_SNR_DB) / 10)))
    out: np.ndarray = samples + generator.standard_normal(samples.shape, np.float32) * level
    return out


def _repeated(x: np.ndarray, generator: Generator) -> np.ndarray:
    """Now and then the start of a segment, over and over, in place of the whole.

    As short clips reach the network (`stonekey.estimate`): what repeats may be music.
    """
    if generator.random() >= REPEAT_CHANCE:
        return x
    return x[np.arange(len(x)) % round(generator.uniform(*REPEAT_SHARE) * len(x))]


def repeat(samples: np.ndarray, sample_rate: int, generator: Generator) -> np.ndarray:
    """One time in twelve, repeat the first 15 to 65 % of a segment to fill it."""
    return _repeated(samples, generator)


def repeat_vqt(x: np.ndarray, generator: Generator) -> np.ndarray:
    """As `repeat`."""
    return _repeated(x, generator)


def detune(samples: np.ndarray, sample_rate: int, generator: Generator) -> np.ndarray:
    """Play at another speed, uniform within +-50 cents: (n,) to about (n / 2^(cents/1200),)."""
    return shift_cents(samples, sample_rate, float(generator.uniform(-MAX_CENTS, MAX_CENTS)))


def shift_cents(samples: np.ndarray, sample_rate: int, cents: float) -> np.ndarray:
    """Raise the pitch by ``cents`` (below zero: lower it) by playing faster.

    Args:
        samples: (n,) float32.
        sample_rate: of the samples, in Hz.
        cents: hundredths of a semitone.

    Returns:
        (about n / 2^(cents/1200),) float32 at the same rate: 50 cents up is 2.8 % shorter.
    """
    if not cents:
        return samples
    return resample(samples, sample_rate * 2 ** (cents / 1200), sample_rate)


def detune_variants(
    samples: np.ndarray, sample_rate: int, cents: Sequence[float]
) -> list[np.ndarray]:
    """Versions of a recording, each raised by so many cents: see `shift_cents`."""
    return [shift_cents(samples, sample_rate, value) for value in cents]


def variant_cents(count: int, max_cents: float = MAX_CENTS) -> tuple[float, ...]:
    """Detunings for ``count`` variants: the recording as it is, and others spread evenly.

    Three variants within 50 cents are 0, -50 and 50; five 0, -50, -25, 25 and 50.

    Raises:
        ValueError: unless count is odd and positive and max_cents is 0 to 50.
    """
    if count < 1 or count % 2 == 0:
        raise ValueError(f"the number of variants must be odd, so that one is in tune; got {count}")
    if not 0 <= max_cents <= MAX_CENTS:
        raise ValueError(f"max_cents must be 0 to {MAX_CENTS:g}, got {max_cents}")
    spread = np.linspace(-max_cents, max_cents, count) if count > 1 else np.zeros(1)
    return (0.0, *(float(value) for i, value in enumerate(spread) if i != count // 2))


def gain_vqt(x: np.ndarray, generator: Generator) -> np.ndarray:
    """As `gain`. The network's first norm takes it away again: for completeness only."""
    return x + np.float32(generator.uniform(-GAIN_DB, GAIN_DB) * _UNITS_PER_DB)


def equaliser_vqt(x: np.ndarray, generator: Generator) -> np.ndarray:
    """As `equaliser`: the curve is added to the bins."""
    curve = _curve(np.linspace(0, 1, x.shape[1]), generator) * _UNITS_PER_DB
    return x + curve.astype(np.float32)


def noise_vqt(x: np.ndarray, generator: Generator) -> np.ndarray:
    """Add a noise floor in the magnitude domain, 15 to 45 dB below the mean power.

    White noise has the same mean power in every bin of this transform (kernels of unit L1 norm
    times the root of their length). Its power in a cell is exponential; phases are ignored:
    |signal + noise|^2 is taken as the sum of the two. The level refers to the mean power
    over the cells, a stand-in for that of the waveform.
    """
    power = 10.0 ** (np.float32(16) * x)
    level = float(power.mean()) * 10 ** (-generator.uniform(*NOISE_SNR_DB) / 10)
    power += generator.standard_exponential(x.shape, np.float32) * np.float32(level)
    out: np.ndarray = np.log10(np.maximum(power, np.float32(1e-20))) / np.float32(16)
    return out


WAVEFORM: dict[str, Waveform] = {
    "gain": gain,
    "equaliser": equaliser,
    "noise": noise,
    "repeat": repeat,
    "detune": detune,
}
LOG_VQT: dict[str, LogVqt] = {
    "gain": gain_vqt,
    "equaliser": equaliser_vqt,
    "noise": noise_vqt,
    "repeat": repeat_vqt,
}


def check_names(names: Iterable[str | LogVqt]) -> tuple[str | LogVqt, ...]:
    """The names as a tuple in the order they are applied (detune, repeat, equaliser, ...).

    Functions of a user's own come last, in the order given.

    Raises:
        ValueError: for a name that is none of them.
    """
    given = list(names)
    own = [name for name in given if callable(name)]
    wanted = {name for name in given if not callable(name)}
    if unknown := sorted(map(str, wanted - set(WAVEFORM))):
        known = ", ".join(sorted(WAVEFORM))
        raise ValueError(f"unknown augmentation {', '.join(unknown)} (there are {known})")
    order = ("detune", "repeat", "equaliser", "noise", "gain")
    return (*(name for name in order if name in wanted), *own)


def of_log_vqt(names: Iterable[str | LogVqt]) -> list[LogVqt]:
    """The functions for a cached log-VQT; ``detune`` has none."""
    return [f for name in names if (f := name if callable(name) else LOG_VQT.get(name))]


def path_of(augmentation: str | Callable[..., object]) -> str:
    """A name as it is; of a function, or of an object's class, its name and module."""
    if isinstance(augmentation, str):
        return augmentation
    named = augmentation if hasattr(augmentation, "__qualname__") else type(augmentation)
    return f"{named.__module__}.{named.__qualname__}"
