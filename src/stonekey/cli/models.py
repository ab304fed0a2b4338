"""``stonekey models``: list the available models."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from stonekey.cli.common import exit_on_error, one_of
from stonekey.text import echo, json_text


def models(
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="table, tsv or json; by default table on a terminal, otherwise tsv.",
        ),
    ] = None,
) -> None:
    """List the models in the package and the published ones.

    The scores, in percent, were measured on 84 recordings (docs/results.md). S-KEY helped
    label those recordings, which favours it.

    A published model is downloaded from its authors' repository on first use and kept in the
    user's cache folder, or in $STONEKEY_HOME. Every command also takes the path of a model
    file in place of a name.

    For example:

      stonekey models

      stonekey models --format json
    """
    default = "table" if sys.stdout.isatty() else "tsv"
    form = one_of("--format", format or default, ("table", "tsv", "json"))
    with exit_on_error():
        from stonekey.model.listing import list_models

        rows = list_models()
    if form == "json":
        echo(json_text(rows, indent=2))
    elif form == "tsv":
        for row in rows:
            echo("\t".join(_line(row)))
    else:
        _print_table(rows)


def _line(row: dict[str, Any]) -> list[str]:
    if row["source"].startswith("http"):
        where = "fetched" if row["available"] else "not fetched yet"
    else:
        where = row["source"]
    name = row["name"] + (" (default)" if row["default"] else "")
    return [name, str(row["classes"]), where, row["licence"], row["scores"], row["description"]]


def _print_table(rows: list[dict[str, Any]]) -> None:
    """A line of facts for each model, in columns, and its description under it."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from stonekey.output.page import rule

    console = Console()
    table = [["Model", "Classes", "Scores", "Licence", ""]]
    for row in rows:
        name, classes, where, licence, scored, _ = _line(row)
        table.append([name, classes, scored, licence, where])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    head, *lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in table
    )
    console.print(Text(head, style="bold"), rule(console, max(map(len, lines))), sep="\n")
    for row, line in zip(rows, lines, strict=True):
        console.print(Text(line, style="bold" if row["default"] else ""))
        console.print(Padding(Text(row["description"]), (0, 0, 0, 2)))
