"""Time the VQT against nnAudio's: ``python benchmarks/front_end.py [--threads N]``.

The two take turns in one run, so that a busy machine slows both; compares medians. Needs the
extras torch and dev.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads slow a shared machine

import torch
from nnAudio.features.vqt import VQT as NnAudioVQT

from stonekey.model.settings import FrontEnd
from stonekey.network.vqt import VQT

# Largest share of nnAudio's time allowed, by number of segments.
LIMITS = {13: 1 / 10, 1: 1 / 30}


def milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="torch threads (1)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (7)")
    parser.add_argument("--check", action="store_true", help="exit with 1 above the limits")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    front_end = FrontEnd()
    ours = VQT(front_end)
    theirs = NnAudioVQT(
        sr=front_end.sample_rate,
        hop_length=front_end.hop,
        fmin=front_end.fmin,
        n_bins=front_end.n_bins,
        bins_per_octave=front_end.bins_per_octave,
        verbose=False,
    )
    print(f"torch {torch.__version__}, {options.threads} thread(s), {options.rounds} rounds")
    print(f"{'15 s segments':>13}  {'nnAudio ms':>10}  {'stonekey ms':>11}  {'ms/segment':>10}  "
          f"{'times faster':>12}  {'wanted':>6}")  # fmt: skip
    missed = False
    with torch.inference_mode():
        for segments, limit in LIMITS.items():
            generator = torch.Generator().manual_seed(segments)
            audio = 0.2 * torch.randn(segments, front_end.segment_samples, generator=generator)
            difference = (ours(audio) - theirs(audio)).abs().max()  # the first call warms up
            assert difference < 1e-5, f"the two differ by {difference}"
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(options.rounds):
                times[0].append(milliseconds(lambda x=audio: theirs(x)))
                times[1].append(milliseconds(lambda x=audio: ours(x)))
            slow, fast = (statistics.median(t) for t in times)
            missed |= fast > limit * slow
            print(f"{segments:13d}  {slow:10.1f}  {fast:11.1f}  {fast / segments:10.1f}  "
                  f"{slow / fast:12.1f}  {1 / limit:6.0f}")  # fmt: skip
    return int(missed and options.check)


if __name__ == "__main__":
    raise SystemExit(main())
