"""The classical baseline: key profiles correlated with the mean chroma.

``python -m stonekey.graph.template`` writes the two template models that the package ships.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from stonekey.files import write_atomically
from stonekey.keys import Key, KeySignature
from stonekey.model.info import ModelInfo
from stonekey.model.settings import FrontEnd

# Weights of the 12 semitones from the tonic up.
# Krumhansl and Kessler, Psychological Review 89 (1982).
KRUMHANSL = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
# Temperley, Music and Probability (2007), from the Kostka-Payne corpus.
TEMPERLEY = {
    "major": (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400),
    "minor": (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330),
}
# Factor on the correlations before the softmax.
SHARPNESS = 20.0


def _unit(profile: tuple[float, ...]) -> np.ndarray:
    centred = np.asarray(profile, dtype=np.float64) - np.mean(profile)
    return np.asarray(centred / np.linalg.norm(centred))


def key_profiles() -> np.ndarray:
    """(24, 12): sum of the two normalised profiles for each key, in the order of `Key.index`."""
    return np.stack(
        [
            np.roll(_unit(KRUMHANSL[mode]) + _unit(TEMPERLEY[mode]), tonic)
            for mode in ("major", "minor")
            for tonic in range(12)
        ]
    )


def relative_pairs() -> np.ndarray:
    """(24, 12): 1 where a key, in the order of `Key.index`, has a key signature."""
    pairs = np.zeros((24, 12))
    for index in range(24):
        pairs[index, Key.from_index(index).signature.tonic] = 1
    return pairs


def write_models(folder: Path) -> None:
    """Write template.onnx and template12.onnx."""
    from stonekey.graph.model import template_to_onnx

    record = {"method": "none: key profiles from the literature"}
    keys = tuple(Key.from_index(i) for i in range(24))
    signatures = tuple(KeySignature(i) for i in range(12))
    for name, table, pairs in (
        ("template", keys, np.eye(24)),
        ("template12", signatures, relative_pairs()),
    ):
        info = ModelInfo(name, FrontEnd(), None, table, licence="MIT", training=record)
        model = template_to_onnx(info, key_profiles(), SHARPNESS, pairs)
        data = model.SerializeToString()
        write_atomically(folder / f"{name}.onnx", partial(Path.write_bytes, data=data))


if __name__ == "__main__":
    write_models(Path(__file__).parents[1] / "model" / "weights")
