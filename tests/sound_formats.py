"""Every container and codec that the decoder promises, and how the ffmpeg program makes it.

Needs the standard library alone: `.ci/smoke` uses it without the tests' packages.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

# file name, options of the encoder, decoder expected, tolerance of the amplitudes
FORMATS = [
    ("pcm.wav", "-c:a pcm_s16le", "soundfile", 0.002),
    ("pcm.aiff", "-c:a pcm_s16be", "pyav", 0.002),
    ("pcm.w64", "-c:a pcm_s16le", "pyav", 0.002),
    ("pcm.au", "-c:a pcm_s16be", "pyav", 0.002),
    ("adpcm.wav", "-c:a adpcm_ms", "pyav", 0.02),
    ("plain.flac", "-c:a flac", "soundfile", 0.002),
    ("cbr.mp3", "-c:a libmp3lame -b:a 128k", "soundfile", 0.02),
    ("vbr.mp3", "-c:a libmp3lame -q:a 2", "soundfile", 0.02),
    ("no_length.mp3", "-c:a libmp3lame -q:a 4 -write_xing 0", "pyav", 0.02),
    ("mono_joint.mp3", "-c:a libmp3lame -ar 22050 -b:a 64k", "soundfile", 0.02),
    ("layer2.mp2", "-c:a mp2 -b:a 192k", "pyav", 0.02),
    ("vorbis.ogg", "-c:a libvorbis -q:a 5", "pyav", 0.02),
    ("flac.ogg", "-c:a flac", "pyav", 0.002),
    # The decoders of FFmpeg 7 give rubbish at the codec's higher rates.
    ("speex.spx", "-c:a libspeex -ac 1 -ar 8000 -q:a 10", "pyav", 0.1),
    ("plain.opus", "-c:a libopus -b:a 128k", "pyav", 0.02),
    ("opus.webm", "-c:a libopus -b:a 128k", "pyav", 0.02),
    ("aac.m4a", "-c:a aac -b:a 160k", "pyav", 0.02),
    ("alac.m4a", "-c:a alac", "pyav", 0.002),
    ("aac.3gp", "-c:a aac -b:a 160k", "pyav", 0.02),
    ("plain.aac", "-c:a aac -b:a 160k", "pyav", 0.02),
    ("v2.wma", "-c:a wmav2 -b:a 160k", "pyav", 0.02),
    ("v1.wma", "-c:a wmav1 -b:a 160k", "pyav", 0.02),
    ("plain.ac3", "-c:a ac3 -b:a 192k", "pyav", 0.02),
    ("plain.eac3", "-c:a eac3 -b:a 192k", "pyav", 0.02),
    ("plain.dts", "-c:a dca -strict -2 -b:a 768k", "pyav", 0.02),
    ("plain.ra", "-c:a ac3 -f rm -b:a 192k", "pyav", 0.02),
    ("plain.wv", "-c:a wavpack", "pyav", 0.002),
    ("plain.tta", "-c:a tta", "pyav", 0.002),
    ("plain.mka", "-c:a libvorbis -q:a 5", "pyav", 0.02),
    ("plain.caf", "-c:a pcm_s16le", "pyav", 0.002),
]
# file name, options for a picture and its sound
VIDEOS = [
    ("video.mp4", "-c:v mpeg4 -c:a aac -b:a 160k"),
    ("video.mkv", "-c:v mpeg4 -c:a ac3 -b:a 192k"),
    ("video.avi", "-c:v mpeg4 -c:a libmp3lame -b:a 160k"),
    ("video.flv", "-c:v flv -c:a libmp3lame -b:a 160k"),
    ("video.mov", "-c:v mpeg4 -c:a pcm_s16be"),
    ("video.mpg", "-c:v mpeg1video -c:a mp2 -b:a 192k"),
    ("video.ts", "-c:v mpeg2video -c:a aac -b:a 160k"),
    ("video.webm", "-c:v libvpx -deadline realtime -c:a libvorbis -q:a 5"),
    ("video.wmv", "-c:v wmv2 -c:a wmav2 -b:a 160k"),
]


class NoEncoderError(Exception):
    """This ffmpeg was built without an encoder."""


def encode(program: str, path: Path, inputs: Sequence[str], options: str) -> None:
    """Make a file with the ffmpeg program; ``inputs`` are its arguments that name them.

    Raises:
        NoEncoderError: it lacks the encoder.
        RuntimeError: it fails.
    """
    command = [program, "-v", "error", "-nostdin", "-y", *inputs, *options.split(), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unknown encoder" in done.stderr:
        raise NoEncoderError(f"this ffmpeg lacks the encoder: {options}")
    if done.returncode:
        raise RuntimeError(done.stderr)
