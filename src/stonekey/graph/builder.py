"""A small builder of ONNX graphs that names nodes and stores equal constants once."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
import onnx
from onnx import helper

# All operators that stonekey writes: none has a subgraph, calls out or keeps state.
OPERATORS = frozenset(
    [
        "Add", "AveragePool", "Concat", "Conv", "Div", "Erf", "Exp", "Gather", "Identity",
        "InstanceNormalization", "Log", "MatMul", "Max", "Mul", "Pad", "Reciprocal", "ReduceL2",
        "ReduceMax", "ReduceMean", "Reshape", "Shape", "Slice", "Softmax", "Sqrt", "Sub",
        "Transpose", "Unsqueeze",
    ]
)  # fmt: skip


class Graph:
    """Collects nodes and constants; each method returns a tensor's name."""

    def __init__(self, operators: Set[str] = OPERATORS) -> None:
        self.operators = operators
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
        assert kind in self.operators, kind
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def slice(self, x: str, start: str, end: str, axis: int) -> str:
        """``x[start:end]`` along one axis, with bounds that are tensors."""
        return self.op("Slice", x, start, end, self.ints(axis))

    def part(self, x: str, start: int, end: int, axis: int) -> str:
        """``x[start:end]`` along one axis, with constant bounds."""
        return self.slice(x, self.ints(start), self.ints(end), axis)

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps an axis, -1 takes what remains."""
        return self.op("Reshape", x, self.ints(*shape))

    def conv(
        self, x: str, weight: np.ndarray, bias: np.ndarray | None = None, **attributes: Any
    ) -> str:
        """Convolution with a constant weight (outputs, inputs / group, ...)."""
        constants = [self.const(value) for value in (weight, bias) if value is not None]
        return self.op("Conv", x, *constants, kernel_shape=list(weight.shape[2:]), **attributes)

    def gelu(self, x: str) -> str:
        """GELU by the error function, in the form that runtimes fuse."""
        inner = self.op("Erf", self.op("Div", x, self.const(np.sqrt(2.0))))
        scaled = self.op("Mul", x, self.op("Add", inner, self.const(1.0)))
        return self.op("Mul", scaled, self.const(0.5))
