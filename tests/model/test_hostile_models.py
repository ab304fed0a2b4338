"""Model files that lie, overreach or hold other programs: refused by name, before they run."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import load_file, save_file

from stonekey.estimate.backends import OnnxBackend
from stonekey.estimate.estimator import KeyEstimator
from stonekey.graph.builder import OPERATORS
from stonekey.graph.model import checkpoint_to_onnx
from stonekey.model.checkpoint import CheckpointError, load_checkpoint
from stonekey.model.info import ModelInfo
from stonekey.model.registry import EMBEDDED
from stonekey.model.settings import Architecture, FrontEnd
from stonekey.model.tensors import tensor_shapes

SHIPPED = {model.name: model.path for model in EMBEDDED}
STONE12 = SHIPPED["stone12"].with_suffix(".safetensors")


def header(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    found: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
    return found


def refused(path: Path, why: str) -> None:
    """By every way in, naming the file and the reason."""
    with pytest.raises(CheckpointError, match=why) as caught:
        KeyEstimator(path)
    assert str(path) in str(caught.value)


def front_end(**changes: Any) -> dict[str, str]:
    return {"front_end": json.dumps({**FrontEnd().as_dict(), **changes})}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"confidence_temperature": "0"}, "temperature"),
        ({"confidence_temperature": "NaN"}, "temperature"),
        ({"segment_temperature": "Infinity"}, "segment_temperature"),
        ({"min_clarity": "5"}, "min_clarity"),
        ({"min_clarity": '"0.5"'}, "min_clarity"),
        ({"omega": "[]"}, "omega"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "\x1b[31m"}, "printable"),
        ({"training": "[" * 100_000}, "cannot be read|recursion"),
        ({"licence": "x" * 1_000_001}, "metadata"),
        (front_end(hop=0), "hop"),
        (front_end(hop=512.0), "hop"),
        (front_end(sample_rate=2**40), "sample_rate"),
        (front_end(fmin=1e-9), "fmin"),
        (front_end(fmin=float("nan")), "fmin"),
        (front_end(segment_seconds=1e9), "segment_seconds"),
        (front_end(hop=16, n_bins=12, crop_bins=12, segment_seconds=600.0), "too large"),
        ({"architecture": "null"}, "no network"),
        ({"class_table": json.dumps([f"{t} major" for t in "CDEFGAB"])}, "class table"),
    ],
)
def test_descriptions_out_of_range(tmp_path: Path, changes: dict[str, str], why: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file(load_file(STONE12), path, metadata={**header(STONE12), **changes})
    refused(path, why)


def test_a_header_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", 90_000_000))
        stream.truncate(95_000_000)
    refused(path, "header")


def _set(name: str, value: Any) -> Callable[[dict[str, np.ndarray]], Any]:
    return lambda tensors: tensors.__setitem__(name, value(tensors[name]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_set("classifier.bias", lambda x: x * np.nan), "NaN"),
        (_set("convnext_blocks.3.gamma", lambda x: x + np.inf), "infinite"),
        (_set("classifier.bias", lambda x: x.astype(np.int32)), "int32"),
        (_set("classifier.weight", lambda x: np.tile(x, (2, 1, 1, 1))), "shape"),
        (_set("classifier.weight", lambda x: x[..., 0]), "shape"),
        (lambda tensors: tensors.pop("classifier.bias"), "missing"),
        (
            lambda tensors: tensors.__setitem__("more", np.zeros(9, np.float32)),
            "not of its network",
        ),
    ],
)
def test_weights_that_do_not_fit(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], Any], why: str
) -> None:
    path, tensors = tmp_path / "model.safetensors", load_file(STONE12)
    change(tensors)
    save_file(tensors, path, metadata=header(STONE12))
    refused(path, why)


def test_weights_that_overflow_inside_the_network(tmp_path: Path) -> None:
    path, tensors = tmp_path / "model.safetensors", load_file(STONE12)
    for name in tensors:
        if name.endswith("weight"):
            tensors[name] = np.full_like(tensors[name], 3e38)
    save_file(tensors, path, metadata=header(STONE12))
    noise = np.random.default_rng(0).normal(size=44100).astype(np.float32)
    with pytest.raises(CheckpointError, match="does not give probabilities"):
        KeyEstimator(path, tune="off")(noise, 22050)


def test_the_list_of_tensors_is_the_network_s() -> None:
    pytest.importorskip("torch")
    from stonekey.network.stone import Stone

    small: dict[str, Any] = {"channels": (4,), "kernels": (3,)}
    for given in ({}, {"outputs": 12, "norm": "frame"}, small):
        arch = Architecture(**given)
        state = Stone(FrontEnd(), arch, None).chromanet.state_dict()
        state.pop("batch_norm.num_batches_tracked", None)
        assert tensor_shapes(arch, 84) == {n: tuple(v.shape) for n, v in state.items()}


def graph_of(name: str = "template12") -> onnx.ModelProto:
    return onnx.load(SHIPPED[name])


def _metadata(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        next(entry for entry in model.metadata_props if entry.key == key).value = value

    return change


def _node(kind: str, *inputs: str, **attributes: Any) -> Callable[[onnx.ModelProto], None]:
    """A node whose output is multiplied with what is answered."""

    def change(model: onnx.ModelProto) -> None:
        last = model.graph.node.pop()
        model.graph.node.append(helper.make_node(kind, list(inputs), ["extra"], **attributes))
        model.graph.node.append(helper.make_node("Mul", [last.input[0], "extra"], ["tied"]))
        model.graph.node.append(helper.make_node("Identity", ["tied"], ["probabilities"]))

    return change


def _loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["again"])],
        "body",
        [helper.make_tensor_value_info("i", 7, []), helper.make_tensor_value_info("go_on", 9, [])],
        [helper.make_tensor_value_info("again", 9, [])],
    )
    model.graph.node.insert(0, helper.make_node("Loop", ["", "true"], ["never"], body=body))


def _external(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == 1)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _not_finite(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == 1)
    value = numpy_helper.to_array(tensor) * np.nan
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _growing(model: onnx.ModelProto) -> None:
    """Forty doublings."""
    name = "waveform"
    nodes = [
        helper.make_node("Concat", [name if not i else f"x{i}"] * 2, [f"x{i + 1}"], axis=1)
        for i in range(40)
    ]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def _slow(model: onnx.ModelProto) -> None:
    """Kernels a third as long as a segment."""
    weight = np.ones((8, 1, 1, 100_001), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "long"))
    shape = numpy_helper.from_array(np.array([1, 1, 1, -1]), "flat")
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("Conv", ["flattened", "long"], ["y"]))
    model.graph.node.insert(0, helper.make_node("Reshape", ["waveform", "flat"], ["flattened"]))


def _negative(model: onnx.ModelProto) -> None:
    """A kernel taller than what it runs over, before a Slice: onnx itself aborts here."""
    conv = next(n for n in model.graph.node if n.op_type == "Conv" and len(n.attribute) == 3)
    next(a for a in conv.attribute if a.name == "kernel_shape").ints[0] = 17


def _default(model: onnx.ModelProto) -> None:
    """A default for the input, whose size would be taken for the input's."""
    value = numpy_helper.from_array(np.zeros((1, 1), np.float32), "waveform")
    model.graph.initializer.append(value)


