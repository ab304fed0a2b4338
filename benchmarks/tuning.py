"""Test that detuned music gets the same key as music in tune, with and without ``--tune auto``.

``python benchmarks/tuning.py [--model M] [--pieces N] [--manifest labels.csv]``

Detunes synthesised pieces, and the recordings of a manifest (columns path and key) if given, by
-50 to +50 cents; a recording by changing its speed. Compares each answer with the one at 0 cents
without correction.

Music detuned by half a semitone is as close to its neighbouring key as to its own. Where the
detected tuning has wrapped around the circle of 100 cents, the answer belongs to the neighbouring
semitone. The rows "off" and "auto" count answers equal to those at 0 cents; "or neighbour" counts
answers equal after a transposition by the semitones that the detected tuning implies.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from stonekey.keys import Key

STEPS = tuple(range(-50, 51, 10))
RATE = 44100
# Maps cents to the detuned music: (samples, rate in Hz).
Detuned = Callable[[float], tuple[np.ndarray, float]]


def detuned_piece(key: Key, seed: int, cents: float) -> tuple[np.ndarray, float]:
    from stonekey.synthesis import piece

    return piece(key, seconds=30, seed=seed, cents=cents), 22050.0


def detuned_recording(samples: np.ndarray, cents: float) -> tuple[np.ndarray, float]:
    return samples, RATE * 2 ** (cents / 1200)


def pieces(count: int) -> Iterator[tuple[Key, Detuned]]:
    for seed in range(count):
        key = Key.from_index(seed % 24)
        yield key, partial(detuned_piece, key, seed)


def recordings(manifest: Path) -> Iterator[tuple[Key, Detuned]]:
    from stonekey.audio import load_audio
    from stonekey.data.manifest import read_manifest

    for track in read_manifest(manifest).usable:
        assert track.path is not None
        assert isinstance(track.key, Key)
        yield track.key, partial(detuned_recording, load_audio(track.path, RATE).samples)


def table(model: str, music: Iterator[tuple[Key, Detuned]], title: str, every: int) -> None:
    from stonekey import KeyEstimator
    from stonekey.evaluation.metrics import ksea_scores, mirex_scores

    estimators = {tune: KeyEstimator(model, threads=1, tune=tune) for tune in ("off", "auto")}
    names = ("off", "auto", "or neighbour")
    same = {name: dict.fromkeys(STEPS, 0) for name in names}
    references: list[Key] = []
    answers: dict[str, list] = {"off": [], "auto": []}
    corrected = count = 0
    errors: list[float] = []
    for number, (key, detuned) in enumerate(music):
        made = detuned(0.0)
        plain, in_tune = (estimators[tune](*made) for tune in ("off", "auto"))
        references.append(key)
        answers["off"].append(plain.label)
        answers["auto"].append(in_tune.label)
        corrected += in_tune.probabilities != plain.probabilities
        if number % every:
            continue
        count += 1
        for cents in STEPS:
            made = detuned(float(cents))
            for tune, estimator in estimators.items():
                found = estimator(*made)
                same[tune][cents] += found.label == plain.label
                if tune == "off":
                    continue
                turns = 0
                if found.tuning is not None and plain.tuning is not None:
                    turns = round((cents - (found.tuning - plain.tuning)) / 100)
                    errors.append(abs(cents - (found.tuning - plain.tuning) - 100 * turns))
                moved = plain.label and plain.label.transpose(turns)
                same["or neighbour"][cents] += found.label == moved
    print(f"\n{title}, {model}: {count} tracks; answers as at 0 cents, %")
    print(f"{'cents':14}" + "".join(f"{cents:6d}" for cents in STEPS) + "    mean")
    for name in names:
        shares = [100 * same[name][cents] / count for cents in STEPS]
        print(f"{name:14}" + "".join(f"{s:6.1f}" for s in shares) + f"{np.mean(shares):8.1f}")
    score = mirex_scores if len(estimators["off"].class_table) == 24 else ksea_scores
    means = {tune: 100 * score(references, found).mean() for tune, found in answers.items()}
    print(
        f"score at 0 cents: off {means['off']:.2f}, "
        f"auto {means['auto']:.2f}; {corrected} of {len(references)} tracks corrected there; "
        f"median error of the detected tuning {np.median(errors):.2f} cents, "
        f"95 % within {np.quantile(errors, 0.95):.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="template", help="name or path (template)")
    parser.add_argument("--pieces", type=int, default=48, help="synthesised pieces (48)")
    parser.add_argument("--manifest", type=Path, help="recordings with their keys")
    parser.add_argument("--every", type=int, default=1, help="detune every Nth track only (1)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.pieces:
        table(options.model, pieces(options.pieces), "synthesised pieces", options.every)
    if options.manifest:
        table(options.model, recordings(options.manifest), "recordings", options.every)


if __name__ == "__main__":
    main()
