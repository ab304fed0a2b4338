"""Time each part of the way from a file to its key: ``python benchmarks/end_to_end.py [--file F]``.

Without ``--file``, a 210 s piece is synthesised and encoded by ffmpeg (44.1 kHz stereo; mp3, m4a,
flac, ogg). For each file, on one thread, prints the milliseconds of bare decoding (libsndfile,
or FFmpeg for m4a), decoding with mixing and resampling, the front end and the network per 15 s
segment, the whole, and ``--fast``; then start-up time and peak memory.

The parts take turns in one run. Prints medians of processor time, since wall-clock time on a
shared machine also measures other programs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from stonekey import KeyEstimator
from stonekey.audio import stream_audio
from stonekey.audio.deadline import Deadline
from stonekey.audio.mixing import Mixer
from stonekey.audio.pyav_source import PyavSource
from stonekey.graph.export import onnx_bytes
from stonekey.keys import Key
from stonekey.model.registry import find_model
from stonekey.synthesis import piece

SECONDS = 210
ENCODINGS = {
    "mp3": ["-b:a", "192k"],
    "m4a": ["-c:a", "aac", "-b:a", "160k"],
    "flac": [],
    "ogg": ["-c:a", "libvorbis", "-q:a", "5"],
}


def make_files(folder: Path, seconds: float = SECONDS) -> list[Path]:
    """One piece in every format."""
    wave = folder / "piece.wav"
    left = piece(Key.parse("Eb major"), seconds, seed=1, sample_rate=44100)
    soundfile.write(wave, np.stack([left, 0.8 * left + 0.2 * np.roll(left, 400)], axis=1), 44100)
    files = []
    for suffix, options in ENCODINGS.items():
        files.append(wave.with_suffix(f".{suffix}"))
        command = ["ffmpeg", "-loglevel", "error", "-i", str(wave), *options, str(files[-1])]
        subprocess.run(command, check=True)
    return files


def decode(path: Path) -> None:
    if path.suffix == ".m4a":
        with path.open("rb") as file:
            for _ in PyavSource(str(path), Mixer(), Deadline(path), file).blocks():
                pass
    else:
        soundfile.read(path, dtype="float32", always_2d=True)


def medians(parts: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of processor time; the parts take turns, after one call to warm up."""
    times: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(rounds + 1):
        for name, part in parts.items():
            start = time.process_time()
            part()
            if turn:
                times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def front_end_alone(model: Path) -> Callable[[np.ndarray], object]:
    """The part of the model's graph before the network."""
    import onnx
    import onnxruntime

    graph = onnx.load_from_string(onnx_bytes(model))
    last = [n for n in graph.graph.node if n.op_type == "Max"][1]  # the floor of the log-VQT
    at = list(graph.graph.node).index(last)
    del graph.graph.node[at + 1 :]
    del graph.graph.output[:]
    graph.graph.output.append(onnx.helper.make_tensor_value_info(last.output[0], 1, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda segment: session.run(None, {"waveform": segment})


def report(model: str, files: list[Path], rounds: int) -> None:
    path = find_model(model)
    estimator = KeyEstimator(path, threads=1)
    fast = KeyEstimator(path, threads=1, fast=True)
    front_end = front_end_alone(path)
    length = estimator.info.front_end.segment_samples
    rng = np.random.default_rng(0)
    segment = (0.1 * rng.standard_normal((1, length))).astype(np.float32)
    print(f"{'':>6}{'bare':>8}{'decoding,':>11}{'front end':>11}{'network':>9}{'whole':>8}"
          f"{'x bare':>8}{'x real':>8}{'fast':>7}{'x whole':>9}")  # fmt: skip
    print(f"{'':>6}{'decoding':>8}{'resampling':>11}{'a segment':>11}{'a segment':>9}{'':>8}"
          f"{'decoding':>8}{'time':>8}{'':>7}{'':>9}")  # fmt: skip
    for file in files:
        found = medians(
            {
                "bare": lambda f=file: decode(f),
                "decoding": lambda f=file: list(stream_audio(f)),
                "front end": lambda: front_end(segment),
                "model": lambda: estimator._backend.run(segment),
                "whole": lambda f=file: estimator(f),
                "fast": lambda f=file: fast(f),
            },
            rounds,
        )
        seconds = estimator(file).duration
        network = found["model"] - found["front end"]
        print(f"{file.suffix[1:]:>6}{found['bare']:8.0f}{found['decoding']:11.0f}"
              f"{found['front end']:11.1f}{network:9.1f}{found['whole']:8.0f}"
              f"{found['whole'] / found['bare']:8.2f}{1000 * seconds / found['whole']:8.0f}"
              f"{found['fast']:7.0f}{found['whole'] / found['fast']:9.2f}")  # fmt: skip


CHILD = """
import sys, time
from pathlib import Path
from stonekey.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
status = Path("/proc/self/status")
peak = status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else 0
print(int(peak) / 1024, time.process_time(), file=sys.stderr)
"""


def command_line(*arguments: str) -> tuple[float, float, float]:
    """Wall-clock seconds, processor seconds and peak memory in MB of one command."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - start
    memory, seconds = map(float, done.stderr.split()[-2:])
    return wall, seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--file", type=Path, help="recording to use (default: synthesised ones)")
    parser.add_argument("--model", default="template", help="name or path of a model (template)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (7)")
    parser.add_argument(
        "--hours", type=float, default=0.0, help="also time a WAV of this length (0)"
    )
    parser.add_argument("--folder", type=int, default=0, help="also time so many 60 s mp3s (0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [options.file] if options.file else make_files(folder)
        print(f"milliseconds of processor time, one thread, median of {options.rounds}; "
              f"model {options.model}")  # fmt: skip
        report(options.model, files, options.rounds)
        clip = folder / "clip.mp3"
        cut = ["ffmpeg", "-loglevel", "error", "-i", str(files[0]), "-t"]
        subprocess.run([*cut, "30", str(clip)], check=True)
        runs = [command_line(str(clip), "-m", options.model) for _ in range(5)]
        wall, seconds, memory = (min(values) for values in zip(*runs, strict=True))
        print(f"30 s mp3, from the start of the process: {wall:.2f} s ({seconds:.2f} s of "
              f"processor time), {memory:.0f} MB; best of 5")  # fmt: skip
        _, _, memory = command_line(str(files[0]), "-m", options.model)
        print(f"{files[0].name}: peak memory {memory:.0f} MB")
        if options.hours:
            long = folder / "long.wav"
            with soundfile.SoundFile(long, "w", 44100, 1, "PCM_16") as file:
                minute = 0.1 * rng_noise(60 * 44100)
                for _ in range(round(60 * options.hours)):
                    file.write(minute)
            wall, seconds, memory = command_line(str(long), "-m", options.model)
            print(f"{options.hours:g} h: {wall:.1f} s, peak memory {memory:.0f} MB")
        if options.folder:
            tracks = folder / "tracks"
            tracks.mkdir()
            subprocess.run([*cut, "60", str(tracks / "0.mp3")], check=True)
            for number in range(1, options.folder):
                (tracks / f"{number}.mp3").hardlink_to(tracks / "0.mp3")
            for jobs in (1, 2, 1, 2):
                wall, seconds, memory = command_line(
                    str(tracks), "-m", options.model, "--jobs", str(jobs), "--threads", "1"
                )
                print(f"{options.folder} tracks of 60 s, {jobs} job(s): {wall:.1f} s "
                      f"({seconds:.1f} s of processor time), {memory:.0f} MB")  # fmt: skip


def rng_noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(samples)


if __name__ == "__main__":
    main()
