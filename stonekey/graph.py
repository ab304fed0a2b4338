"""A model as one ONNX graph, waveform in and class probabilities out, built without torch.

Only standard operators (opset 18), so any ONNX runtime can run the file. The arithmetic is
that of `stonekey.vqt` and `stonekey.chromanet`; tests hold the two to 1e-5 of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stonekey.checkpoint import Checkpoint, CheckpointError, ModelInfo
from stonekey.kernels import BLOCK, FILTER_TAPS, decimation_matrix, octave_kernels
from stonekey.settings import Architecture, FrontEnd

OPSET = 18
IR_VERSION = 8
EPS = 1e-5


class Graph:
    """Collects nodes and constants; each method call returns a tensor's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant; equal ones are stored once."""
        array = np.asarray(value, dtype=dtype)
        for name, known in self.constants.items():
            if known.dtype == array.dtype and np.array_equal(known, array):
                return name
        name = f"const_{len(self.constants)}"
        self.constants[name] = array
        return name

    def ints(self, *values: int) -> str:
        """A constant vector of 64-bit integers."""
        return self.const(values, np.int64)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def slice(self, x: str, start: str, end: str, axis: int) -> str:
        """``x[start:end]`` along one axis."""
        return self.op("Slice", x, start, end, self.ints(axis))

    def gelu(self, x: str) -> str:
        """GELU with the error function; runtimes fuse this form."""
        inner = self.op("Erf", self.op("Div", x, self.const(np.sqrt(2.0))))
        scaled = self.op("Mul", x, self.op("Add", inner, self.const(1.0)))
        return self.op("Mul", scaled, self.const(0.5))


def add_log_vqt(g: Graph, waveform: str, front_end: FrontEnd) -> str:
    """(batch, samples) -> log-VQT (batch, n_bins, frames)."""
    octaves = octave_kernels(front_end)
    bins = front_end.bins_per_octave
    kernels = g.const(octaves.kernels.T[:, None, :])
    half = octaves.taps // 2
    x = waveform
    parts = []
    for octave, hop in enumerate(octaves.hops):
        if octave:
            x = _add_decimation(g, x)
        padded = g.op("Pad", x, g.ints(0, half, 0, half), mode="reflect")
        channel = g.op("Unsqueeze", padded, g.ints(1))
        spectrum = g.op("Conv", channel, kernels, strides=[hop], kernel_shape=[octaves.taps])
        squared = g.op("Mul", spectrum, spectrum)
        real = g.slice(squared, g.ints(0), g.ints(bins), 1)
        imaginary = g.slice(squared, g.ints(bins), g.ints(2 * bins), 1)
        parts.append(g.op("Sqrt", g.op("Add", real, imaginary)))
    stacked = g.op("Concat", *parts[::-1], axis=1)
    surplus = len(parts) * bins - front_end.n_bins
    magnitude = g.slice(stacked, g.ints(surplus), g.ints(len(parts) * bins), 1)
    magnitude = g.op("Mul", magnitude, g.const(octaves.scale[:, None]))
    # 10 log10(m) / 80 + 1, floored at the item's maximum minus 1 (80 dB).
    log = g.op("Log", g.op("Max", magnitude, g.const(1e-10)))
    level = g.op("Add", g.op("Mul", log, g.const(10 / np.log(10) / 80)), g.const(1.0))
    loudest = g.op("ReduceMax", level, g.ints(1, 2), keepdims=1)
    return g.op("Max", level, g.op("Sub", loudest, g.const(1.0)))


