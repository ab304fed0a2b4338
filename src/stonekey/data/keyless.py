"""Sounds without a key: noise, drums, speech, applause, clicks, one bass note.

To train and test "no key" with.

Everything comes from a seed. Drums are played by FluidSynth where soundfonts are given, speech by
espeak-ng where it is installed; the rest is NumPy.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stonekey.audio.resampling import resample

SAMPLE_RATE = 22050
KINDS = ("noise", "drums", "speech", "applause", "clicks", "bass")
# MIDI numbers of bass notes: D1 to F3.
BASS_NOTES = (26, 53)

Rng = np.random.Generator

_TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea body information back"
)
_VOICES = ("en", "en-us", "en-gb-scotland", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "ru")


def keyless(kind: str, seconds: float, seed: int, soundfonts: Sequence[Path] = ()) -> np.ndarray:
    """A clip without a key.

    Args:
        kind: one of `KINDS`.
        seconds: length.
        seed: of every choice.
        soundfonts: for drums; without any they are synthesised.

    Returns:
        Mono float32 (round(seconds * 22050),) with a peak of 0.8.

    Raises:
        ValueError: for an unknown kind.
        OSError: for speech without espeak-ng.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    count = round(seconds * SAMPLE_RATE)
    if kind == "drums" and soundfonts:
        samples = _played_drums(count, rng, soundfonts)
    else:
        samples = _MAKERS[kind](count, rng)
    samples = samples[:count] - samples[:count].mean()
    peak = np.abs(samples).max()
    return np.asarray(0.8 * samples / (peak or 1.0), dtype=np.float32)


def _coloured(count: int, rng: Rng) -> np.ndarray:
    """Noise with a power spectrum of f^-slope between two frequencies."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    f = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 20.0)
    spectrum *= f ** (-rng.uniform(0, 2) / 2)
    low, width = np.exp(rng.uniform(np.log(20), np.log(1500))), rng.uniform(2.0, 9.0)
    octaves = np.log2(f / low)
    spectrum *= 1 / (1 + np.exp(-6 * octaves)) / (1 + np.exp(6 * (octaves - width)))
    return np.asarray(np.fft.irfft(spectrum, count))


def _noise(count: int, rng: Rng) -> np.ndarray:
    """White, steady, or swelling like wind and surf."""
    if rng.random() < 0.3:
        return rng.standard_normal(count)
    samples = _coloured(count, rng)
    if rng.random() < 0.5:
        t = np.arange(count) / SAMPLE_RATE
        swell = 1 + 0.9 * np.sin(2 * np.pi * (rng.uniform(0.1, 2) * t + rng.random()))
        samples *= swell ** rng.uniform(1, 3)
    return samples


def _hit(rng: Rng) -> np.ndarray:
    """One stroke: noise, or a tone falling in pitch, dying away."""
    t = np.arange(round(rng.uniform(0.05, 0.4) * SAMPLE_RATE)) / SAMPLE_RATE
    decay = np.exp(-t / rng.uniform(0.01, 0.1))
    if rng.random() < 0.4:
        start, fall = rng.uniform(50, 220), rng.uniform(0.02, 0.1)
        phase = start * (t + rng.uniform(0.5, 2) * fall * (1 - np.exp(-t / fall)))
        return np.asarray(np.sin(2 * np.pi * phase) * decay)
    return _coloured(len(t), rng) * decay * 20


def _drums(count: int, rng: Rng) -> np.ndarray:
    """A pattern of a few strokes, repeated with slips."""
    samples = np.zeros(count + SAMPLE_RATE)
    step = SAMPLE_RATE * 15 / rng.uniform(70, 170)  # sixteenths
    for _ in range(int(rng.integers(2, 5))):
        hit, gain = _hit(rng), rng.uniform(0.3, 1)
        pattern = rng.random(16) < rng.uniform(0.15, 0.5)
        for i in range(int(count / step)):
            if pattern[i % 16] != (rng.random() < 0.03):
                at = round(i * step)
                samples[at : at + len(hit)] += gain * rng.uniform(0.7, 1) * hit
    return samples


def _played_drums(count: int, rng: Rng, soundfonts: Sequence[Path]) -> np.ndarray:
    """A pattern on a drum kit of a soundfont."""
    import pretty_midi

    from stonekey.data.render.sound import play

    kit = pretty_midi.Instrument(int(rng.choice([0, 0, 8, 16, 24, 25, 32, 40])), is_drum=True)
    beat = 60 / rng.uniform(70, 170)
    pitches = rng.choice(np.array([36, 38, 42]), 2, replace=False).tolist()
    pitches += rng.choice(np.arange(35, 60), int(rng.integers(1, 4))).tolist()
    for pitch in pitches:
        pattern = rng.random(16) < rng.uniform(0.15, 0.5)
        for i in range(int(count / SAMPLE_RATE / beat * 4)):
            if pattern[i % 16] != (rng.random() < 0.03):
                at, velocity = i * beat / 4, int(rng.integers(60, 120))
                kit.notes.append(pretty_midi.Note(velocity, int(pitch), at, at + 0.1))
    if not kit.notes:
        return _drums(count, rng)
    music = pretty_midi.PrettyMIDI()
    music.instruments.append(kit)
    played = play(music, soundfonts[int(rng.integers(len(soundfonts)))], rng).mean(axis=1)
    return np.resize(played, count)


def _applause(count: int, rng: Rng) -> np.ndarray:
    """Very many claps, each a short burst with a resonance of its own."""
    samples = np.zeros(count + SAMPLE_RATE)
    claps = []
    for _ in range(30):
        t = np.arange(round(rng.uniform(0.005, 0.03) * SAMPLE_RATE)) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * rng.uniform(700, 2500) * t + rng.uniform(0, 6.3))
        claps.append((rng.standard_normal(len(t)) + tone) * np.exp(-t / rng.uniform(0.003, 0.01)))
    for at in rng.integers(0, count, int(count / SAMPLE_RATE * rng.uniform(20, 300))):
        clap = claps[int(rng.integers(len(claps)))]
        samples[at : at + len(clap)] += rng.uniform(0.1, 1) * clap
    return samples + rng.uniform(0, 0.05) * _coloured(len(samples), rng)


def _clicks(count: int, rng: Rng) -> np.ndarray:
    """One to some hundred clicks over a quiet floor."""
    samples = rng.standard_normal(count) * 10 ** rng.uniform(-5, -2.5)
    number = int(np.exp(rng.uniform(0, np.log(300))))
    length = int(rng.integers(1, 60))
    click = rng.standard_normal(length) * np.exp(-np.arange(length) / max(1, length / 4))
    for at in rng.integers(0, max(1, count - length), number):
        samples[at : at + length] += click
    return np.asarray(samples)


def _speech(count: int, rng: Rng) -> np.ndarray:
    """Words in one of several languages' voices, by espeak-ng."""
    import soundfile

    if shutil.which("espeak-ng") is None:
        raise FileNotFoundError("espeak-ng is not installed (Debian: apt-get install espeak-ng)")
    text = " ".join(rng.choice(_TEXT.split(), max(8, round(3.5 * count / SAMPLE_RATE))))
    voice = f"{rng.choice(_VOICES)}+{rng.choice(['m1', 'm3', 'm7', 'f1', 'f2', 'f4'])}"
    speed, pitch = int(rng.integers(120, 200)), int(rng.integers(20, 80))
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(wav)]
        subprocess.run([*command, text], check=True, capture_output=True)
        samples, rate = soundfile.read(wav, dtype="float32")
    return np.resize(resample(samples, rate, SAMPLE_RATE), count)


