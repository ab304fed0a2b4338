"""A model as one ONNX graph, from waveform to class probabilities, built without torch.

Uses only standard operators (opset 18), so any ONNX runtime can run it. It computes the same as
`stonekey.network.vqt` and `stonekey.network.chromanet`, rearranged for speed by
`stonekey.graph.front_end` and `stonekey.graph.network`; tests hold the two within 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stonekey.graph.builder import Graph
from stonekey.graph.front_end import add_log_vqt
from stonekey.graph.network import add_chromanet
from stonekey.model.checkpoint import Checkpoint, CheckpointError
from stonekey.model.info import ModelInfo
from stonekey.model.settings import LOG_SLOPE

OPSET = 18
IR_VERSION = 8
# In the metadata of a graph that answers whole recordings (stonekey.estimate.recording_graph).
RECORDING = "recording"


def build(info: ModelInfo, outputs: int, add_head: Callable[[Graph, str], str]) -> onnx.ModelProto:
    """A checked ONNX model: the front end, then ``add_head`` on the uncropped log-VQT."""
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
    """A checkpoint as an ONNX model.

    Raises:
        CheckpointError: it has no network, or lacks a tensor that its architecture needs.
    """
    info = checkpoint.info
    arch = info.architecture
    if arch is None:
        raise CheckpointError(f"{info.name}: has no network to export")

    def head(g: Graph, x: str) -> str:
        size = info.front_end.crop_bins
        parts = [g.part(x, first, first + size, 1) for first in info.front_end.harmonic_bins]
        cropped = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
        return add_chromanet(g, cropped, arch, info.front_end, checkpoint.tensors)

    try:
        return build(info, arch.outputs, head)
    except KeyError as error:
        raise CheckpointError(f"{info.name}: the tensor {error} is missing") from error


def template_to_onnx(
    info: ModelInfo, profiles: np.ndarray, sharpness: float, classes: np.ndarray
) -> onnx.ModelProto:
    """A template model: it correlates the mean chroma with key profiles.

    Args:
        info: describes the model; its class table has one label per output.
        profiles: (n, 12), entry j the weight of pitch class j (C = 0).
        sharpness: factor on the correlations before the softmax.
        classes: (n, outputs), 1 where a profile's probability adds to an output.
    """
    unit = np.asarray(profiles, dtype=np.float64)
    unit = unit - unit.mean(axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    front_end = info.front_end
    by_bin = np.roll(unit, -front_end.lowest_pitch_class, axis=1)

    def head(g: Graph, x: str) -> str:
        cropped = g.part(x, 0, front_end.crop_bins, 1)
        # Undo the logarithm, up to a factor: a log chroma separates keys far less well.
        level = g.op("Sub", cropped, g.const(1.0))
        magnitude = g.op("Exp", g.op("Mul", level, g.const(LOG_SLOPE)))
        octaves = g.reshape(magnitude, 0, front_end.crop_bins // 12, 12, -1)
        folded = g.op("ReduceMean", octaves, g.ints(1), keepdims=0)
        # Every frame counts the same, however loud.
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
