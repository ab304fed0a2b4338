"""``stonekey demo``: synthesise a short piece in a known key and estimate it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import AsJson, Force, Model, exit_on_error, fail
from stonekey.cli.output import check_output
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import display_name, echo, json_text


def demo(
    key: Annotated[str, typer.Option("--key", "-k", help="Key of the piece.")] = "F# minor",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the piece as this WAV file.")
    ] = None,
    model: Model = DEFAULT_MODEL,
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="Length of the piece.")] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed; each gives another piece.")] = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Synthesise a short piece in a given key and estimate its key.

    It is read twice, from WAV and from Ogg Vorbis, which try both decoders. Needs no recording
    and, with the default model, no network.

    For example:

      stonekey demo

      stonekey demo --key "Eb major" --output demo.wav
    """
    check_output(output, force, model=model, recording=True)
    if output is not None and output.suffix.lower() != ".wav":
        fail(f"--output is a WAV file: give it the ending .wav, not '{output.suffix}'")
    with exit_on_error():
        import tempfile

        from stonekey.estimate.estimator import KeyEstimator
        from stonekey.keys import Key
        from stonekey.synthesis import piece, write_vorbis, write_wav

        wanted = Key.parse(key)
        estimator = KeyEstimator(model)
        samples = piece(wanted, seconds=seconds, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            path, compressed = output or Path(folder) / "demo.wav", Path(folder) / "demo.ogg"
            write_wav(path, samples)
            write_vorbis(compressed, samples)
            estimate, again = estimator(path), estimator(compressed)
    if as_json:
        written = None if output is None else display_name(output)
        record = {"synthesised": str(wanted), "output": written, **estimate.to_dict()}
        record["vorbis"] = {name: again.to_dict()[name] for name in ("key", "confidence")}
        echo(json_text(record))
        return
    echo(f"synthesised: {wanted}")
    echo(f"estimated:   {estimate} (confidence {estimate.confidence:.0%}, {estimate.model})")
    echo(f"from Vorbis: {again} (confidence {again.confidence:.0%})")
    if estimate.label not in (wanted, wanted.signature):
        echo("The two differ: models make mistakes, and the baseline often does.")
    if output is not None:
        echo(f"written:     {output}")
