"""``stonekey tag``: write keys into the tags of files, and undo it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stonekey.cli.common import (
    Extension,
    Interrupt,
    Model,
    Recordings,
    ShowProgress,
    WriteConfidence,
    exit_on_error,
    fail,
    notation_option,
    one_of,
)
from stonekey.cli.options import with_settings
from stonekey.cli.tag_run import TagRun, log_counts, print_outcomes
from stonekey.cli.tag_undo import history, revert
from stonekey.estimate.settings import EstimatorSettings
from stonekey.keys import Key
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.tags.programs import PROGRAMS, Program
from stonekey.text import log, shown

if TYPE_CHECKING:
    from stonekey.tags.tagging import Outcome, Settings

FORMATS = ("text", "json", "csv")
ALSO = ("comment", "grouping")
KEY_NOTATIONS = ("short", "camelot", "openkey")  # those that fit an ID3 frame of three characters


@with_settings("min_confidence")
def tag(
    *,
    paths: Annotated[list[Path] | None, Recordings] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write the tags; without it, only show what would change."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing keys that differ.")
    ] = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo",
            help="Show what would restore the tags that the last run changed, of the files and "
            "folders named or of all; with --write, do it.",
        ),
    ] = False,
    redo: Annotated[
        bool, typer.Option("--redo", help="Like --undo, but take back the last --undo.")
    ] = False,
    show_history: Annotated[
        bool, typer.Option("--history", help="List the runs: time, folder, number of files.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="With --undo or --redo, write without asking."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="With --undo or --redo, also restore files changed since."),
    ] = False,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help='Take the keys from the output of "stonekey scan".'),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Also put the key in front of the comment or grouping; may be repeated.",
            metavar="FIELD",
        ),
    ] = None,
    notation: Annotated[
        str | None, notation_option(" in --also fields and in the output; by default short")
    ] = None,
    key_notation: Annotated[
        str | None,
        typer.Option(
            help=f"How the key field is written: {', '.join(KEY_NOTATIONS)}; by default short, "
            "the standard.",
            metavar="NOTATION",
        ),
    ] = None,
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            help=f"Write what this program reads: {', '.join(PROGRAMS)}. Options given beside it "
            "count more.",
            metavar="PROGRAM",
        ),
    ] = None,
    min_confidence: WriteConfidence = 0.0,
    keep_mtime: Annotated[
        bool, typer.Option("--keep-mtime", help="Keep the files' modification times.")
    ] = False,
    model: Model = DEFAULT_MODEL,
    extension: Extension = None,
    estimator: EstimatorSettings,
    format: Annotated[
        str, typer.Option("--format", "-f", help=f"Output format: {', '.join(FORMATS)}.")
    ] = "text",
    progress: ShowProgress = None,
) -> None:
    """Write keys into the tags of recordings; without --write, only show what would change.

    Supports MP3, AIFF, WAV (ID3 TKEY), MP4 (initialkey), FLAC, Ogg Vorbis, Opus (INITIALKEY),
    WMA, WavPack and others. Keeps existing keys unless --overwrite is given. Never changes a
    byte of the audio itself.

    Exit code: 0 on success, 1 when some files failed (each is named on standard error),
    2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey tag music/

      stonekey tag music/ --write --min-confidence 0.5

      stonekey tag set/ --write --also comment --notation camelot

      stonekey tag set/ --write --for traktor

      stonekey tag --from keys.csv --write

      stonekey tag --undo music/ --write
    """
    one_of("--format", format, FORMATS)
    for field in also or ():
        one_of("--also", field, ALSO)
    if key_notation is not None:
        one_of("--key-notation", key_notation, KEY_NOTATIONS)
    program = PROGRAMS[one_of("--for", for_, PROGRAMS)] if for_ is not None else Program()
    as_written = notation is None
    notation = notation or program.notation
    if not 0 <= min_confidence <= 1:
        fail(f"--min-confidence must be from 0 to 1, got {min_confidence}")
    actions = {"--undo": undo, "--redo": redo, "--history": show_history}
    chosen = [flag for flag, given in actions.items() if given]
    if len(chosen) > 1:
        fail(f"{chosen[0]} and {chosen[1]} exclude each other")
    if chosen and (from_ or overwrite or also or extension or for_ or key_notation):
        fail(f"{chosen[0]} takes no options about what to write, and no --from or --extension")
    if show_history and write:
        fail("--history writes nothing")
    if (force or yes) and not (undo or redo):
        flag = "--force" if force else "--yes"
        fail(f"{flag} works only with --undo or --redo; to replace existing keys use --overwrite")
    if not chosen and not paths and not from_:
        fail("give files or folders, --from FILE, --undo, --redo or --history")
    if progress is None:
        to_terminal = format != "text" and sys.stdout.isatty()
        progress = sys.stderr.isatty() and not to_terminal
    with exit_on_error(), Interrupt() as interrupt, ExitStack() as stack:
        from stonekey.tags.tagging import Settings

        run = TagRun(interrupt, progress)
        if show_history:
            history(run, paths or None, format)
            return
        if undo or redo:
            revert(
                run,
                paths or None,
                redo=redo,
                write=write or yes,
                ask=write and not (paths or yes),
                force=force,
                keep_mtime=keep_mtime,
                form=format,
                notation=notation,
            )
        else:
            settings = Settings(
                overwrite=overwrite,
                also=tuple(dict.fromkeys(also or program.also)),
                notation=notation,
                min_confidence=min_confidence,
                keep_mtime=keep_mtime,
                key_notation=key_notation or program.key_notation,
                fill=for_ is not None,
            )
            find = _from_results(from_) if from_ else _from_estimator(model, estimator)
            files = _find_files(run, paths, extension) if paths else find.files
            outcomes = _tag(run, files, find, settings, write, stack)
            print_outcomes(outcomes, format, notation, as_written=as_written)
    log_counts(run.counts)
    if interrupt.requested:
        log("stonekey: interrupted")
        raise typer.Exit(130)
    if run.counts["failed"] or not run.counts:
        raise typer.Exit(1)


class _Keys:
    """A source of keys: a function of the path, and the files that it lists, if any."""

    def __init__(
        self, find: Callable[[Path], tuple[Key | None, float]], files: list[Path] | None = None
    ) -> None:
        self.find = find
        self.files = files or []


def _from_estimator(model: str, settings: EstimatorSettings) -> _Keys:
    from stonekey.estimate.estimator import KeyEstimator

    estimator = KeyEstimator(model, settings=settings)
    if not all(isinstance(label, Key) for label in estimator.class_table):
        fail(f"{model} gives key signatures, not keys: use a 24-key model to write tags")

    def find(path: Path) -> tuple[Key | None, float]:
        estimate = estimator(path)
        return estimate.key, estimate.confidence

    return _Keys(find)


def _from_results(path: Path) -> _Keys:
    from stonekey.audio.spelling import ByPath
    from stonekey.library.answers import REPLACED, replaced
    from stonekey.library.store import read_results
    from stonekey.tags import TagError

    known = read_results(path)
    results = ByPath((result.path, result) for result in known)

    def find(path: Path) -> tuple[Key | None, float]:
        result = results.get(Path(os.path.abspath(path)))
        if result is None:
            raise TagError(path, "is not among the results")
        if result.error is not None:
            raise TagError(path, result.error)
        if replaced(result):
            raise TagError(path, REPLACED)
        if result.label is not None and not isinstance(result.label, Key):
            raise TagError(path, "the results give its key signature, not its key")
        return result.label, result.confidence or 0.0

    return _Keys(find, [result.path for result in known])


def _find_files(run: TagRun, paths: list[Path], extension: list[str] | None) -> list[Path]:
    """The audio files; folders that cannot be listed are reported and counted."""
    from stonekey.audio.files import find_audio_files, listing_problem

    def note(folder: Path, error: OSError) -> None:
        run.note(folder, listing_problem(error))

    files = find_audio_files(paths, extension, note)
    if not files:
        log(f"stonekey: no audio files in {', '.join(map(shown, paths))}")
    return files


def _tag(
    run: TagRun, files: list[Path], keys: _Keys, settings: Settings, write: bool, stack: ExitStack
) -> Iterator[Outcome]:
    """Outcomes, one file at a time."""
    from stonekey.tags.formats import open_tags
    from stonekey.tags.journal import Journal, journal_folder
    from stonekey.tags.tagging import tag_file
    from stonekey.tags.writing import sweep

    journal = stack.enter_context(Journal(journal_folder())) if write else None
    if write:
        sweep(files)

    def process(path: Path) -> Outcome:
        run.interrupt.working = True  # Ctrl-C may stop an analysis, never a write
        try:
            open_tags(path)  # fails before the slow analysis
            key, confidence = keys.find(path)
        finally:
            run.interrupt.working = False
        return tag_file(path, key, confidence, settings, journal)

    return run.outcomes(files, lambda path: path, process)
