"""The checkpoints that STONE's and S-KEY's authors published: where they are, how they read."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stonekey.keys import ClassLabel, Key, KeySignature
from stonekey.model.settings import Architecture, FrontEnd
from stonekey.model.torchfile import read_torch_file


@dataclass(frozen=True)
class PublishedModel:
    """A checkpoint in its authors' repository, at a pinned commit; ``size`` in bytes."""

    name: str
    file: str
    url: str
    sha256: str
    size: int
    licence: str
    trained_on: str
    class_table: tuple[ClassLabel, ...]


def _row(start: int, mode: Any) -> tuple[Key, ...]:
    return tuple(Key((start + i) % 12, mode) for i in range(12))


_RAW = "https://raw.githubusercontent.com"
_STONE = f"{_RAW}/deezer/stone/9179423f1f3d3ccbe689d8e3359bae352c247501/ckpt"
_SKEY = f"{_RAW}/deezer/skey/918b83d273568d5041569bb8068843d19a335726/skey/models"

# Rows of 12 rise by a semitone; where each starts was found by its authors, or by calibration.
PUBLISHED = (
    PublishedModel(
        "deezer/stone12",
        "semitone_ks.pt",
        f"{_STONE}/semitone_ks.pt",
        "d4bb627c78c164ee78bcd5472217a0943286a36b30b397d9c9da1ce33c026d73",
        1_307_770,
        "none stated",
        "60 000 songs, self-supervised",
        tuple(KeySignature((10 + i) % 12) for i in range(12)),
    ),
    PublishedModel(
        "deezer/stone24",
        "semisupervised_ks_mode.pt",
        f"{_STONE}/semisupervised_ks_mode.pt",
        "eb7a456dcfaf53f9eba3a468071ca3f3214d2f56070d961fff8ac6434ecb3cd5",
        764_986,
        "none stated",
        "60 000 songs, semi-supervised",
        _row(11, "minor") + _row(2, "major"),
    ),
    PublishedModel(
        "deezer/skey",
        "skey.pt",
        f"{_SKEY}/skey.pt",
        "78dfd0ad4fa9434bf7cec70a25934b7c575bda9c80e994700140770ad3a5ead4",
        765_465,
        "MIT",
        "a million songs, self-supervised",
        _row(9, "major") + _row(11, "minor"),
    ),
)


def parse_gin_info(lines: list[str]) -> dict[str, Any]:
    """``name = value`` lines as a dict; values are Python literals, never evaluated."""
    values = {}
    for line in lines:
        match = re.fullmatch(r"\s*([\w.]+)\s*=\s*(.*?)\s*", line)
        if match:
            try:
                values[match[1]] = ast.literal_eval(match[2])
            except (ValueError, SyntaxError) as error:
                raise ValueError(f"cannot read the setting {line.strip()!r}") from error
    return values


@dataclass(frozen=True)
class PublishedContents:
    """What a published-format file holds, in our terms; it carries no class table."""

    front_end: FrontEnd
    architecture: Architecture
    tensors: dict[str, np.ndarray]
    training: dict[str, Any]


def read_published(path: Path) -> PublishedContents:
    """Read a checkpoint of the published format.

    Raises:
        ValueError: when it is not such a checkpoint.
        Whatever `read_torch_file` raises on a file that is not one.
    """
    saved = read_torch_file(path)
    if not isinstance(saved, dict) or not {"stone", "gin_info", "audio"} <= set(saved):
        raise ValueError("no 'stone', 'gin_info' and 'audio' inside: not a published checkpoint")
    gin = parse_gin_info(saved["gin_info"])
    if gin.get("HarmonicVQT.harmonics", [1]) != [1]:
        raise ValueError("only a VQT of the first harmonic is supported")
    tensors = {
        name.removeprefix("chromanet."): value
        for name, value in saved["stone"].items()
        if name.startswith("chromanet.")
    }
    front_end = FrontEnd(
        sample_rate=saved["audio"]["sr"],
        fmin=gin["HarmonicVQT.fmin"],
        n_bins=gin["HarmonicVQT.n_bins"],
        bins_per_octave=gin["HarmonicVQT.bins_per_octave"],
        crop_bins=gin["Stone.n_bins"],
        segment_seconds=float(saved["audio"]["dur"]),
    )
    architecture = Architecture(
        outputs=12 * tensors["classifier.weight"].shape[0],
        norm="frame" if "convnext_blocks.0.norm.weight" in tensors else "joint",
        channels=tuple(gin["Stone.out_channels"]),
        kernels=tuple(gin["Stone.kernels"]),
        temperature=float(gin["Stone.temperature"]),
    )
    training = {
        "epoch": int(saved["epoch"]),
        "validation_loss": loss if math.isfinite(loss := float(saved["val_loss"])) else None,
        "gin": list(saved["gin_info"]),
    }
    return PublishedContents(front_end, architecture, tensors, training)
