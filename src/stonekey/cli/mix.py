"""``stonekey mix``: tracks of a library that go with a key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from stonekey.cli.common import (
    Force,
    Model,
    Notation,
    Output,
    Timeout,
    fail,
    say,
    told_errors,
)
from stonekey.cli.output import check_output
from stonekey.cli.tracks import FORMATS, chosen_format, write_tracks
from stonekey.keys import NOTATIONS, ClassLabel, Key, KeySignature
from stonekey.model.registry import DEFAULT_MODEL

COLUMNS = ("path", "key", "move", "distance", "confidence")


def mix(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|KEY", help="A recording, or a key in any spelling: Am, 8A, 'E flat'."
        ),
    ],
    library: Annotated[Path, typer.Option("--library", "-l", help='An output of "stonekey scan".')],
    moves: Annotated[
        list[str] | None,
        typer.Option(
            help="all (default), close, energy, or same, relative, fifth-up, fifth-down, "
            "diagonal, tone-up, parallel, semitone-up; may be repeated or have commas.",
            metavar="MOVE",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most N tracks.", metavar="N")] = None,
    min_confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Leave out keys of a lower confidence.", metavar="X"),
    ] = 0.0,
    notation: Notation = "musical",
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help=f"{', '.join(FORMATS)}. By default from the suffix of --output, else text.",
        ),
    ] = None,
    output: Output = None,
    force: Force = False,
    model: Model = DEFAULT_MODEL,
    timeout: Timeout = None,
) -> None:
    """List the tracks of a library that go with a recording or a key, the best first.

    By distance on the circle of fifths (half a step for another mode), then by confidence. A
    line is path, key, move, distance, confidence, tab-separated. A word that is a key is taken
    as one; write ./A for a file named A.

    Exit code: 0 also when nothing goes with it, 1 when FILE cannot be read or has no key, 2 for
    bad usage, 130 after Ctrl-C.

    For example:

      stonekey mix song.mp3 --library keys.csv

      stonekey mix 8A -l keys.csv --moves close --limit 20 --output next.m3u8

      stonekey mix "E flat minor" -l keys.csv --moves energy --notation camelot
    """
    form = chosen_format(format, output, "text")
    if notation not in NOTATIONS:
        fail(f"--notation must be one of {', '.join(NOTATIONS)}, got '{notation}'")
    check_output(output, force, reads=[library])
    with told_errors():
        from stonekey.audio.playlists import Entry
        from stonekey.library import read_results
        from stonekey.library.harmony import MOVE_GROUPS, matching_tracks, parse_moves

        names = [name.strip() for given in moves or () for name in given.split(",")]
        wanted = parse_moves(names or MOVE_GROUPS["all"])
        results = read_results(library)
        label, about = _asked(what, model, notation, timeout)
        itself = [os.path.abspath(about["file"])] if about["file"] else []
        matches = matching_tracks(
            label,
            results,
            moves=wanted,
            min_confidence=min_confidence,
            limit=limit,
            without=itself,
        )
        if not matches:
            say(f"stonekey: no track of {library} goes with {label.format(notation)}")
        write_tracks(
            [match.as_dict(notation) for match in matches],
            [Entry(match.result.path, match.result.duration) for match in matches],
            COLUMNS,
            form,
            output,
            about,
        )


def _asked(
    what: str, model: str, notation: str, timeout: float | None
) -> tuple[ClassLabel, dict[str, Any]]:
    """The key asked for, and what JSON says of it: key, file, confidence."""
    for kind in (Key, KeySignature):
        try:
            label: ClassLabel = kind.parse(what)
        except ValueError:
            continue
        return label, {"key": label.format(notation), "file": None, "confidence": None}
    if not os.path.lexists(what):
        fail(f"'{what}' is no file, and no key such as 'C# minor', 'Db', 'F#m' or '12A'")
    from stonekey.estimate.estimator import KeyEstimator

    estimate = KeyEstimator(model, timeout=timeout)(what)
    if estimate.label is None:
        fail(f"{what}: no key ({', '.join(estimate.warnings) or 'nothing tonal'})", 1)
    shown = estimate.label.format(notation)
    say(f"stonekey: {what}: {shown}, confidence {estimate.confidence:.0%}")
    about = {"key": shown, "file": what, "confidence": round(estimate.confidence, 4)}
    return estimate.label, about
