"""What a segment costs, counted from the ONNX graph: it must not creep up unnoticed."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from random_models import random_checkpoint

from stonekey.graph.model import checkpoint_to_onnx
from stonekey.model.registry import find_model
from stonekey.model.settings import FrontEnd

SAMPLES = FrontEnd().segment_samples


def session(model: onnx.ModelProto, **options: object) -> onnxruntime.InferenceSession:
    chosen = onnxruntime.SessionOptions()
    chosen.log_severity_level = 3
    for name, value in options.items():
        setattr(chosen, name, value)
    data = model.SerializeToString()
    return onnxruntime.InferenceSession(data, chosen, providers=["CPUExecutionProvider"])


def cost(model: onnx.ModelProto) -> Counter[str]:
    """Millions of multiply-adds of the front end and the network, and of values put to Erf.

    Shapes are those of a run on 15 s; the front end is everything up to the logarithm.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = [n for n in model.graph.node if n.op_type in ("Conv", "MatMul", "Gemm", "Erf")]
    for node in nodes:
        model.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    running = session(model, graph_optimization_level=level)
    audio = np.random.default_rng(0).standard_normal((1, SAMPLES)).astype(np.float32)
    values = running.run([n.output[0] for n in nodes], {"waveform": audio})
    weights = {i.name: numpy_helper.to_array(i).shape for i in model.graph.initializer}
    log = next(i for i, n in enumerate(model.graph.node) if n.op_type == "Log")
    before = {n.output[0] for n in model.graph.node[:log]}
    total: Counter[str] = Counter()
    for node, value in zip(nodes, values, strict=True):
        if node.op_type == "Erf":
            total["erf"] += value.size
            continue
        if node.op_type == "Conv":
            each = math.prod(weights[node.input[1]][1:])
        else:
            shape = weights.get(node.input[1]) or weights[node.input[0]][::-1]
            each = shape[0]
        total["front end" if node.output[0] in before else "network"] += value.size * each
    return Counter({name: round(count / 1e6, 1) for name, count in total.items()})


@pytest.mark.parametrize("norm", ["joint", "frame"])
def test_a_networks_cost(norm: str) -> None:
    """Limits a little above what it is: 117, 197 and 2.7 million."""
    found = cost(checkpoint_to_onnx(random_checkpoint(norm)))
    assert set(found) == {"front end", "network", "erf"}
    assert 100 < found["front end"] <= 119
    assert 150 < found["network"] <= 200
    assert 2 < found["erf"] < 2.9


def test_the_templates_cost() -> None:
    model = onnx.load(str(find_model("template")))
    found = cost(model)
    assert 100 < found["front end"] <= 119
    assert found["network"] == 0


def test_the_runtime_fuses_gelu(tmp_path: Path) -> None:
    """The form of five nodes is for other runtimes; here it has to become one."""
    target = tmp_path / "optimised.onnx"
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    model = checkpoint_to_onnx(random_checkpoint("joint"))
    session(model, optimized_model_filepath=str(target), graph_optimization_level=level)
    kinds = Counter(node.op_type for node in onnx.load(str(target)).graph.node)
    assert kinds["Erf"] == 0
    assert kinds["Gelu"] == sum(n.op_type == "Erf" for n in model.graph.node)


def test_no_constant_is_larger_than_the_weights() -> None:
    """Block-diagonal weights stay small, and so does the file."""
    model = checkpoint_to_onnx(random_checkpoint("joint"))
    assert model.ByteSize() < 300_000
