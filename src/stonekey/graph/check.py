"""Whether an ONNX file is a graph that this package could have written, before it is run.

A graph from a stranger could loop for ever, read other files or fill the memory. Of ours it is
known beforehand what it does: the operators of `stonekey.graph.builder`, and for one segment the
size of every tensor, which bounds memory and work.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper

from stonekey.graph.builder import OPERATORS
from stonekey.graph.model import IR_VERSION, OPSET
from stonekey.model.checkpoint import MAX_BYTES
from stonekey.model.info import ModelInfo
from stonekey.model.tensors import check_values

MAX_NODES = 10_000
MAX_TENSOR = 2**26  # numbers in one, for one segment
MAX_WORK = 10**11  # multiplications for one segment: a hundred times what ours need

Shapes = dict[str, tuple[int, ...]]


def check_graph(data: bytes) -> ModelInfo:
    """The description in an ONNX file of ours.

    Raises:
        ValueError, or what onnx raises for a broken file: when it is none of ours.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 10**6} MB")
    model = onnx.load_model_from_string(data)
    info = ModelInfo.from_metadata({entry.key: entry.value for entry in model.metadata_props})
    graph = model.graph
    if [(o.domain, o.version) for o in model.opset_import] != [("", OPSET)]:
        raise ValueError(f"it is not of opset {OPSET}")
    if model.ir_version > IR_VERSION or model.functions or graph.sparse_initializer:
        raise ValueError("it has parts that no graph of ours has")
    if len(graph.node) > MAX_NODES:
        raise ValueError(f"it has more than {MAX_NODES} nodes")
    for node in graph.node:
        inner = any(a.HasField("g") or a.graphs or a.HasField("tp") for a in node.attribute)
        if node.domain or node.op_type not in OPERATORS or inner or len(node.output) != 1:
            raise ValueError(f"it has a node {node.op_type}, which no graph of ours has")
    constants: dict[str, np.ndarray] = {}
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError("its weights are in another file")
        if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64):
            raise ValueError("it has a constant that is neither float32 nor int64")
        constants[tensor.name] = numpy_helper.to_array(tensor)
    check_values({name: value for name, value in constants.items() if value.dtype.kind == "f"})
    outputs = info.architecture.outputs if info.architecture else len(info.class_table or ())
    names = [value.name for value in graph.input], [value.name for value in graph.output]
    if names != (["waveform"], ["probabilities"]):
        raise ValueError("its input is not waveform, or its output not probabilities")
    shapes = known_shapes(model, constants, info.front_end.segment_samples)
    if shapes["probabilities"] != (1, outputs):
        raise ValueError(f"it gives {shapes['probabilities']} and not {outputs} probabilities")
    work = sum(_work(node, shapes) for node in graph.node)
    if work > MAX_WORK:
        raise ValueError(f"it needs {work:.0e} multiplications for a segment")
    return info


def known_shapes(model: onnx.ModelProto, constants: dict[str, np.ndarray], samples: int) -> Shapes:
    """The shape of every tensor for one segment.

    Raises:
        ValueError: when one is too large, or not to be known beforehand.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    batch, length = fixed.graph.input[0].type.tensor_type.shape.dim
    batch.dim_value, length.dim_value = 1, samples
    folded = dict(constants)  # and the lengths that the graph computes as it runs
    while True:
        shapes = {name: value.shape for name, value in folded.items()} | _inferred(fixed)
        new = _folded(fixed.graph, shapes, folded)
        if not new:
            break
        folded |= new
        kept = [node for node in fixed.graph.node if node.output[0] not in new]
        del fixed.graph.node[:]
        fixed.graph.node.extend(kept)
        fixed.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in new.items())
    for node in model.graph.node:
        shape = shapes.get(node.output[0])
        if shape is None:
            raise ValueError(f"the size of {node.output[0]} cannot be known")
        if math.prod(shape) > MAX_TENSOR:
            raise ValueError(f"{node.output[0]} is too large: {shape}")
    return shapes


def _inferred(model: onnx.ModelProto) -> Shapes:
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, data_prop=True).graph
    shapes: Shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def _folded(
    graph: onnx.GraphProto, shapes: Shapes, known: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What nodes give that compute a length, as far as their inputs are known."""
    found: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] in shapes:
            found[node.output[0]] = np.array(shapes[node.input[0]], dtype=np.int64)
        if node.op_type not in ("Slice", "Div"):
            continue
        given = [found.get(name, known.get(name)) for name in node.input]
        values = [v for v in given if v is not None and v.dtype == np.int64 and v.size <= 8]
        if len(values) < len(given):
            continue
        if node.op_type == "Slice" and len(values) == 4 and values[0].ndim == 1:
            found[node.output[0]] = values[0][int(values[1][0]) : int(values[2][0])]
        elif node.op_type == "Div" and len(values) == 2 and np.all(values[1] > 0):
            found[node.output[0]] = values[0] // values[1]
    return found


def _work(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Multiplications of a node."""
    size = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        return size * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "MatMul":
        return size * shapes[node.input[0]][-1]
    return size