def _add_decimation(g: Graph, x: str) -> str:
    """Low-pass and keep every second sample, as a product over blocks of any length."""
    matrix = decimation_matrix()
    row = 2 * BLOCK
    shifts = -(-matrix.shape[0] // row)
    left = (FILTER_TAPS - 1) // 2
    samples = g.slice(g.op("Shape", x), g.ints(1), g.ints(2), 0)
    outputs = g.op("Div", samples, g.ints(2))
    blocks = g.op("Div", g.op("Add", outputs, g.ints(BLOCK - 1)), g.ints(BLOCK))
    padded_length = g.op("Mul", g.op("Add", blocks, g.ints(shifts - 1)), g.ints(row))
    right = g.op("Sub", g.op("Sub", padded_length, samples), g.ints(left))
    # Where the blocks end before the input does, the pad is negative and drops samples.
    padded = g.op("Pad", x, g.op("Concat", g.ints(0, left, 0), right, axis=0))
    rows = g.op("Reshape", padded, g.ints(0, -1, row))
    pieces = []
    for shift in range(shifts):
        end = g.op("Add", blocks, g.ints(shift))
        piece = g.slice(rows, g.ints(shift), end, 1)
        width = min(row, matrix.shape[0] - shift * row)
        pieces.append(piece if width == row else g.slice(piece, g.ints(0), g.ints(width), 2))
    product = g.op("MatMul", g.op("Concat", *pieces, axis=2), g.const(matrix))
    return g.slice(g.op("Reshape", product, g.ints(0, -1)), g.ints(0), outputs, 1)


def _add_norm(g: Graph, x: str, arch: Architecture, weights: dict[str, np.ndarray]) -> str:
    if arch.norm == "joint":
        flat = g.op("Reshape", x, g.ints(0, 1, -1))
        normed = g.op("InstanceNormalization", flat, g.const([1.0]), g.const([0.0]), epsilon=EPS)
        return g.op("Reshape", normed, g.op("Shape", x))
    axes = g.ints(1, 2)
    centred = g.op("Sub", x, g.op("ReduceMean", x, axes, keepdims=1))
    variance = g.op("ReduceMean", g.op("Mul", centred, centred), axes, keepdims=1)
    deviation = g.op("Sqrt", g.op("Add", variance, g.const(EPS)))
    normed = g.op("Div", centred, deviation)
    scaled = g.op("Mul", normed, g.const(weights["weight"].T[..., None]))
    return g.op("Add", scaled, g.const(weights["bias"].T[..., None]))


def _sub(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def add_chromanet(g: Graph, x: str, arch: Architecture, tensors: dict[str, np.ndarray]) -> str:
    """Cropped log-VQT (batch, 84, frames) -> probabilities (batch, outputs)."""
    x = g.op("Unsqueeze", x, g.ints(1))
    for stage, (channels, kernel) in enumerate(zip(arch.channels, arch.kernels, strict=True)):
        down = _sub(tensors, f"time_downsampling_blocks.{stage}.")
        block = _sub(tensors, f"convnext_blocks.{stage}.")
        x = _add_norm(g, x, arch, _sub(down, "norm."))
        x = g.op("Conv", x, g.const(down["conv.weight"]), g.const(down["conv.bias"]),
                 strides=[1, 2], kernel_shape=[1, 2])  # fmt: skip
        x = g.gelu(x)
        pad = kernel // 2
        y = g.op("Pad", x, g.ints(0, 0, pad, pad, 0, 0, pad, pad), mode="edge")
        y = g.op("Conv", y, g.const(block["dwconv.weight"]), g.const(block["dwconv.bias"]),
                 group=channels, kernel_shape=[kernel, kernel])  # fmt: skip
        y = _add_norm(g, y, arch, _sub(block, "norm."))
        y = g.op("Conv", y, g.const(block["pwconv1.weight"][..., None, None]),
                 g.const(block["pwconv1.bias"]), kernel_shape=[1, 1])  # fmt: skip
        y = g.gelu(y)
        # Layer scale is folded into the second product.
        scale = block["gamma"]
        weight = block["pwconv2.weight"] * scale[:, None]
        y = g.op("Conv", y, g.const(weight[..., None, None]),
                 g.const(block["pwconv2.bias"] * scale), kernel_shape=[1, 1])  # fmt: skip
        x = g.op("Add", x, y)
    # Octave pooling and the mean over time.
    frames = g.slice(g.op("Shape", x), g.ints(3), g.ints(4), 0)
    shape = g.op("Concat", g.ints(0, arch.channels[-1], -1, 12), frames, axis=0)
    pooled = g.op("ReduceMean", g.op("Reshape", x, shape), g.ints(2, 4), keepdims=0)
    weight, bias = tensors["classifier.weight"], tensors["classifier.bias"]
    if arch.rows == 2:  # the batch norm's running statistics, folded into the classifier
        gain = 1 / np.sqrt(tensors["batch_norm.running_var"] + EPS)
        weight = weight * gain[:, None, None, None]
        bias = (bias - tensors["batch_norm.running_mean"]) * gain
    logits = g.op("Conv", pooled, g.const(weight[..., 0]), g.const(bias), kernel_shape=[1])
    flat = g.op("Reshape", logits, g.ints(0, -1))
    scaled = g.op("Mul", flat, g.const(1 / arch.temperature))
    return g.op("Softmax", scaled, axis=1)


def build(info: ModelInfo, outputs: int, add_head: Callable[[Graph, str], str]) -> onnx.ModelProto:
    """Front end, then ``add_head`` on the uncropped log-VQT, as a checked ONNX model."""
    g = Graph()
    probabilities = add_head(g, add_log_vqt(g, "waveform", info.front_end))
    g.nodes.append(helper.make_node("Identity", [probabilities], ["probabilities"]))
    graph = helper.make_graph(
        g.nodes,
        "stonekey",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(value, name) for name, value in g.constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="stonekey",
    )  # fmt: skip
    helper.set_model_props(model, info.to_metadata())
    onnx.checker.check_model(model)
    return model


def checkpoint_to_onnx(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The whole model as ONNX.

    Raises:
        CheckpointError: when a tensor that the architecture needs is missing.
    """
    info = checkpoint.info
    arch = info.architecture
    if arch is None:
        raise CheckpointError(f"{info.name}: has no network to export")

    def head(g: Graph, x: str) -> str:
        cropped = g.slice(x, g.ints(0), g.ints(info.front_end.crop_bins), 1)
        return add_chromanet(g, cropped, arch, checkpoint.tensors)

    try:
        return build(info, arch.outputs, head)
    except KeyError as error:
        raise CheckpointError(f"{info.name}: the tensor {error} is missing") from error


def template_to_onnx(
    info: ModelInfo, profiles: np.ndarray, sharpness: float, classes: np.ndarray
) -> onnx.ModelProto:
    """A template model: correlation of the mean chroma with key profiles.

    Args:
        info: description; its class table must be as long as ``classes`` is wide.
        profiles: (n, 12), entry j the weight of pitch class j (C = 0).
        sharpness: factor on the correlations before the softmax.
        classes: (n, outputs), 1 where a profile's probability counts to an output.
    """
    unit = np.asarray(profiles, dtype=np.float64)
    unit = unit - unit.mean(axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    front_end = info.front_end
    by_bin = np.roll(unit, -front_end.lowest_pitch_class, axis=1)

    def head(g: Graph, x: str) -> str:
        cropped = g.slice(x, g.ints(0), g.ints(front_end.crop_bins), 1)
        frames = g.slice(g.op("Shape", cropped), g.ints(2), g.ints(3), 0)
        # Back from the logarithm, up to a factor: log chroma tells keys apart far less well.
        level = g.op("Sub", cropped, g.const(1.0))
        magnitude = g.op("Exp", g.op("Mul", level, g.const(8 * np.log(10))))
        shape = g.op("Concat", g.ints(0, -1, 12), frames, axis=0)
        folded = g.op("ReduceMean", g.op("Reshape", magnitude, shape), g.ints(1), keepdims=0)
        # Every frame has the same say, however loud.
        loudest = g.op("ReduceMax", folded, g.ints(1), keepdims=1)
        even = g.op("Div", folded, g.op("Max", loudest, g.const(1e-30)))
        chroma = g.op("ReduceMean", even, g.ints(2), keepdims=0)
        centred = g.op("Sub", chroma, g.op("ReduceMean", chroma, g.ints(1), keepdims=1))
        length = g.op("ReduceL2", centred, g.ints(1), keepdims=1)
        direction = g.op("Div", centred, g.op("Max", length, g.const(1e-6)))
        correlation = g.op("MatMul", direction, g.const(by_bin.T))
        soft = g.op("Softmax", g.op("Mul", correlation, g.const(sharpness)), axis=1)
        return g.op("MatMul", soft, g.const(classes))

    return build(info, classes.shape[1], head)
