"""What studios and records do to sound: amplifiers, compression, rooms, vinyl, tape.

All on mono float32 (samples,), each of its length.
"""

from __future__ import annotations

import numpy as np

Rng = np.random.Generator


def filtered(x: np.ndarray, sample_rate: int, low: float, high: float) -> np.ndarray:
    """Let pass what lies between two frequencies in Hz, 12 dB an octave beyond them."""
    f = np.fft.rfftfreq(len(x), 1 / sample_rate)
    response = 1 / (1 + (f / high) ** 4) ** 0.5
    if low > 0:
        response *= f**2 / np.sqrt(f**4 + low**4)
    return np.asarray(np.fft.irfft(np.fft.rfft(x) * response, n=len(x)), np.float32)


def amplifier(x: np.ndarray, sample_rate: int, drive: float, rng: Rng) -> np.ndarray:
    """A guitar amplifier: driven, a little lopsided, through a loudspeaker."""
    level = float(np.sqrt(np.mean(np.square(x)))) or 1.0
    x = filtered(x, sample_rate, 90.0, 7000.0)
    bias = float(rng.uniform(0, 0.4))
    shaped = np.tanh(np.float32(drive / level) * x + np.float32(bias)) - np.float32(np.tanh(bias))
    return filtered(
        shaped, sample_rate, float(rng.uniform(70, 120)), float(rng.uniform(3000, 5500))
    )


def saturated(x: np.ndarray, drive: float) -> np.ndarray:
    """Push the peaks together as tape and valves do; ``drive`` is of three times the RMS."""
    level = 3 * float(np.sqrt(np.mean(np.square(x)))) or 1.0
    out: np.ndarray = np.tanh(np.float32(drive / level) * x)
    return out


def compressed(x: np.ndarray, sample_rate: int, ratio: float) -> np.ndarray:
    """Turn down what is louder than the geometric mean, by 1 / ratio, within about 20 ms."""
    block = round(0.02 * sample_rate)
    powers = np.square(np.pad(x, (0, -len(x) % block))).reshape(-1, block).mean(1)
    for i in range(1, len(powers)):  # it lets go in about 150 ms
        powers[i] = max(powers[i], 0.87 * powers[i - 1])
    mean = float(np.exp(np.log(powers + 1e-5 * powers.max() + 1e-20).mean()))
    gains = np.maximum(powers / mean, 1.0) ** (0.5 * (1 / ratio - 1))
    at = (np.arange(len(powers)) + 0.5) * block
    return np.asarray(x * np.interp(np.arange(len(x)), at, gains), np.float32)


def room(x: np.ndarray, sample_rate: int, seconds: float, wet: float, rng: Rng) -> np.ndarray:
    """Add a reverberation that falls by 60 dB in so many seconds."""
    n = round(seconds * sample_rate)
    t = np.arange(n) / sample_rate
    tail = rng.standard_normal(n) * 10 ** (-3 * t / seconds)
    tail[: round(0.008 * sample_rate)] = 0
    tail /= np.sqrt(np.square(tail).sum())
    size = -(-(len(x) + n) // 4096) * 4096  # a multiple that FFTs are fast at
    response = np.fft.rfft(tail, size) / (1 + (np.fft.rfftfreq(size, 1 / sample_rate) / 3500) ** 2)
    wave = np.fft.irfft(np.fft.rfft(x, size) * response, size)[: len(x)]
    return np.asarray(x + np.float32(wet) * wave, np.float32)


def pumped(x: np.ndarray, sample_rate: int, beat_seconds: float, depth: float) -> np.ndarray:
    """Push down at every beat, as a compressor does that listens to the kick drum."""
    place = np.arange(len(x)) / sample_rate / beat_seconds % 1.0
    return np.asarray(x * (1 - depth * np.clip(1 - place / 0.6, 0, 1) ** 1.5), np.float32)


def taped(x: np.ndarray, sample_rate: int, cents: float, rng: Rng) -> np.ndarray:
    """Play at another speed that wavers by a few cents, slowly and fast (wow and flutter)."""
    t = np.arange(len(x)) / sample_rate
    speed = np.full(len(x), 2 ** (cents / 1200))
    for hertz, depth in ((rng.uniform(0.4, 1.2), 8e-4), (rng.uniform(5, 9), 4e-4)):
        speed += depth * rng.random() * np.sin(2 * np.pi * (hertz * t + rng.random()))
    return np.asarray(np.interp(np.cumsum(speed), np.arange(len(x)), x, right=0.0), np.float32)


def vinyl(x: np.ndarray, sample_rate: int, rng: Rng) -> np.ndarray:
    """Dull it, and add hiss, rumble and crackle."""
    x = filtered(x, sample_rate, 30.0, float(rng.uniform(3000, 8000)))
    level = float(np.sqrt(np.mean(np.square(x))))
    noise = 0.02 * rng.random() * rng.standard_normal(len(x))
    clicks = rng.random(len(x)) < rng.uniform(1, 20) / sample_rate
    noise[clicks] += rng.standard_normal(int(clicks.sum())) * 2.0
    rumble = np.interp(
        np.arange(len(x)),
        np.arange(0, len(x) + 400, 400),
        rng.standard_normal(-(-len(x) // 400) + 1),
    )[: len(x)]
    return np.asarray(x + level * (noise + 0.05 * rng.random() * rumble), np.float32)
