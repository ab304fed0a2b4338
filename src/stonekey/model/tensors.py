"""Which tensors a network has, and whether those of a file are they."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stonekey.model.settings import Architecture

# The bookkeeping of torch's batch norm, which no answer depends on.
_COUNTER = "batch_norm.num_batches_tracked"


def tensor_shapes(arch: Architecture, bins: int, inputs: int = 1) -> dict[str, tuple[int, ...]]:
    """Name -> shape of `stonekey.network.chromanet.ChromaNet`'s state.

    Args:
        arch: of the network.
        bins: of its input, `FrontEnd.crop_bins`.
        inputs: its channels, one for each of `FrontEnd.harmonics`.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for stage, (channels, kernel) in enumerate(zip(arch.channels, arch.kernels, strict=True)):
        down, block = f"time_downsampling_blocks.{stage}.", f"convnext_blocks.{stage}."
        if arch.norm == "frame":
            for part in ("weight", "bias"):
                shapes[f"{down}norm.{part}"] = (bins, inputs)
                shapes[f"{block}norm.{part}"] = (bins, channels)
        wide = 4 * channels
        shapes |= {
            f"{down}conv.weight": (channels, inputs, 1, 2),
            f"{down}conv.bias": (channels,),
            f"{block}gamma": (channels,),
            f"{block}dwconv.weight": (channels, 1, kernel, kernel),
            f"{block}dwconv.bias": (channels,),
            f"{block}pwconv1.weight": (wide, channels),
            f"{block}pwconv1.bias": (wide,),
            f"{block}pwconv2.weight": (channels, wide),
            f"{block}pwconv2.bias": (channels,),
        }
        inputs = channels
    shapes |= {"classifier.weight": (arch.rows, inputs, 1, 1), "classifier.bias": (arch.rows,)}
    if arch.rows == 2:
        shapes |= {"batch_norm.running_mean": (2,), "batch_norm.running_var": (2,)}
    return shapes


def check_shapes(
    shapes: Mapping[str, tuple[int, ...]], arch: Architecture, bins: int, inputs: int = 1
) -> None:
    """Refuse tensors that are not those of the network.

    Raises:
        ValueError: with what is missing, too many, or of another shape.
    """
    wanted = tensor_shapes(arch, bins, inputs)
    given = {name: tuple(shape) for name, shape in shapes.items() if name != _COUNTER}
    if missing := sorted(set(wanted) - set(given)):
        raise ValueError(f"the tensor '{missing[0]}' is missing")
    if unknown := sorted(set(given) - set(wanted)):
        raise ValueError(f"the tensor '{unknown[0]}' is not of its network")
    for name, shape in wanted.items():
        if given[name] != shape:
            raise ValueError(f"the tensor '{name}' has the shape {given[name]}, not {shape}")


def check_values(tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse weights that are no numbers.

    Raises:
        ValueError: for a tensor of another type, or with NaN or infinite values.
    """
    for name, value in tensors.items():
        if name == _COUNTER:
            continue
        if value.dtype.kind != "f":
            raise ValueError(f"the tensor '{name}' is of type {value.dtype}")
        if not np.isfinite(value).all():
            raise ValueError(f"the tensor '{name}' has NaN or infinite values")
        if name.endswith("running_var") and (value < 0).any():
            raise ValueError(f"the tensor '{name}' is a variance below 0")
