"""``stonekey export``: write a model as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import AsJson, Force, complete_model, exit_on_error, fail
from stonekey.cli.output import check_output
from stonekey.text import display_name, echo, json_text, shown


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Name or path of a model.", autocompletion=complete_model
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write; by default the model's name with .onnx, or -recording.onnx.",
        ),
    ] = None,
    recording: Annotated[
        bool,
        typer.Option(
            "--recording", help="Write a graph that takes a whole recording and gives its key."
        ),
    ] = False,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Also write short recordings and what they are answered, as JSON, to test with.",
            metavar="FILE",
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a model as one ONNX file.

    The input "waveform" (batch, samples) is mono float32 at the model's sample rate, ideally
    scaled to a peak of 1; the output "probabilities" is (batch, classes). The file includes
    the front end; its metadata hold the sample rate, segment length and class table.

    With --recording the input "waveform" (samples) is a whole recording of any length, mono
    float32 at the model's sample rate. The outputs are "key", its number in the class table, or
    -1 for no key, "confidence", and "probabilities" (classes).

    For example:

      stonekey export deezer/skey --output skey.onnx

      stonekey export my_model.safetensors

      stonekey export stone24 --recording --vectors stone24.json
    """
    path = output or Path(f"{Path(model).stem}{'-recording' * recording}.onnx")
    if path.suffix.lower() != ".onnx":
        fail(f"{path}: the output file must end in .onnx")
    check_output(path, force, model=model)
    if vectors is not None and vectors.suffix.lower() != ".json":
        fail(f"{vectors}: the file of vectors must end in .json")
    check_output(vectors, force)
    with exit_on_error():
        if recording:
            from stonekey.estimate.recording_graph import export_recording_graph as write
        else:
            from stonekey.graph.export import export_onnx as write
        written = write(model, path, force)
        if vectors is not None:
            from stonekey.estimate.recording_graph import vectors as test_vectors
            from stonekey.files import write_text

            write_text(vectors, json_text(test_vectors(model)) + "\n")
        size = written.stat().st_size
        if as_json:
            echo(json_text({"output": display_name(written), "bytes": size}))
        else:
            echo(f"{shown(written)}: {size / 1024:.0f} KiB")