def _bass(count: int, rng: Rng) -> np.ndarray:
    """One note over and over, as drum machines play it: a sine, falling, driven into saturation."""
    t = np.arange(count) / SAMPLE_RATE
    note = rng.integers(BASS_NOTES[0], BASS_NOTES[1] + 1) + rng.uniform(-0.15, 0.15)
    fall = rng.uniform(0, 1.5) * (rng.random() < 0.5)
    sink, decay, drive = rng.uniform(0.01, 0.05), rng.uniform(0.2, 3), rng.uniform(1, 12)
    beat = rng.uniform(0.25, 2.5) if rng.random() < 0.7 else t[-1] + 1
    samples, start = np.zeros(count), 0.0
    while start <= t[-1]:
        since = t[t >= start] - start
        frequency = 440 * 2 ** ((note - 69) / 12) * (1 + fall * np.exp(-since / sink))
        wave = np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE) * np.exp(-since / decay)
        samples[t >= start] = np.tanh(drive * wave)  # a new stroke ends the last
        start += beat * rng.choice([0.5, 1, 1, 2])
    return samples + rng.uniform(0, 0.1) * (rng.random() < 0.3) * rng.standard_normal(count)


_MAKERS: dict[str, Callable[[int, Rng], np.ndarray]] = {
    "noise": _noise,
    "drums": _drums,
    "speech": _speech,
    "applause": _applause,
    "clicks": _clicks,
    "bass": _bass,
}


def write_keyless(
    folder: Path,
    number: int,
    seconds: float,
    seed: int,
    soundfonts: Sequence[Path] = (),
    shortest: float | None = None,
) -> list[Path]:
    """Write clips of all kinds in turn, WAV files named after their kind; those there are kept.

    With ``shortest``, every other clip is a shorter one, of at least so many seconds, repeated to
    the full length: so the estimator hears short clips.
    """
    from stonekey.synthesis import write_wav

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(number):
        kind = KINDS[i % len(KINDS)]
        path = folder / f"{kind}_{seed + i:06d}.wav"
        if not path.exists():
            length = seconds
            if shortest is not None and i // len(KINDS) % 2:
                ratio = shortest / seconds
                length *= ratio ** np.random.default_rng([seed + i, len(KINDS)]).random()
            samples = keyless(kind, length, seed + i, soundfonts)
            write_wav(path, np.resize(samples, round(seconds * SAMPLE_RATE)), SAMPLE_RATE)
        paths.append(path)
    return paths
