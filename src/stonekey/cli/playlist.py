"""``stonekey playlist``: sort a playlist by key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stonekey.cli.common import Force, Model, Output, exit_on_error, fail, notation_option, one_of
from stonekey.cli.options import with_settings
from stonekey.cli.output import check_output, chosen_format, format_option, open_output, to_terminal
from stonekey.estimate.settings import EstimatorSettings
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.output.tracks import TRACKS, TrackList
from stonekey.text import log, reason, shown

if TYPE_CHECKING:
    from stonekey.library import Result

ORDERS = ("key", "mix")
COLUMNS = ("path", "key", "confidence", "error")


@with_settings("min_confidence")
def playlist(
    *,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PLAYLIST|FILE|FOLDER",
            help="Tracks to sort; by default the whole library.",
            readable=False,
        ),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(
            "--library", "-l", help='Output of "stonekey scan"; without it, tracks are analysed.'
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            help="key (around the circle of fifths, 1A to 12B) or mix (each close to the last)."
        ),
    ] = "key",
    output: Output = None,
    force: Force = False,
    format: Annotated[str | None, format_option(TRACKS, "m3u")] = None,
    min_confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Ignore less confident keys.", metavar="X"),
    ] = 0.0,
    notation: Annotated[str, notation_option(" (in m3u with --key-in-title)")] = "musical",
    key_in_title: Annotated[
        bool,
        typer.Option(
            "--key-in-title", help="In m3u, put the key in front of the title: 8A - Some Song."
        ),
    ] = False,
    model: Model = DEFAULT_MODEL,
    hearing: EstimatorSettings,
) -> None:
    """Sort tracks by key and write a playlist.

    Takes playlists, libraries of DJ programs, files and folders, or a whole scan. No track is lost:
    those without a key, and those that cannot be read, come last in their original order.

    Exit code: 0 when the key of every track was looked up or analysed, 1 when some failed
    (each is named on standard error), 2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey playlist set.m3u8 --output sorted.m3u8

      stonekey playlist --library keys.csv --order mix --output evening.m3u8

      stonekey playlist set.m3u -l keys.csv -o out.m3u8 --key-in-title -n camelot
    """
    form = chosen_format(TRACKS, format, output, "m3u")
    one_of("--order", order, ORDERS)
    if not sources and library is None:
        fail("give playlists, files, folders or --library FILE")
    check_output(output, force, [*(sources or ()), *([library] if library else ())], model)
    with exit_on_error():
        from stonekey.audio.playlists import Entry
        from stonekey.library import read_results
        from stonekey.library.answers import analysed, looked_up
        from stonekey.library.harmony import key_order, mix_order
        from stonekey.library.result import path_text

        known = read_results(library) if library else None
        titles: dict[Path, str] = {}
        if sources:
            paths, missing, problems = _tracks(sources, titles)
        else:
            paths, missing, problems = [result.path for result in known or ()], {}, 0
        if not paths:
            given = sources or ([library] if library else [])
            fail(f"no tracks in {', '.join(map(shown, given))}", 1)
        if known is None:
            found = analysed(paths, missing, model, hearing)
        else:
            found = looked_up(paths, missing, known, check=bool(sources))
        results = [found[path] for path in paths]
        results = [r.with_label(r.label, notation, min_confidence) for r in results]
        arrange = mix_order if order == "mix" else key_order
        results = [results[index] for index in arrange([r.label for r in results])]
        records = [
            {
                "path": path_text(result.path),
                "key": result.key,
                "camelot": result.label and result.label.format("camelot"),
                "confidence": result.confidence,
                "duration": result.duration,
                "error": result.error,
            }
            for result in results
        ]
        entries = [
            Entry(
                r.path,
                r.duration,
                _title(r, titles.get(Path(os.path.abspath(r.path))), key_in_title),
            )
            for r in results
        ]
        terminal = to_terminal(form, output)
        tracks = TrackList(records, entries, COLUMNS, output=output, terminal=terminal)
        with open_output(output, guarded=not terminal) as stream:
            form.write(tracks, stream)
    if problems or (sources and any(result.error for result in results)):
        raise typer.Exit(1)


def _title(result: Result, title: str | None, with_key: bool) -> str | None:
    """The title for #EXTINF, None for the file's name alone."""
    if not with_key or not result.key:
        return title
    from stonekey.tags.tagging import with_key as keyed

    # A key that an earlier run put there is replaced.
    return keyed(title or result.path.stem, result.key, overwrite=True)


def _tracks(
    sources: Sequence[Path], titles: dict[Path, str]
) -> tuple[list[Path], dict[Path, str], int]:
    """Paths in the order given, why some are missing, and how many sources failed.

    Args:
        titles: filled with those that playlists give, by absolute path.
    """
    from stonekey.audio.files import expanded, find_audio_files, listing_problem
    from stonekey.audio.playlists import MissingError

    problems: list[Path] = []
    paths: list[Path] = []
    missing: dict[Path, str] = {}

    def note(path: Path, error: OSError) -> None:
        if isinstance(error, MissingError):  # it keeps its place
            paths.append(path)
            missing[path] = reason(error)
            return
        problems.append(path)
        log(f"stonekey: {shown(path)}: {listing_problem(error)}")

    for path in expanded(sources, note, titles):
        paths += find_audio_files([path], None, note) if os.path.isdir(path) else [path]
    return paths, missing, len(problems)
