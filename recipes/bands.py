"""Listen to bands by numbers: spectrum, levels and audible key for each style of a manifest.

    python recipes/bands.py rendered/manifest.csv

Prints a Markdown table: N, the shares of energy below 150 Hz, to 2 kHz and above, the RMS in dB
below full scale, the crest factor in dB, how much of the chroma is spread evenly (1: mush, as white
noise has), and how often a key profile (`template`) hears the signature and the key.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from stonekey.estimate.estimator import KeyEstimator
from stonekey.keys import Key

EDGES = (150.0, 2000.0)


def spectrum(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Shares of energy below, between and above `EDGES`: (3,)."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    place = np.searchsorted(EDGES, np.fft.rfftfreq(len(samples), 1 / sample_rate))
    shares = np.bincount(place, power, minlength=3)
    return shares / shares.sum()


def flatness(samples: np.ndarray, sample_rate: int) -> float:
    """Geometric over arithmetic mean of the chroma from 100 Hz to 2 kHz."""
    size = 8192
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2] * np.hanning(
        size
    )
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(0)
    hertz = np.fft.rfftfreq(size, 1 / sample_rate)
    heard = (hertz > 100) & (hertz < 2000)
    pitch = np.round(12 * np.log2(hertz[heard] / 440)).astype(int) % 12
    chroma = np.bincount(pitch, power[heard], minlength=12)
    return float(np.exp(np.log(chroma).mean()) / chroma.mean())


def main() -> None:
    """Read a manifest that ``stonekey data render`` wrote, and print the table."""
    import soundfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--most", type=int, default=40, help="of each style")
    options = parser.parse_args()
    estimator = KeyEstimator("template", threads=1)
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    with options.manifest.open(newline="") as stream:
        for row in csv.DictReader(stream):
            if len(found[row["style"]]) >= options.most:
                continue
            path = options.manifest.parent / row["path"]
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            samples = samples.mean(axis=1)
            rms = float(np.sqrt(np.mean(samples**2)))
            crest = 20 * np.log10(np.abs(samples).max() / rms)
            key, heard = Key.parse(row["key"]), estimator(path)
            signature = heard.signature is not None and heard.signature == key.signature
            values = (*spectrum(samples, rate), 20 * np.log10(rms), crest, flatness(samples, rate))
            found[row["style"]].append(
                (*map(float, values), float(signature), float(heard.key == key))
            )
    print("| style | N | < 150 Hz | to 2 kHz | above | RMS | crest | flatness | signature | key |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for style, values in sorted(found.items()):
        low, middle, high, rms, crest, flat, signature, key_heard = np.mean(values, axis=0)
        print(
            f"| {style} | {len(values)} | {low:.2f} | {middle:.2f} | {high:.2f} | {rms:.1f} | "
            f"{crest:.1f} | {flat:.2f} | {signature:.2f} | {key_heard:.2f} |"
        )


if __name__ == "__main__":
    main()
