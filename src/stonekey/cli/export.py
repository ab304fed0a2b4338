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
            "--output", "-o", help="File to write; by default the model's name with .onnx."
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a model as one ONNX file.

    The input "waveform" (batch, samples) is mono float32 at the model's sample rate, ideally
    scaled to a peak of 1; the output "probabilities" is (batch, classes). The file includes
    the front end; its metadata hold the sample rate, segment length and class table.

    For example:

      stonekey export deezer/skey --output skey.onnx

      stonekey export my_model.safetensors
    """
    path = output or Path(f"{Path(model).stem}.onnx")
    if path.suffix.lower() != ".onnx":
        fail(f"{path}: the output file must end in .onnx")
    check_output(path, force)
    with exit_on_error():
        from stonekey.graph.export import export_onnx

        written = export_onnx(model, path, force)
        size = written.stat().st_size
        if as_json:
            echo(json_text({"output": display_name(written), "bytes": size}))
        else:
            echo(f"{shown(written)}: {size / 1024:.0f} KiB")
