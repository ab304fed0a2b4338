"""``stonekey tag``: write keys into the tags of files, and undo it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from stonekey.cli.output import open_output
from stonekey.estimate.settings import EstimatorSettings
from stonekey.keys import Key
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.output.formats import write_csv_rows, write_json_array, write_text_rows
from stonekey.text import display_name, log, printable, reason, shown

if TYPE_CHECKING:
    from stonekey.tags.tagging import Outcome, Settings

FORMATS = ("text", "json", "csv")
ALSO = ("comment", "grouping")
COLUMNS = ("file", "existing", "key", "confidence", "differs", "action", "error")


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
        bool, typer.Option("--undo", help="Restore the tags that the last run changed.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --undo, also restore files changed since.")
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
        str,
        notation_option(
            " (in --also fields and in the output; the key field always uses short, its standard)"
        ),
    ] = "short",
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

      stonekey tag --from keys.csv --write

      stonekey tag --undo
    """
    one_of("--format", format, FORMATS)
    for field in also or ():
        one_of("--also", field, ALSO)
    if not 0 <= min_confidence <= 1:
        fail(f"--min-confidence must be from 0 to 1, got {min_confidence}")
    if undo and (paths or write or from_ or overwrite or also):
        fail("--undo takes no files, and no options but --force, --keep-mtime and --format")
    if force and not undo:
        fail("--force works only with --undo; to replace existing keys use --overwrite")
    if not undo and not paths and not from_:
        fail("give files or folders, --from FILE or --undo")
    if progress is None:
        to_terminal = format != "text" and sys.stdout.isatty()
        progress = sys.stderr.isatty() and not to_terminal
    with exit_on_error(), Interrupt() as interrupt, ExitStack() as stack:
        from stonekey.tags.tagging import Settings

        settings = Settings(
            overwrite, tuple(dict.fromkeys(also or ())), notation, min_confidence, keep_mtime
        )
        run = _Run(interrupt, progress)
        if undo:
            outcomes = run.undo(force, keep_mtime, stack)
        else:
            find = _from_results(from_) if from_ else _from_estimator(model, estimator)
            files = run.find_files(paths or (), extension) if paths else find.files
            outcomes = run.tag(files, find, settings, write, stack)
        _print(outcomes, format, notation)
    _log_counts(run.counts, dry_run=not (write or undo))
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
    from stonekey.library.store import read_results
    from stonekey.tags import TagError

    results = {result.path: result for result in read_results(path)}

    def find(path: Path) -> tuple[Key | None, float]:
        result = results.get(Path(os.path.abspath(path)))
        if result is None:
            raise TagError(path, "is not among the results")
        if result.error is not None:
            raise TagError(path, result.error)
        if result.label is not None and not isinstance(result.label, Key):
            raise TagError(path, "the results give its key signature, not its key")
        return result.label, result.confidence or 0.0

    return _Keys(find, list(results))


class _Run:
    """Tags or restores files; one bad file does not end the run."""

    def __init__(self, interrupt: Interrupt, progress: bool) -> None:
        self._interrupt = interrupt
        self._progress = progress
        self.counts: Counter[str] = Counter()

    def find_files(self, paths: Iterable[Path], extension: list[str] | None) -> list[Path]:
        """The audio files; folders that cannot be listed are reported and counted."""
        from stonekey.audio.files import find_audio_files, listing_problem

        def note(folder: Path, error: OSError) -> None:
            self.counts["failed"] += 1
            log(f"stonekey: {shown(folder)}: {listing_problem(error)}")

        files = find_audio_files(paths, extension, note)
        if not files:
            log("stonekey: no audio files")
        return files

    def tag(
        self, files: list[Path], keys: _Keys, settings: Settings, write: bool, stack: ExitStack
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
            self._interrupt.working = True  # Ctrl-C may stop an analysis, never a write
            try:
                open_tags(path)  # fails before the slow analysis
                key, confidence = keys.find(path)
            finally:
                self._interrupt.working = False
            return tag_file(path, key, confidence, settings, journal)

        for path in self._tracked(files, stack):
            outcome = self._attempt(path, lambda path=path: process(path))  # type: ignore[misc]
            if outcome is None:
                return
            yield outcome

    def undo(self, force: bool, keep_mtime: bool, stack: ExitStack) -> Iterator[Outcome]:
        """Outcomes, one file at a time; what could not be restored stays in the journal."""
        from stonekey.tags.journal import journal_folder, keep_only, last_run
        from stonekey.tags.tagging import undo_file
        from stonekey.tags.writing import sweep

        def note(kept: Path, lines: int) -> None:
            self.counts["failed"] += lines
            log(f"stonekey: the journal has {lines} damaged line(s), now kept in {kept}")

        journal, entries = stack.enter_context(last_run(journal_folder(), note))
        sweep(Path(entry.path) for entry in entries)
        left = dict.fromkeys(range(len(entries)))
        stack.callback(lambda: keep_only(journal, [entries[i] for i in left]))
        for i in self._tracked(list(left), stack):
            entry = entries[i]
            outcome = self._attempt(
                Path(entry.path),
                lambda entry=entry: undo_file(entry, journal.parent, force, keep_mtime),  # type: ignore[misc]
            )
            if outcome is None:
                return
            if outcome.error is None:
                del left[i]
            yield outcome

    def _tracked(self, items: list[Any], stack: ExitStack) -> Iterator[Any]:
        if self._progress and len(items) > 1:
            from stonekey.output.progress import tracked

            return stack.enter_context(tracked(items))
        return iter(items)

    def _attempt(self, path: Path, work: Callable[[], Outcome]) -> Outcome | None:
        """The outcome of the work, or None when the run is interrupted."""
        from stonekey.tags.tagging import Outcome

        if self._interrupt.requested:
            return None
        try:
            outcome = work()
        except KeyboardInterrupt:
            return None
        except Exception as error:  # one bad file must not end the run, whatever is wrong
            log(f"stonekey: {shown(path)}: {reason(error)}")
            outcome = Outcome(path, None, None, 0.0, "failed", reason(error))
        self.counts[outcome.action] += 1
        return outcome


def _print(outcomes: Iterator[Outcome], form: str, notation: str) -> None:
    from stonekey.tags.tagging import as_record

    records = (as_record(o, notation, display_name(o.path)) for o in outcomes)

    if form == "text" and sys.stdout.isatty():
        _print_table(records)
        return
    with open_output(None) as stream:
        if form == "json":
            write_json_array(records, stream)
        elif form == "csv":
            write_csv_rows(records, COLUMNS, stream, paths=("file",))
        else:
            write_text_rows(map(_cells, records), stream)


def _cells(record: dict[str, Any]) -> list[str]:
    """File, existing key, key found, confidence, action."""
    action = record["action"] + (", differs" if record["differs"] else "")
    confidence = f"{record['confidence']:.0%}" if record["confidence"] else ""
    return [record["file"], record["existing"] or "", record["key"] or "", confidence, action]


def _print_table(records: Iterable[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("File", overflow="fold")
    for name in ("In the tags", "Found", "Confidence", "Action"):
        table.add_column(name, no_wrap=True, justify="right" if name == "Confidence" else "left")
    for record in records:
        table.add_row(*(Text(printable(cell)) for cell in _cells(record)))
    if table.row_count:
        Console().print(table)


def _log_counts(counts: Counter[str], dry_run: bool) -> None:
    parts = ", ".join(f"{count} {action}" for action, count in counts.items())
    hint = "; nothing changes without --write" if dry_run and counts["would write"] else ""
    if parts:
        log(f"stonekey: {parts}{hint}")
