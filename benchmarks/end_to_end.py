"""Time from a file to its key, by part: ``python benchmarks/end_to_end.py [--file F]``.

Without ``--file``, a 210 s piece is synthesised and encoded (ffmpeg, mp3, 44.1 kHz stereo).
Everything is compared with bare decoding by libsndfile; medians of several rounds. The whole
pipeline runs in a process of its own for each backend, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 210
RATE = 22050


def make_mp3(folder: Path) -> Path:
    import soundfile

    from stonekey.keys import Key
    from stonekey.synthesis import piece

    wave, mp3 = folder / "piece.wav", folder / "piece.mp3"
    left = piece(Key.parse("Eb major"), SECONDS, seed=1, sample_rate=44100)
    right = 0.8 * left + 0.2 * np.roll(left, 400)
    soundfile.write(wave, np.stack([left, right], axis=1), 44100)
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", str(wave), "-b:a", "192k", str(mp3)], check=True
    )
    return mp3


def timed(rounds: int, function: Callable[[], Any]) -> tuple[float, Any]:
    """Median seconds of ``function`` after one call to warm up, and its result."""
    result = function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def peak_memory_mb() -> float:
    """Of this process. Not ru_maxrss, which on Linux counts the parent's memory too."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def pipeline(options: argparse.Namespace) -> None:
    """In a process of its own: prints one JSON object."""
    from stonekey import KeyEstimator

    start = time.perf_counter()
    estimator = KeyEstimator(options.model, backend=options.only, threads=options.threads)
    first = estimator(options.file)
    cold = time.perf_counter() - start
    seconds, _ = timed(options.rounds, lambda: estimator(options.file))
    answer = str(first.key or first.signature)
    print(json.dumps({"cold": cold, "warm": seconds, "mb": peak_memory_mb(), "key": answer}))


def report(options: argparse.Namespace, path: Path) -> None:
    import soundfile
    import soxr
    import torch

    from stonekey.checkpoint import Checkpoint, load_checkpoint
    from stonekey.registry import find_model
    from stonekey.segments import segment_starts
    from stonekey.stone import Stone
    from stonekey.vqt import log_vqt

    torch.set_num_threads(options.threads)
    model = find_model(options.model) if options.model else path.parent / "random.safetensors"
    if not options.model:
        from stonekey.checkpoint import save_checkpoint
        from stonekey.keys import Key

        torch.manual_seed(0)
        table = [Key.from_index(i) for i in range(24)]
        model = Path(options.folder) / "random.safetensors"
        save_checkpoint(Checkpoint.from_stone(Stone(class_table=table), "random"), model)
    stone = load_checkpoint(model).to_stone()
    decoding, (samples, rate) = timed(
        options.rounds, lambda: soundfile.read(path, dtype="float32", always_2d=True)
    )
    seconds = len(samples) / rate
    mono = samples.mean(axis=1)
    resampling, wave = timed(options.rounds, lambda: soxr.resample(mono, rate, RATE))
    length = stone.front_end.segment_samples
    starts = segment_starts(len(wave), length)
    batch = torch.from_numpy(np.stack([wave[s : s + length] for s in starts]))
    with torch.inference_mode():
        front, log = timed(options.rounds, lambda: log_vqt(stone.vqt(batch)))
        cropped = log[:, :, : stone.front_end.crop_bins]
        network, _ = timed(options.rounds, lambda: stone.chromanet(cropped))
    print(f"{seconds:.1f} s at {rate} Hz, {samples.shape[1]} channel(s), {len(starts)} segments, "
          f"{options.threads} thread(s), {options.model or 'untrained network'}")  # fmt: skip
    print(f"{'':22}{'ms':>8}  {'x decoding':>10}  {'x real time':>11}  {'peak MB':>8}")

    def row(name: str, time_taken: float, memory: str = "") -> None:
        print(f"{name:22}{1000 * time_taken:8.0f}  {time_taken / decoding:10.2f}  "
              f"{seconds / time_taken:11.0f}  {memory:>8}")  # fmt: skip

    row("decoding (soundfile)", decoding)
    row("resampling (soxr)", resampling)
    row("VQT (torch)", front)
    row("ChromaNet (torch)", network)
    for backend in ("onnx", "torch"):
        command = [sys.executable, __file__, "--only", backend, "--file", str(path), "--model",
                   str(model), "--threads", str(options.threads), "--rounds",
                   str(options.rounds)]  # fmt: skip
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        whole = json.loads(output)
        row(f"whole ({backend})", whole["warm"], f"{whole['mb']:.0f}")
        row("  with loading", whole["cold"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--file", help="recording to use (a synthesised mp3)")
    parser.add_argument("--model", help="name or path of a checkpoint (an untrained network)")
    parser.add_argument("--threads", type=int, default=1, help="for the network (1)")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--only", choices=("onnx", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        pipeline(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = folder
        report(options, Path(options.file) if options.file else make_mp3(Path(folder)))


if __name__ == "__main__":
    main()