def _many(model: onnx.ModelProto) -> None:
    for i in range(10_001):
        model.graph.node.insert(0, helper.make_node("Neg", ["waveform"], [f"n{i}"]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_loop, "Loop"),
        (_node("RandomNormal", shape=[1]), "RandomNormal"),
        (_node("Neg", "waveform", domain="com.evil"), "Neg"),
        (_external, "another file"),
        (_not_finite, "NaN"),
        (_growing, "too large"),
        (_default, "its input is not waveform"),
        (_negative, "smaller than nothing"),
        (_slow, "multiplications"),
        (_many, "nodes"),
        (lambda model: model.opset_import[0].__setattr__("version", 17), "opset"),
        (lambda model: model.graph.input[0].__setattr__("name", "sound"), "waveform|be read"),
        (_metadata("class_table", "null"), "probabilities"),
        (_metadata("class_table", json.dumps([f"{i}A" for i in range(1, 13)] * 2)), "once"),
        (_metadata("licence", "x" * 90_000_000), "metadata"),
        (_metadata("confidence_temperature", "NaN"), "temperature"),
    ],
)  # fmt: skip
def test_graphs_that_are_not_ours(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], why: str
) -> None:
    model = graph_of()
    change(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    refused(path, why)


def test_answers_that_are_no_probabilities(tmp_path: Path) -> None:
    model = graph_of()
    last = model.graph.node[-1]
    model.graph.node[-1].CopyFrom(helper.make_node("Exp", last.input, last.output))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    noise = np.random.default_rng(0).normal(size=44100).astype(np.float32)
    with pytest.raises(CheckpointError, match="does not give probabilities"):
        KeyEstimator(path, tune="off")(noise, 22050)


def test_what_the_package_writes_is_taken(tmp_path: Path) -> None:
    """Also from another folder, where the file is not known to be one of the package's."""
    for name, path in SHIPPED.items():
        copy = tmp_path / f"{name}.onnx"
        copy.write_bytes(path.read_bytes())
        assert OnnxBackend(copy).info == OnnxBackend(path).info
        assert {node.op_type for node in onnx.load(path).graph.node} <= OPERATORS
    loaded = load_checkpoint(STONE12)
    assert checkpoint_to_onnx(loaded).graph.node
    assert ModelInfo.from_metadata(loaded.info.to_metadata()) == loaded.info
