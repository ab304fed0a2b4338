"""``stonekey compare``: the keys that a library already has against ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stonekey.cli.common import Extension, Force, Model, Notation, Output, exit_on_error, fail
from stonekey.cli.options import with_settings
from stonekey.cli.output import check_output, chosen_format, format_option, open_output, to_terminal
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.output.comparisons import COMPARISONS, Comparisons
from stonekey.text import log, shown

if TYPE_CHECKING:
    from stonekey.library.compare import Comparison


@with_settings("min_confidence")
def compare(
    *,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|FOLDER|LIBRARY",
            help="Tracks with keys: in their tags, or in a library of rekordbox or Traktor.",
            readable=False,
        ),
    ],
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help='Take our keys from the output of "stonekey scan"; without it, tracks are '
            "analysed.",
        ),
    ] = None,
    format: Annotated[str | None, format_option(COMPARISONS, "text")] = None,
    output: Output = None,
    force: Force = False,
    notation: Notation = "musical",
    extension: Extension = None,
    model: Model = DEFAULT_MODEL,
    hearing: EstimatorSettings,
) -> None:
    """Compare the keys in tags, or in a DJ program's library, with ours; change nothing.

    Counts where both agree, are a fifth apart, relative, parallel, or otherwise different. On a
    terminal it lists the tracks that differ; elsewhere, and in files, all of them: path, their
    key, ours, confidence and relation, separated by tabs.

    Exit code: 0 on success, whatever differs, 1 when some files failed (each is named on
    standard error), 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey compare music/

      stonekey compare collection.nml --from keys.csv

      stonekey compare rekordbox.xml --from keys.csv --output differences.csv
    """
    form = chosen_format(COMPARISONS, format, output, "text")
    check_output(output, force, [*sources, *([from_] if from_ else [])], model)
    with exit_on_error():
        found, problems = _compared(sources, from_, extension, model, hearing)
        if not found and not problems:
            fail(f"no tracks in {', '.join(map(shown, sources))}", 1)
        counts = Counter(one.relation for one in found)
        terminal = to_terminal(form, output)
        table = Comparisons([one.as_dict(notation) for one in found], counts, terminal)
        with open_output(output, guarded=not terminal) as stream:
            form.write(table, stream)
        if not terminal:
            log(f"stonekey: {table.summary}")
    if problems or counts["failed"]:
        raise typer.Exit(1)


def _compared(
    sources: Sequence[Path],
    from_: Path | None,
    extension: list[str] | None,
    model: str,
    hearing: EstimatorSettings,
) -> tuple[list[Comparison], int]:
    """The comparisons, and how many sources failed."""
    from stonekey.audio.files import listing_problem
    from stonekey.library import read_results
    from stonekey.library.answers import analysed, looked_up
    from stonekey.library.compare import compare as compared
    from stonekey.library.compare import own_keys

    problems: list[Any] = []

    def note(path: Path, error: OSError) -> None:
        problems.append(error)
        log(f"stonekey: {shown(path)}: {listing_problem(error)}")

    tracks = {track.path: track for track in own_keys(sources, extension, note)}
    missing = {path: track.missing for path, track in tracks.items() if track.missing}
    if from_:
        results = looked_up(tracks, missing, read_results(from_))
    else:
        results = analysed(tracks, missing, model, hearing)
    found = [compared(path, track.read, results[path]) for path, track in tracks.items()]
    for one in found:
        if one.error and not results[one.path].error:  # its tags; else it has been named
            log(f"stonekey: {shown(one.path)}: {one.error}")
    return found, len(problems)
