"""Whether an ONNX file is a graph that this package could have written, before it is run.

A graph from a stranger could loop for ever, read other files or fill the memory. Of ours it is
known beforehand what it does: the operators of `stonekey.graph.builder`, and for one segment the
size of every tensor, which bounds memory and work.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import helper, numpy_helper

from stonekey.graph.builder import OPERATORS
from stonekey.graph.model import IR_VERSION, OPSET, RECORDING
from stonekey.model.checkpoint import MAX_BYTES
from stonekey.model.info import ModelInfo
from stonekey.model.tensors import check_values

MAX_NODES = 10_000
MAX_TENSOR = 2**26  # numbers in one, for one segment
MAX_WORK = 10**11  # multiplications for one segment: a hundred times what ours need

Shapes = dict[str, tuple[int, ...]]


def check_graph(data: bytes) -> ModelInfo:
    """The description in an ONNX file that stonekey exported.

    Raises:
        ValueError, or what onnx raises for a broken file: when stonekey did not write it.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 10**6} MB")
    model = onnx.load_model_from_string(data)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    info = ModelInfo.from_metadata(metadata)
    if metadata.get("graph") == RECORDING:
        raise ValueError("it answers whole recordings, for apps; use the model it was made from")
    graph = model.graph
    if [(o.domain, o.version) for o in model.opset_import] != [("", OPSET)]:
        raise ValueError(f"it is not of opset {OPSET}")
    if model.ir_version > IR_VERSION or model.functions or graph.sparse_initializer:
        raise ValueError("it has parts that stonekey never writes")
    if len(graph.node) > MAX_NODES:
        raise ValueError(f"it has more than {MAX_NODES} nodes")
    for node in graph.node:
        inner = any(a.HasField("g") or a.graphs or a.HasField("tp") for a in node.attribute)
        if node.domain or node.op_type not in OPERATORS or inner or len(node.output) != 1:
            raise ValueError(f"it has a node {node.op_type}, which stonekey never writes")
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
    if names != (["waveform"], ["probabilities"]) or "waveform" in constants:
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

    One node at a time, as onnx may abort the process where a node before gave a size below zero.

    Raises:
        ValueError: when one is too large, or not to be known beforehand.
    """
    types = {
        name: helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for name, v in constants.items()
    }
    types["waveform"] = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, (1, samples))
    lengths = {n: v for n, v in constants.items() if v.dtype == np.int64 and v.size <= 8}
    shapes = {name: _shape(name, type_) for name, type_ in types.items()}
    opset = helper.make_opsetid("", OPSET)
    for node in model.graph.node:
        given, name = [n for n in node.input if n], node.output[0]
        if not all(n in types for n in given) or name in types:
            raise ValueError(f"its nodes are out of order at {name}")
        inferred = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, OPSET, ""),
            node,
            {n: types[n] for n in given},
            {n: numpy_helper.from_array(lengths[n], n) for n in given if n in lengths},
            opset_imports=[opset],
            ir_version=IR_VERSION,
        )
        types[name] = inferred.get(name, onnx.TypeProto())
        shapes[name] = _shape(name, types[name])
        length = _length(node, shapes, lengths)
        if length is not None:  # that the graph computes as it runs
            lengths[name] = length
    return shapes


def _shape(name: str, type_: onnx.TypeProto) -> tuple[int, ...]:
    dims = type_.tensor_type.shape.dim
    known = type_.tensor_type.HasField("shape")
    if not (known and all(dim.HasField("dim_value") for dim in dims)):
        raise ValueError(f"the size of {name} cannot be known")
    shape = tuple(dim.dim_value for dim in dims)
    if min(shape, default=0) < 0:
        raise ValueError(f"{name} is smaller than nothing: {shape}")
    if math.prod(shape) > MAX_TENSOR:
        raise ValueError(f"{name} is too large: {shape}")
    return shape


def _length(
    node: onnx.NodeProto, shapes: Shapes, lengths: dict[str, np.ndarray]
) -> np.ndarray | None:
    """What a node gives that computes a length, as far as its inputs are known."""
    if node.op_type == "Shape" and not node.attribute:
        return np.array(shapes[node.input[0]], dtype=np.int64)
    values = [lengths[name] for name in node.input if name in lengths]
    if len(values) < len(node.input):
        return None
    if node.op_type == "Slice" and len(values) == 4 and values[0].ndim == 1:
        return values[0][int(values[1][0]) : int(values[2][0])]
    if node.op_type == "Div" and len(values) == 2 and np.all(values[1] > 0):
        return np.asarray(values[0] // values[1])
    return None


def _work(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Multiplications of a node."""
    size = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        return size * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "MatMul":
        return size * shapes[node.input[0]][-1]
    return size
