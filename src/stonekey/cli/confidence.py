"""``stonekey confidence``: fit a model's confidence to recordings of known key."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import AsJson, Force, complete_model, exit_on_error, fail
from stonekey.cli.output import check_output
from stonekey.text import counted, echo, json_text, log


def confidence(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="Path or name of a model.", autocompletion=complete_model
        ),
    ],
    manifest: Annotated[
        Path,
        typer.Option(
            "--manifest",
            help="CSV or JSON lines (path, key) of recordings not trained on; rows with the key "
            '"no key" set the limit below which the model answers "no key".',
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Write the fitted model to this .safetensors file."),
    ],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fit a model's confidence, so that 0.8 means right four times in five.

    Use at least some fifty recordings of known key that the model was not trained on; of fewer
    than 20 it warns. Answers stay the same; only their confidence changes, and with keyless
    sounds (drums, speech, noise) in the manifest the limit of key clarity.

    Exit code: 0, 1 when a recording cannot be read, 2 for bad usage.

    For example:

      stonekey confidence a.safetensors --manifest keys.csv -o fitted.safetensors
    """
    if output.suffix != ".safetensors":
        fail(f"{output}: the output file must end in .safetensors")
    with exit_on_error():
        from stonekey.data.manifest import read_manifest
        from stonekey.evaluation.fitting import ENOUGH, fit_confidence
        from stonekey.model.checkpoint import load_checkpoint, save_checkpoint
        from stonekey.model.registry import find_model

        path = find_model(checkpoint)
        if path.suffix == ".onnx":
            beside = path.with_suffix(".safetensors")
            if not beside.is_file():
                fail(f"{path}: an ONNX file cannot be rewritten; fit its checkpoint")
            path = beside
        check_output(output, force, [manifest, path])
        model = load_checkpoint(path)  # fails before the slow analysis
        tracks = read_manifest(manifest).present
        labelled = [track for track in tracks if track.key is not None]
        keyless = [track.path for track in tracks if track.keyless and track.path is not None]
        for kind, count in (("of known key", len(labelled)), ("without a key", len(keyless))):
            if 0 < count < ENOUGH:
                log(
                    f"stonekey: only {counted(count, 'recording')} {kind}: what is fitted "
                    f"to fewer than {ENOUGH} is not to be relied on"
                )
        fitted = fit_confidence(
            path,
            labelled,
            keyless,
            [track.path for track in tracks if not track.keyless and track.path is not None],
        )
        save_checkpoint(fitted.applied_to(model), output)
    if as_json:
        echo(json_text({**asdict(fitted), "output": str(output)}))
        return
    known = counted(fitted.labelled, "recording")
    echo(f"temperature {fitted.temperature:g}, from {known} of known key")
    if fitted.limit:
        echo(
            f"limit of key clarity {fitted.limit:g}: below it {fitted.keyless_refused:.1%} of the "
            f"keyless sounds and {fitted.music_refused:.1%} of the music"
        )
    echo(f"written: {output}")
