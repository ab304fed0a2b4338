"""``stonekey library``: keys in the libraries of DJ programs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import AsJson, Force, WriteConfidence, exit_on_error, one_of
from stonekey.cli.help import Command
from stonekey.cli.output import check_output
from stonekey.keys import NOTATIONS
from stonekey.text import display_name, echo, json_text, log, printable, shown

library = typer.Typer(
    help="Write keys into the libraries of DJ programs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@library.callback()
def _group() -> None:
    """Without this, the group's only command would have no name of its own."""


@library.command("export", cls=Command, no_args_is_help=True)
def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="LIBRARY", help="Library of rekordbox (.xml) or Traktor (.nml).", readable=False
        ),
    ],
    results: Annotated[
        Path, typer.Option("--from", help='Take the keys from the output of "stonekey scan".')
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the copy with the keys in it.")
    ],
    force: Force = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing keys that differ.")
    ] = False,
    min_confidence: WriteConfidence = 0.0,
    notation: Annotated[
        str | None,
        typer.Option(
            "--notation",
            "-n",
            help=f"How keys are written: {', '.join(NOTATIONS)}; by default short for rekordbox, "
            "openkey for Traktor.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a copy of a DJ program's library with our keys in it.

    The library itself is only read, and everything but the keys is copied byte for byte. Keeps
    existing keys unless --overwrite is given.

    Exit code: 0 on success, 1 when some tracks were not found or have no result (each is named
    on standard error), 2 for bad usage.

    Examples:

      stonekey scan collection.nml --output keys.csv

      stonekey library export collection.nml --from keys.csv --output keyed.nml
    """
    if notation is not None:
        one_of("--notation", notation, NOTATIONS)
    check_output(output, force, reads=[source, results])
    with exit_on_error():
        from stonekey.library import read_results
        from stonekey.library.programs import export_keys

        outcomes = export_keys(
            source,
            output,
            read_results(results),
            notation=notation,
            min_confidence=min_confidence,
            overwrite=overwrite,
        )
    for outcome in outcomes:
        if outcome.error:
            log(f"stonekey: {printable(outcome.location)}: {outcome.error}")
    counts = Counter(outcome.action for outcome in outcomes)
    if as_json:
        tracks = [{**vars(one), "key": one.key and str(one.key)} for one in outcomes]
        echo(json_text({"output": display_name(output), "counts": counts, "tracks": tracks}))
    else:
        told = ", ".join(f"{count} {action}" for action, count in counts.items()) or "no tracks"
        if differ := sum(one.differs for one in outcomes if one.action == "kept"):
            told += f"; {differ} kept though they differ, without --overwrite"
        echo(f"{shown(output)}: {told}")
    if counts["failed"] or not outcomes:
        raise typer.Exit(1)
