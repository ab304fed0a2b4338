"""``stonekey mix``: find the tracks of a library that mix well with a key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from stonekey.cli.common import Force, Model, Notation, Output, exit_on_error, fail
from stonekey.cli.options import with_settings
from stonekey.cli.output import check_output, chosen_format, format_option, open_output, to_terminal
from stonekey.estimate.settings import EstimatorSettings
from stonekey.keys import ClassLabel, parse_label
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.output.tracks import TRACKS, TrackList
from stonekey.text import log, shown

COLUMNS = ("path", "key", "move", "distance", "confidence")
# On a terminal, which shows at most SHOWN tracks without --limit.
TABLE = ("artist", "title", "key", "move", "tempo", "confidence", "file")
SHOWN = 50


@with_settings("min_confidence")
def mix(
    *,
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|KEY", help="Recording, or key in any spelling: Am, 8A or 'E flat'."
        ),
    ],
    library: Annotated[Path, typer.Option("--library", "-l", help='Output of "stonekey scan".')],
    moves: Annotated[
        list[str] | None,
        typer.Option(
            help="Key changes to allow: all (default), close, energy, same, relative, fifth-up, "
            "fifth-down, diagonal, tone-up, parallel or semitone-up; may be repeated or "
            "separated by commas.",
            metavar="MOVE",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="List at most N tracks.", metavar="N")
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Leave out less confident keys.", metavar="X"),
    ] = 0.0,
    notation: Notation = "musical",
    format: Annotated[str | None, format_option(TRACKS, "text")] = None,
    output: Output = None,
    force: Force = False,
    model: Model = DEFAULT_MODEL,
    hearing: EstimatorSettings,
) -> None:
    """List the tracks of a library that mix well with a recording or key, best first.

    Sorts by distance on the circle of fifths (a change of mode adds half a step), then by
    confidence. A terminal shows a table, with artist, title and tempo from the tags; otherwise
    each line has path, key, move, distance and confidence, separated by tabs. An argument that
    reads as a key is a key; for a file named A, write ./A.

    Exit code: 0 on success, even when no track matches, 1 when FILE cannot be read or has no
    key, 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey mix song.mp3 --library keys.csv

      stonekey mix 8A -l keys.csv --moves close --limit 20 --output next.m3u8

      stonekey mix "E flat minor" -l keys.csv --moves energy --notation camelot
    """
    form = chosen_format(TRACKS, format, output, "text")
    check_output(output, force, reads=[library, Path(what)], model=model)
    with exit_on_error():
        from stonekey.audio.playlists import Entry
        from stonekey.library import read_results
        from stonekey.library.harmony import MOVE_GROUPS, matching_tracks, parse_moves

        names = [name.strip() for given in moves or () for name in given.split(",")]
        wanted = parse_moves(names or MOVE_GROUPS["all"])
        results = read_results(library)
        label, about = _query(what, model, hearing, notation)
        query_file = [os.path.abspath(about["file"])] if about["file"] else []
        matches = matching_tracks(
            label,
            results,
            moves=wanted,
            min_confidence=min_confidence,
            limit=limit,
            without=query_file,
        )
        if not matches:
            log(f"stonekey: no track in {library} mixes with {label.format(notation)}")
        terminal = to_terminal(form, output)
        if terminal and limit is None and len(matches) > SHOWN:
            log(f"stonekey: the first {SHOWN} of {len(matches)} tracks; --limit N shows others")
            del matches[SHOWN:]
        records = [match.as_dict(notation) for match in matches]
        if terminal:
            paths = [match.result.path for match in matches]
            records = list(map(_row, records, paths))
        tracks = TrackList(
            records,
            [Entry(match.result.path, match.result.duration) for match in matches],
            TABLE if terminal else COLUMNS,
            about,
            output,
            terminal,
        )
        with open_output(output, guarded=not terminal) as stream:
            form.write(tracks, stream)


def _row(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """A record with what the table shows of the file's tags."""
    from stonekey.tags.about import read_about

    about = read_about(path)
    tempo = None if about.tempo is None else f"{about.tempo:.4g}"
    return {**record, "artist": about.artist, "title": about.title or shown(path.stem),
            "tempo": tempo,
            "file": shown(path)}  # fmt: skip


def _query(
    what: str, model: str, hearing: EstimatorSettings, notation: str
) -> tuple[ClassLabel, dict[str, Any]]:
    """The key to match, and its JSON fields: key, file and confidence."""
    try:
        label = parse_label(what)
        return label, {"key": label.format(notation), "file": None, "confidence": None}
    except ValueError:
        pass
    if not os.path.lexists(what):
        fail(f"'{what}' is neither a file nor a key such as 'C# minor', 'Db', 'F#m' or '12A'")
    from stonekey.estimate.estimator import KeyEstimator

    estimate = KeyEstimator(model, settings=hearing)(what)
    if estimate.label is None:
        fail(f"{what}: no key ({', '.join(estimate.warnings) or 'nothing tonal'})", 1)
    shown = estimate.label.format(notation)
    log(f"stonekey: {what}: {shown}, confidence {estimate.confidence:.0%}")
    about = {"key": shown, "file": what, "confidence": round(estimate.confidence, 4)}
    return estimate.label, about
