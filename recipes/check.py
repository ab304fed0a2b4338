r"""What is asked of a shipped model, checked: scores, transposition, confidence, "no key".

    python recipes/check.py --model stone24 --dev ../shared/audio/dev/manifest.csv \
        --charts rendered/test/manifest.csv

Needs espeak-ng for speech; drums are played by FluidSynth.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from stonekey.audio import load_audio
from stonekey.data.keyless import KINDS, write_keyless
from stonekey.data.manifest import Track, read_manifest
from stonekey.data.render.sound import find_soundfonts
from stonekey.estimate.estimator import KeyEstimator
from stonekey.evaluation import score_keys, score_signatures
from stonekey.evaluation.confidence import calibration
from stonekey.keys import ClassLabel, Key
from stonekey.synthesis import TIMBRES, cadence

# Other seeds than those of training and of the limit.
UNHEARD = 900_000
CLIPS = 200
LENGTHS = (1, 2, 3, 6, 15)  # seconds
SHIFTS = (-3, -2, -1, 1, 2, 3)


def right_label(estimator: KeyEstimator, key: Key) -> ClassLabel:
    """What the model should answer for a key."""
    return key if len(estimator.class_table) == 24 else key.signature


def check_cadences(estimator: KeyEstimator) -> None:
    """Synthesised cadences in all 24 keys, by timbre."""
    keys = [Key.from_index(i) for i in range(24)]
    for timbre in TIMBRES:
        answers = [estimator(cadence(key, timbre=timbre), 22050).label for key in keys]
        right = sum(a == right_label(estimator, k) for a, k in zip(answers, keys, strict=True))
        print(f"cadences, {timbre}: {right} of 24 right")


def check_transposition(estimator: KeyEstimator, tracks: list[Track]) -> None:
    """Recordings played faster or slower, by which their key moves."""
    kept = {shift: 0 for shift in SHIFTS}
    tuned = 0
    for track in tracks:
        assert track.path is not None
        audio = load_audio(track.path, 22050)
        plain = estimator(audio.samples, 22050).label
        if plain is None:
            continue
        tuned += 1
        for shift in SHIFTS:
            # Samples said to be of a higher rate are higher in pitch.
            moved = estimator(audio.samples, 22050 * 2 ** (shift / 12)).label
            kept[shift] += moved == plain.transpose(shift)
    for shift, count in kept.items():
        print(f"moved by {shift:+d}: {count} of {tuned} answers move along ({count / tuned:.1%})")
    print(f"all shifts: {sum(kept.values()) / (tuned * len(SHIFTS)):.1%}")


def check_confidence(estimator: KeyEstimator, tracks: list[Track], name: str) -> None:
    """Scores, expected calibration error, and the share of recordings without an answer."""
    answers = [estimator(track.path) for track in tracks if track.path is not None]
    keys = [t.key for t in tracks if t.key is not None]
    if len(estimator.class_table) == 24:
        print(f"{name}: MIREX {score_keys(keys, [a.key for a in answers]).mirex.percent()}")
        for mode in ("major", "minor"):
            chosen = [i for i, key in enumerate(keys) if key.mode == mode]
            mirex = score_keys([keys[i] for i in chosen], [answers[i].key for i in chosen]).mirex
            print(f"{name}, {mode}: MIREX {mirex.percent()}, N = {len(chosen)}")
    signatures = [key.signature for key in keys]
    ksea = score_signatures(signatures, [a.signature for a in answers]).ksea
    print(f"{name}: KSEA {ksea.percent()}, N = {len(keys)}")
    right = [a.label == right_label(estimator, k) for a, k in zip(answers, keys, strict=True)]
    told = [a.label is not None for a in answers]
    result = calibration(right, [a.confidence for a in answers], told)
    print(f"{name}: expected calibration error {result.ece:.3f}, N = {sum(told)}")
    print(f"{name}: no key for {told.count(False)} of {len(told)}")


def check_no_key(estimator: KeyEstimator, folder: Path) -> None:
    """Sounds without a key that neither training nor the limit has heard, and silence."""
    for seconds in LENGTHS:
        paths = write_keyless(folder / f"{seconds}s", CLIPS, seconds, UNHEARD, find_soundfonts())
        without = {kind: [] for kind in KINDS}  # type: dict[str, list[bool]]
        for path in paths:
            without[path.name.split("_")[0]].append(estimator(path).label is None)
        kinds = ", ".join(f"{kind} {sum(a)} of {len(a)}" for kind, a in without.items())
        everything = [answer for answers in without.values() for answer in answers]
        print(
            f"no key, {seconds} s: {np.mean(everything):.1%} of {len(everything)} clips ({kinds})"
        )
    silence = estimator(np.zeros(22050 * 12, np.float32), 22050).label is None
    print(f"silence: {'no key' if silence else 'a key'}")


def check_bass(estimator: KeyEstimator) -> None:
    """Single bass notes, E1 to D3: a sine driven through tanh. No key, or the note's own."""
    time = np.arange(22050 * 6) / 22050
    found: Counter[str] = Counter()
    for note in range(28, 51):
        sine = np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time) * np.exp(-time / 2)
        for drive in (1, 4, 10):
            label = estimator(np.tanh(drive * sine).astype(np.float32), 22050).label
            own = isinstance(label, Key) and label.tonic == note % 12
            found["no key" if label is None else "its own key" if own else "another key"] += 1
    print(f"single bass notes, N = {found.total()}: {dict(found)}")


def main() -> None:
    """Read the command line and check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--dev", type=Path, help="manifest of labelled recordings")
    parser.add_argument("--charts", type=Path, help="manifest of renderings set apart")
    parser.add_argument("--folder", type=Path, default=Path("runs/check"))
    arguments = parser.parse_args()
    estimator = KeyEstimator(arguments.model)
    check_cadences(estimator)
    if estimator.min_clarity > 0:
        check_no_key(estimator, arguments.folder / "keyless")
        check_bass(estimator)
    if arguments.charts:
        check_confidence(estimator, list(read_manifest(arguments.charts).usable), "charts")
    if arguments.dev:
        tracks = list(read_manifest(arguments.dev).usable)
        check_confidence(estimator, tracks, "dev")
        check_transposition(estimator, tracks)


if __name__ == "__main__":
    main()
