"""Audio files: find them, and decode any of them to mono float32 at the rate of the models."""

from __future__ import annotations

from stonekey.audio.errors import (
    AudioError,
    EmptyAudioError,
    NoAudioStreamError,
    TimeLimitError,
    TooShortError,
    UnreadableError,
)
from stonekey.audio.files import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS, find_audio_files
from stonekey.audio.resampling import resample
from stonekey.audio.stream import SAMPLE_RATE, Audio, AudioStream, load_audio, stream_audio

__all__ = [
    "AUDIO_EXTENSIONS",
    "SAMPLE_RATE",
    "VIDEO_EXTENSIONS",
    "Audio",
    "AudioError",
    "AudioStream",
    "EmptyAudioError",
    "NoAudioStreamError",
    "TimeLimitError",
    "TooShortError",
    "UnreadableError",
    "find_audio_files",
    "load_audio",
    "resample",
    "stream_audio",
]
