r"""What is asked of a shipped model, checked: cadences, transposition, confidence, "no key".

    python recipes/check.py --model stone24 --dev ../shared/audio/dev/manifest.csv

Needs espeak-ng for speech; drums are played by FluidSynth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from stonekey.audio import load_audio
from stonekey.data.keyless import KINDS, write_keyless
from stonekey.data.manifest import Track, read_manifest
from stonekey.data.render.sound import find_soundfonts
from stonekey.estimate.estimator import KeyEstimator
from stonekey.evaluation.confidence import calibration
from stonekey.keys import ClassLabel, Key
from stonekey.synthesis import TIMBRES, cadence

# Other seeds than those of training and of the limit.
UNHEARD = 900_000
CLIPS = 200
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


def check_confidence(estimator: KeyEstimator, tracks: list[Track]) -> None:
    """Expected calibration error, and the share of recordings without an answer."""
    answers = [estimator(track.path) for track in tracks if track.path is not None]
    right = [
        a.label == right_label(estimator, t.key)
        for a, t in zip(answers, tracks, strict=True)
        if t.key is not None
    ]
    told = [a.label is not None for a in answers]
    result = calibration(right, [a.confidence for a in answers], told)
    print(f"expected calibration error {result.ece:.3f}, N = {sum(told)}")
    print(f"no key: {told.count(False)} of {len(told)} recordings")


def check_no_key(estimator: KeyEstimator, folder: Path) -> None:
    """Sounds without a key that neither training nor the limit has heard, and silence."""
    paths = write_keyless(folder, CLIPS, 12.0, UNHEARD, find_soundfonts())
    without = {kind: [] for kind in KINDS}  # type: dict[str, list[bool]]
    for path in paths:
        without[path.name.split("_")[0]].append(estimator(path).label is None)
    for kind, answers in without.items():
        print(f"no key, {kind}: {sum(answers)} of {len(answers)}")
    everything = [answer for answers in without.values() for answer in answers]
    print(f"no key: {np.mean(everything):.1%} of {len(everything)} clips")
    silence = estimator(np.zeros(22050 * 12, np.float32), 22050).label is None
    print(f"silence: {'no key' if silence else 'a key'}")


def main() -> None:
    """Read the command line and check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--dev", type=Path, help="manifest of labelled recordings")
    parser.add_argument("--folder", type=Path, default=Path("runs/check"))
    arguments = parser.parse_args()
    estimator = KeyEstimator(arguments.model)
    check_cadences(estimator)
    if estimator.min_clarity > 0:
        check_no_key(estimator, arguments.folder / "keyless")
    if arguments.dev:
        tracks = list(read_manifest(arguments.dev).usable)
        check_confidence(estimator, tracks)
        check_transposition(estimator, tracks)


if __name__ == "__main__":
    main()
