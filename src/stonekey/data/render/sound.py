"""Play an arrangement with FluidSynth, and make it sound like a recording."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stonekey.data.augment import equaliser, noise
from stonekey.files import write_atomically

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI

# Hz, that of the models: what is above would not be heard.
SAMPLE_RATE = 22050
# Where distributions of Linux install soundfonts.
FOLDERS = (
    Path("/usr/share/sounds/sf2"),
    Path("/usr/share/sounds/sf3"),
    Path("/usr/share/soundfonts"),
)
TIMEOUT = 300  # seconds for one rendering, which takes one or two
_BLOCK = 1 << 16  # frames; libsndfile's Vorbis encoder fails on very large writes


class RenderError(Exception):
    """A score cannot be rendered here, in words."""


def find_soundfonts(given: Sequence[Path] = ()) -> list[Path]:
    """The soundfonts given, or those installed, each once.

    Raises:
        RenderError: when FluidSynth or a soundfont is missing.
    """
    if shutil.which("fluidsynth") is None:
        raise RenderError("fluidsynth is not installed (Debian: apt-get install fluidsynth)")
    for path in given:
        if not path.is_file():
            raise RenderError(f"{path}: no such soundfont")
    found = given or [p for folder in FOLDERS for p in sorted(folder.glob("*.sf[23]"))]
    # Distributions link a default to one of the others.
    unique = sorted({path.resolve() for path in found}, key=lambda path: path.name)
    if not unique:
        raise RenderError(
            "no soundfont found; on Debian: apt-get install fluid-soundfont-gm "
            "timgm6mb-soundfont musescore-general-soundfont-small"
        )
    return unique


def play(music: PrettyMIDI, soundfont: Path, rng: np.random.Generator | None) -> np.ndarray:
    """Play with a random room, or without one: stereo float32 (samples, 2) at `SAMPLE_RATE`.

    Raises:
        RenderError: when FluidSynth fails.
    """
    import soundfile

    room: dict[str, float] = {"synth.reverb.active": 0, "synth.chorus.active": 0}
    if rng is not None:
        room = {
            "synth.reverb.active": int(rng.random() < 0.85),
            "synth.reverb.room-size": round(float(rng.uniform(0.1, 0.9)), 2),
            "synth.reverb.damp": round(float(rng.uniform(0.0, 0.6)), 2),
            "synth.reverb.level": round(float(rng.uniform(0.1, 0.8)), 2),
            "synth.chorus.active": int(rng.random() < 0.5),
        }
    room |= {"synth.cpu-cores": 1, "synth.dynamic-sample-loading": 1, "audio.period-size": 4096}
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder) / "music.mid", Path(folder) / "music.wav"
        music.write(str(midi))
        options = [text for name, value in room.items() for text in ("-o", f"{name}={value}")]
        command = ["fluidsynth", "-ni", "-q", "-g", "0.4", "-r", str(SAMPLE_RATE), *options]
        try:
            done = subprocess.run(
                [*command, "-T", "wav", "-F", str(wav), str(soundfont), str(midi)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise RenderError(f"fluidsynth did not end within {TIMEOUT} s") from error
        if done.returncode or not wav.is_file():
            raise RenderError(f"fluidsynth failed with {soundfont}: {done.stderr.strip()[-300:]}")
        samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    return np.asarray(samples)


def process(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Equalise, drive, add noise, and normalise: (samples, 2) float32 with a peak of 0.9."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak:
        raise RenderError("the rendering is silent")
    samples = samples / np.float32(peak)
    if rng.random() < 0.7:
        samples = equaliser(samples, SAMPLE_RATE, rng)
    if rng.random() < 0.35:  # as loud records are
        drive = np.float32(rng.uniform(1.5, 4))
        samples = np.tanh(drive * samples)
    if rng.random() < 0.3:
        samples = noise(samples, SAMPLE_RATE, rng)
    return np.asarray(samples * np.float32(0.9 / np.abs(samples).max()), dtype=np.float32)


def write_lossy(path: Path, samples: np.ndarray, quality: float) -> None:
    """Write (samples, channels) float32 as MP3 or Ogg Vorbis, as the suffix says.

    Args:
        path: appears when it is complete.
        samples: at `SAMPLE_RATE`.
        quality: 0 (about 32 kbit/s) to 1 (best).
    """
    import soundfile

    mp3 = path.suffix == ".mp3"

    def write(temporary: Path) -> None:
        with soundfile.SoundFile(
            temporary,
            "w",
            SAMPLE_RATE,
            samples.shape[1],
            format="MP3" if mp3 else "OGG",
            subtype="MPEG_LAYER_III" if mp3 else "VORBIS",
            compression_level=1 - quality,
        ) as stream:
            for start in range(0, len(samples), _BLOCK):
                stream.write(samples[start : start + _BLOCK])

    write_atomically(path, write)
