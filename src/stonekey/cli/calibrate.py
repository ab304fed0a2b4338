"""``stonekey calibrate``: find which output of a model is which key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stonekey.cli.common import AsJson, Force, complete_model, exit_on_error, fail
from stonekey.cli.output import check_output
from stonekey.text import counted, display_name, echo, json_text, log

if TYPE_CHECKING:
    import numpy as np

    from stonekey.estimate.backends import Backend
    from stonekey.keys import Key
    from stonekey.model.class_table import Calibration


def calibrate(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="Path or name of a model.", autocompletion=complete_model
        ),
    ],
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RECORDING", help="Recordings whose keys you know.", readable=False),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", "-k", help="Key of a recording; give one for each, in the same order."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the calibrated model to this .safetensors file."
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Find which output of a model is which key.

    Runs the model on cadences synthesised in all 24 keys, or on your recordings. A 24-output
    model needs recordings in both major and minor; cadences fill in for a missing mode.

    Exit code: 0 when a class table fits, 1 when none does (the outputs are printed) or a
    recording cannot be read, 2 for bad usage.

    For example:

      stonekey calibrate run/last.safetensors --output model.safetensors

      stonekey calibrate semitone_ks.pt Cmajor.mp3 --key "C major"
    """
    files, names = recordings or [], key or []
    if len(files) != len(names):
        given = counted(len(files), "recording")
        fail(f"{given} but {len(names)} --key: give one key for each recording")
    if output is not None and output.suffix != ".safetensors":
        fail(f"{output}: the output file must end in .safetensors")
    check_output(output, force, files, checkpoint)
    with exit_on_error():
        from stonekey.estimate.backends import load_backend
        from stonekey.keys import Key
        from stonekey.model.class_table import CalibrationError
        from stonekey.model.registry import find_model

        keys = [Key.parse(name) for name in names]
        path = find_model(checkpoint)
        if output is not None and path.suffix == ".onnx":
            fail(f"{path}: an ONNX file cannot be rewritten; calibrate its checkpoint")
        backend = load_backend(path)
        try:
            found = _calibrate(backend, list(zip(keys, files, strict=True)))
        except CalibrationError as error:
            log(f"stonekey: {checkpoint}: cannot be calibrated: {error}")
            log(_most_probable(error.confusion))
            raise typer.Exit(1) from None
        if not as_json:
            _print(found, backend.info.class_table)
        if output is not None:
            from stonekey.model.checkpoint import load_checkpoint, save_checkpoint

            save_checkpoint(load_checkpoint(path).with_class_table(found.class_table), output)
            if not as_json:
                echo(f"written: {output}")
        if as_json:
            echo(json_text(_record(found, backend.info.class_table, output)))


def _calibrate(backend: Backend, recordings: list[tuple[Key, Path]]) -> Calibration:
    from stonekey.model import class_table as calibration

    front_end = backend.info.front_end

    def cadences() -> np.ndarray:
        return calibration.hear_cadences(
            backend.run, front_end.sample_rate, front_end.segment_seconds
        )

    if not recordings:
        return calibration.calibrate(cadences())
    outputs = [(key, _mean_output(backend, path)) for key, path in recordings]
    one_mode = len({key.mode for key, _ in outputs}) == 1
    needed = one_mode and len(outputs[0][1]) == 24
    return calibration.calibrate_from_recordings(outputs, cadences() if needed else None)


def _mean_output(backend: Backend, path: Path) -> np.ndarray:
    """Mean probabilities (outputs,) over a recording's full-length, non-silent segments."""
    import numpy as np

    from stonekey.audio import TooShortError, stream_audio
    from stonekey.estimate.segments import PEAK_BLOCK_SECONDS, cut, peak_normalised

    front_end = backend.info.front_end
    rate = front_end.sample_rate
    with stream_audio(path, rate, timeout=None) as stream:
        blocks = peak_normalised(stream, PEAK_BLOCK_SECONDS * rate)
        segments = [
            x for _, x in cut(blocks, front_end.segment_samples)
            if len(x) == front_end.segment_samples and x.any()
        ]  # fmt: skip
    if not segments:
        seconds = front_end.segment_seconds
        raise TooShortError(path, f"calibration needs {seconds:g} s of sound")
    outputs = [backend.run(x[None])[0] for x in segments]
    return np.asarray(np.mean(outputs, axis=0, dtype=np.float64))


def _print(found: Calibration, known: tuple | None) -> None:
    table = found.class_table
    for row in range(0, len(table), 12):
        outputs = f"{row}-{row + 11}"
        echo(f"{outputs:>6}: {', '.join(str(label) for label in table[row : row + 12])}")
    heard = int(found.confusion.any(axis=1).sum())
    echo(f"explains {found.agreement:.0%} of the {heard} keys heard")
    if known is not None:
        same = "the same as" if known == table else "NOT the same as"
        echo(f"{same} the table stored with the model")


def _record(found: Calibration, known: tuple | None, output: Path | None) -> dict[str, Any]:
    return {
        "class_table": [str(label) for label in found.class_table],
        "agreement": found.agreement,
        "keys_heard": int(found.confusion.any(axis=1).sum()),
        "same_as_stored": None if known is None else known == found.class_table,
        "output": None if output is None else display_name(output),
    }


def _most_probable(confusion: np.ndarray) -> str:
    """The most probable output for each key heard; a major and a minor key on each line."""
    from stonekey.keys import Key

    cells = [
        f"{Key.from_index(i)!s:>8} -> {row.argmax():2d} ({row.max():.2f})" if row.any() else ""
        for i, row in enumerate(confusion)
    ]
    lines = [
        f"{major:<24}{minor}".rstrip() for major, minor in zip(cells[:12], cells[12:], strict=True)
    ]
    return "\n".join(["most probable output for each key heard:", *filter(None, lines)])
