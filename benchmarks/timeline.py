"""Test that a timeline finds the one change of key in a piece, and none where there is none.

``python benchmarks/timeline.py [--model M] [--cases N] [--seed S] [--hop H] [--window W]``

Each case has two pieces. The first joins two parts of 20 to 60 s, each random music or plain
cadences, in two different keys (for a 12-signature model, two signatures), without a gap. The
second has the same length, all in the first key.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stonekey.estimate.timeline import Timeline

WITHIN = 5.0  # seconds
RATE = 22050


def part(rng: np.random.Generator, key: object, seconds: float) -> np.ndarray:
    from stonekey.keys import Key
    from stonekey.synthesis import TIMBRES, cadence, piece

    assert isinstance(key, Key)
    seed = int(rng.integers(1 << 30))
    timbre = str(rng.choice(TIMBRES))
    if rng.random() < 0.5:
        return piece(key, seconds, seed=seed)
    return cadence(key, seconds=seconds, timbre=timbre, seed=seed)


def changes(seen: Timeline) -> str:
    found = (f"{m.time:.0f} s {m.before} to {m.after}" for m in seen.modulations)
    return ", ".join(found) or "no change"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="template", help="name or path (template)")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hop", type=float, default=2.0)
    parser.add_argument("--window", type=float)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from stonekey import KeyEstimator
    from stonekey.estimate.timeline import key_timeline
    from stonekey.keys import Key

    estimator = KeyEstimator(options.model, threads=1)
    windows: Any = {"hop": options.hop, "window": options.window}
    signatures = len(estimator.class_table) == 12
    found = alone = named = quiet = 0
    misses: list[str] = []
    errors: list[float] = []
    for case in range(options.cases):
        rng = np.random.default_rng([options.seed, case])
        while True:
            one, two = (Key.from_index(int(i)) for i in rng.choice(24, 2, replace=False))
            if not signatures or one.signature != two.signature:
                break
        first, second = (part(rng, key, float(rng.uniform(20, 60))) for key in (one, two))
        at = len(first) / RATE
        seen = key_timeline(np.concatenate([first, second]), RATE, estimator=estimator, **windows)
        distances = [abs(change.time - at) for change in seen.modulations]
        if min(distances, default=np.inf) <= WITHIN:
            found += 1
            alone += len(distances) == 1
            errors.append(min(distances))
        else:
            misses.append(f"case {case}: {one} to {two} at {at:.0f} s: {changes(seen)}")
        right = (one.signature, two.signature) if signatures else (one, two)
        named += [span.label for span in seen.spans] == list(right)
        still = part(rng, one, len(first) / RATE + len(second) / RATE)
        seen = key_timeline(still, RATE, estimator=estimator, **windows)
        quiet += not seen.modulations
        if seen.modulations:
            misses.append(f"case {case}: {one} throughout: {changes(seen)}")
    print(
        f"{options.model}, {options.cases} cases, seed {options.seed}, hop {options.hop:g} s, "
        f"window {seen.window:g} s"
    )
    print(f"change found within {WITHIN:g} s: {found} (as the only change: {alone}, "
          f"with both keys right: {named})")  # fmt: skip
    print(f"median distance of those found: {np.median(errors):.1f} s")
    print(f"no change where there is none: {quiet}")
    print(*misses, sep="\n")


if __name__ == "__main__":
    main()
