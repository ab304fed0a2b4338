"""A model as one ONNX graph that answers whole recordings, for apps without this package.

It computes what `stonekey.KeyEstimator` does with samples at the model's rate and ``tune="off"``:
silence and pauses, segments, the network on one after another, their mean, confidence, "no key".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from stonekey.estimate.estimator import KeyEstimator
from stonekey.estimate.source import (
    ACTIVITY_FRAME_SECONDS,
    MIN_SIGNAL_SECONDS,
    PAUSE,
    SILENCE_PEAK,
)
from stonekey.graph.builder import OPERATORS, Graph
from stonekey.graph.export import onnx_bytes, write_onnx
from stonekey.graph.model import IR_VERSION, OPSET, RECORDING
from stonekey.keys import Key
from stonekey.model.checkpoint import CheckpointError
from stonekey.model.confidence import SMALLEST, signatures_of
from stonekey.model.info import ModelInfo
from stonekey.model.registry import find_model
from stonekey.synthesis import cadence

_OPERATORS = OPERATORS | {
    "Abs", "And", "ArgMax", "Cast", "Greater", "Less", "Min", "Not", "ReduceMin", "ReduceSum",
    "Squeeze", "Tile", "Where",
}  # fmt: skip


def recording_graph(model: str | os.PathLike[str]) -> onnx.ModelProto:
    """The graph of a model, named or a path.

    The input ``waveform`` (samples,) is a whole recording, mono float32 at the model's rate, full
    scale being 1. The outputs are ``key`` (), the number of the answer in the class table or -1 for
    "no key"; ``confidence`` (); and ``probabilities`` (classes,). The metadata are the model's.

    Raises:
        CheckpointError: the model is not found, cannot be read, or has no class table yet.
    """
    name = os.fspath(model)
    segment = onnx.load_model_from_string(onnx_bytes(find_model(model)))
    info = ModelInfo.from_metadata({entry.key: entry.value for entry in segment.metadata_props})
    if info.class_table is None:
        raise CheckpointError(f"{name}: its outputs have no names yet: stonekey calibrate {name}")
    g = Graph(_OPERATORS)
    samples, pieces = _add_segments(g, info)
    heard, counted, scaled = _add_levels(g, info, samples, pieces)
    outputs = _add_network(g, segment, scaled, len(info.class_table))
    _add_answer(g, info, outputs, counted, heard)
    graph = helper.make_graph(
        g.nodes,
        "stonekey",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["samples"])],
        [
            helper.make_tensor_value_info("key", TensorProto.INT64, []),
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, []),
            helper.make_tensor_value_info(
                "probabilities", TensorProto.FLOAT, [len(info.class_table)]
            ),
        ],
        [numpy_helper.from_array(value, name) for name, value in g.constants.items()],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="stonekey",
    )  # fmt: skip
    helper.set_model_props(made, {**info.to_metadata(), "graph": RECORDING})
    onnx.checker.check_model(made)
    return made


def _add_segments(g: Graph, info: ModelInfo) -> tuple[str, str]:
    """The recording, never empty (samples,), and its segments (segments, 1, samples of each)."""
    length = round(info.front_end.segment_seconds * info.front_end.sample_rate)
    shortest = info.shortest_samples
    one = g.ints(1)
    count = g.op("Max", g.op("Shape", "waveform"), one)
    filled = g.op("Concat", "waveform", g.const([0.0]), axis=0)
    samples = g.slice(filled, g.ints(0), count, 0)
    # A clip that is too short is repeated to twice what the network needs, and is one segment.
    short = g.op("Less", count, g.ints(shortest))
    total = g.op("Where", short, g.ints(2 * shortest), count)
    times = g.op("Div", g.op("Add", total, g.op("Sub", count, one)), count)
    repeated = g.slice(g.op("Tile", samples, times), g.ints(0), total, 0)
    each = g.op("Where", short, total, g.op("Min", count, g.ints(length)))
    whole = g.op("Div", total, each)
    covered = g.op("Mul", whole, each)
    shape = g.op("Concat", g.ints(-1, 1), each, axis=0)
    first = g.op("Reshape", g.slice(repeated, g.ints(0), covered, 0), shape)
    last = g.op("Reshape", g.slice(repeated, g.op("Sub", total, each), total, 0), shape)
    # One that ends with the recording, where the others do not.
    number = g.op("Add", whole, g.op("Min", g.op("Sub", total, covered), one))
    return samples, g.slice(g.op("Concat", first, last, axis=0), g.ints(0), number, 0)


def _add_levels(g: Graph, info: ModelInfo, samples: str, pieces: str) -> tuple[str, str, str]:
    """Whether there is enough sound (1,), which segments count (segments, 1), and these scaled."""

    def swing(x: str, axis: int) -> str:
        high, low = (g.op(kind, x, g.ints(axis), keepdims=0) for kind in ("ReduceMax", "ReduceMin"))
        return g.op("Mul", g.op("Sub", high, low), g.const(0.5))

    def above(x: str, limit: str) -> str:
        return g.op("Cast", g.op("Greater", x, limit), to=TensorProto.FLOAT)

    rate = info.front_end.sample_rate
    frame = g.ints(max(1, round(rate * ACTIVITY_FRAME_SECONDS)))
    count = g.op("Shape", samples)
    frames = g.op("Div", g.op("Add", count, g.op("Sub", frame, g.ints(1))), frame)
    missing = g.op("Sub", g.op("Mul", frames, frame), count)
    # Its last value again, which changes no swing.
    filled = g.op("Pad", samples, g.op("Concat", g.ints(0), missing, axis=0), mode="edge")
    shape = g.op("Concat", g.ints(-1), frame, axis=0)
    levels = swing(g.op("Reshape", filled, shape), 1)
    loudest = g.op("ReduceMax", levels, g.ints(0), keepdims=1)
    active = above(levels, g.op("Mul", loudest, g.const(PAUSE)))
    last = g.slice(active, g.op("Sub", frames, g.ints(1)), frames, 0)
    as_float = {"to": TensorProto.FLOAT}
    full = g.op("Mul", g.op("ReduceSum", active, g.ints(0), keepdims=1),
                g.op("Cast", frame, **as_float))  # fmt: skip
    sounding = g.op("Sub", full, g.op("Mul", last, g.op("Cast", missing, **as_float)))
    enough = g.op("Not", g.op("Less", sounding, g.const([MIN_SIGNAL_SECONDS * rate])))
    heard = g.op("And", enough, g.op("Not", g.op("Less", loudest, g.const([SILENCE_PEAK]))))
    peak = g.op("ReduceMax", g.op("Abs", samples), g.ints(0), keepdims=1)
    silent = g.op("Not", g.op("Greater", peak, g.const([0.0])))
    scaled = g.op("Div", pieces, g.op("Where", silent, g.const([1.0]), peak))
    return heard, above(swing(scaled, 2), g.const(PAUSE)), scaled


def _add_network(g: Graph, segment: onnx.ModelProto, pieces: str, classes: int) -> str:
    """The model on one segment after another, in the memory of one: -> (segments, classes)."""
    # A name of the inner graph must not be one of the outer.
    body = compose.add_prefix_graph(segment.graph, "segment_")
    g.nodes.append(
        helper.make_node("Scan", [pieces], ["outputs"], body=body, num_scan_inputs=1)
    )  # the first axis is the one that is scanned
    return g.reshape("outputs", -1, classes)


def _add_answer(g: Graph, info: ModelInfo, outputs: str, counted: str, heard: str) -> None:
    """The three outputs, from the segments' probabilities and which of them count."""
    table = info.class_table or ()

    def softened(x: str, temperature: float, axis: int) -> str:
        logits = g.op("Log", g.op("Max", x, g.const(SMALLEST)))
        return g.op("Softmax", g.op("Mul", logits, g.const(1 / temperature)), axis=axis)

    total = g.op("ReduceSum", counted, g.ints(0), keepdims=1)

    def mean(x: str) -> str:
        """Of those rows (segments, n) that count: -> (1, n)."""
        weighted = g.op("ReduceSum", g.op("Mul", x, counted), g.ints(0), keepdims=1)
        return g.op("Div", weighted, g.op("Max", total, g.const(1.0)))

    pooled = mean(
        softened(outputs, info.segment_temperature, 1) if info.segment_temperature != 1 else outputs
    )
    if info.confidence_temperature != 1:
        pooled = softened(pooled, info.confidence_temperature, 1)
    signatures = g.op("MatMul", outputs, g.const(signatures_of(table)))
    clarity = mean(g.op("ReduceMax", signatures, g.ints(1), keepdims=1))
    some = g.op("Greater", g.reshape(total, 1), g.const([0.0]))
    answered = g.op("And", heard, some)
    limit = g.const([info.min_clarity])
    clear = g.op("And", answered, g.op("Not", g.op("Less", g.reshape(clarity, 1), limit)))
    flat = g.reshape(pooled, len(table))
    best = g.op("ArgMax", flat, axis=0, keepdims=1)
    sure = g.op("ReduceMax", flat, g.ints(0), keepdims=1)
    key = g.op("Where", clear, best, g.ints(-1))
    confidence = g.op("Where", answered, sure, g.const([0.0]))
    probabilities = g.op("Where", answered, flat, g.const([0.0]))
    for kind, name, inputs in (
        ("Squeeze", "key", [key, g.ints(0)]),
        ("Squeeze", "confidence", [confidence, g.ints(0)]),
        ("Identity", "probabilities", [probabilities]),
    ):
        g.nodes.append(helper.make_node(kind, inputs, [name]))


def vectors(model: str | os.PathLike[str]) -> dict[str, Any]:
    """Short recordings and what a model answers to them, to test an app with.

    Returns:
        ``sample_rate`` in Hz, ``class_table``, and ``cases``. Each has a ``name``, its ``waveform``
        as whole numbers, full scale being 32768, and what a recording graph gives for it; also its
        ``segments``: first sample and one after the last, whether it counts, ``probabilities``.
    """
    estimator = KeyEstimator(model, tune="off", threads=1)
    rate = estimator.info.front_end.sample_rate
    rng = np.random.default_rng(0)
    length = estimator.segment_seconds
    first, second = (cadence(Key.parse(k), rate, length, seed=1) for k in ("D minor", "F major"))
    pause = 1e-4 * rng.uniform(-1, 1, round(1.5 * length * rate))
    recordings = {
        "two keys, a pause, a remainder": np.concatenate([first, pause, second, first[: rate * 2]]),
        "a short clip": cadence(Key.parse("Bb major"), rate, 2.0),
        "noise": rng.normal(0, 0.1, round(length * rate)),
        "silence": np.zeros(rate),
        "too little sound": np.concatenate([first[: rate // 4], np.zeros(rate)]),
    }
    cases = []
    for name, samples in recordings.items():
        whole = np.round(32767 * np.clip(samples, -1, 1)).astype(np.int16)
        found = estimator(whole, rate)
        table = estimator.class_table
        cases.append(
            {
                "name": name,
                "waveform": whole.tolist(),
                "key": -1 if found.label is None else table.index(found.label),
                "confidence": found.confidence,
                "probabilities": [found.probabilities.get(label, 0.0) for label in table],
                "segments": [
                    {
                        "start": round(segment.start * rate),
                        "end": round(segment.end * rate),
                        "counted": segment.counted,
                        "probabilities": segment.probabilities.tolist(),
                    }
                    for segment in found.segments
                ],
            }
        )
    return {
        "model": estimator.info.name,
        "sample_rate": rate,
        "class_table": [str(label) for label in estimator.class_table],
        "cases": cases,
    }


def export_recording_graph(
    model: str | os.PathLike[str], output: str | os.PathLike[str], force: bool = False
) -> Path:
    """Write `recording_graph`; arguments and errors as for `stonekey.graph.export.export_onnx`."""
    return write_onnx(lambda: recording_graph(model).SerializeToString(), output, force)
