"""``stonekey tag``: keys written into the tags of files, and taken out again."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stonekey.cli.common import (
    Device,
    Extension,
    Interrupt,
    Model,
    Recordings,
    ShowProgress,
    WriteConfidence,
    fail,
    say,
    tell,
    told_errors,
)
from stonekey.keys import NOTATIONS, Key
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.text import csv_cells, display_name, json_text, printable, reason, shown

if TYPE_CHECKING:
    from stonekey.tags.tagging import Outcome, Settings

FORMATS = ("text", "json", "csv")
ALSO = ("comment", "grouping")
COLUMNS = ("file", "existing", "key", "confidence", "differs", "action", "error")


def tag(
    paths: Annotated[list[Path] | None, Recordings] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write; without it only say what would be done.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing keys that differ.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Restore what the last run has changed.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --undo: also in files changed since.")
    ] = False,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help='Take the keys from an output of "stonekey scan".'),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Put the key before the comment or grouping too.", metavar="FIELD"),
    ] = None,
    notation: Annotated[
        str,
        typer.Option(
            "--notation",
            "-n",
            help=f"Of the --also fields and of what is printed: {', '.join(NOTATIONS)}. "
            "The key field itself is always written as its standard says (short).",
        ),
    ] = "short",
    min_confidence: WriteConfidence = 0.0,
    keep_mtime: Annotated[
        bool, typer.Option("--keep-mtime", help="Files keep their modification time.")
    ] = False,
    model: Model = DEFAULT_MODEL,
    extension: Extension = None,
    device: Device = "cpu",
    format: Annotated[str, typer.Option("--format", "-f", help=f"{', '.join(FORMATS)}.")] = "text",
    progress: ShowProgress = None,
) -> None:
    """Write the key into the tags of recordings. Without --write nothing is changed.

    MP3, AIFF, WAV (ID3 TKEY), MP4 (initialkey), FLAC, Ogg Vorbis, Opus (INITIALKEY), WMA,
    WavPack and others. A key that is there already is kept unless --overwrite is given. The
    sound itself stays the same to the byte.

    Exit code: 0 when all is well, 1 when some files failed (each is named on standard error),
    2 for bad usage, 130 after Ctrl-C.

    For example:

      stonekey tag music/

      stonekey tag music/ --write --min-confidence 0.5

      stonekey tag set/ --write --also comment --notation camelot

      stonekey tag --from keys.csv --write

      stonekey tag --undo
    """
    _check_choice("--format", format, FORMATS)
    _check_choice("--notation", notation, NOTATIONS)
    for field in also or ():
        _check_choice("--also", field, ALSO)
    if not 0 <= min_confidence <= 1:
        fail(f"--min-confidence must be from 0 to 1, got {min_confidence}")
    if undo and (paths or write or from_ or overwrite or also):
        fail("--undo takes no files and no option but --force, --keep-mtime and --format")
    if force and not undo:
        fail("--force goes with --undo; to replace existing keys use --overwrite")
    if not undo and not paths and not from_:
        fail("give files or folders, --from FILE or --undo")
    if progress is None:
        to_terminal = format != "text" and sys.stdout.isatty()
        progress = sys.stderr.isatty() and not to_terminal
    with told_errors(), Interrupt() as interrupt, ExitStack() as stack:
        from stonekey.tags.tagging import Settings

        settings = Settings(
            overwrite, tuple(dict.fromkeys(also or ())), notation, min_confidence, keep_mtime
        )
        run = _Run(interrupt, progress)
        if undo:
            outcomes = run.undo(force, keep_mtime, stack)
        else:
            find = _from_results(from_) if from_ else _from_estimator(model, device)
            files = run.find_files(paths or (), extension) if paths else find.files
            outcomes = run.tag(files, find, settings, write, stack)
        _print(outcomes, format, notation)
    _say_what_was_done(run.counts, write or undo)
    if interrupt.requested:
        say("stonekey: interrupted")
        raise typer.Exit(130)
    if run.counts["failed"] or not run.counts:
        raise typer.Exit(1)


def _check_choice(option: str, given: str, choices: tuple[str, ...]) -> None:
    if given not in choices:
        fail(f"{option} must be one of {', '.join(choices)}, got '{given}'")


class _Keys:
    """Where keys come from: a function of the path, and the files it has keys of."""

    def __init__(
        self, find: Callable[[Path], tuple[Key | None, float]], files: list[Path] | None = None
    ) -> None:
        self.find = find
        self.files = files or []


def _from_estimator(model: str, device: str) -> _Keys:
    from stonekey.estimate.estimator import KeyEstimator

    estimator = KeyEstimator(model, device)
    if not all(isinstance(label, Key) for label in estimator.class_table):
        fail(f"{model} tells key signatures, not keys: take a model of 24 keys to write tags")

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
            raise TagError(path, "the results have its key signature, not its key")
        return result.label, result.confidence or 0.0

    return _Keys(find, list(results))


class _Run:
    """Goes through the files; no file's failure ends the run."""

    def __init__(self, interrupt: Interrupt, progress: bool) -> None:
        self._interrupt = interrupt
        self._progress = progress
        self.counts: Counter[str] = Counter()

    def find_files(self, paths: Iterable[Path], extension: list[str] | None) -> list[Path]:
        """The audio files; folders that cannot be listed are told and counted."""
        from stonekey.audio.files import find_audio_files, listing_problem

        def note(folder: Path, error: OSError) -> None:
            self.counts["failed"] += 1
            say(f"stonekey: {shown(folder)}: {listing_problem(error)}")

        endings = [e.strip() for given in extension or () for e in given.split(",") if e.strip()]
        files = find_audio_files(paths, endings or None, note)
        if not files:
            say("stonekey: no audio files")
        return files

    def tag(
        self, files: list[Path], keys: _Keys, settings: Settings, write: bool, stack: ExitStack
    ) -> Iterator[Outcome]:
        """Outcomes as they come."""
        from stonekey.tags.formats import open_tags
        from stonekey.tags.journal import Journal, journal_folder
        from stonekey.tags.tagging import tag_file
        from stonekey.tags.writing import sweep

        journal = stack.enter_context(Journal(journal_folder())) if write else None
        if write:
            sweep(files)

        def one(path: Path) -> Outcome:
            self._interrupt.working = True  # Ctrl-C stops an analysis but not a replacement
            try:
                open_tags(path)  # before the analysis, which takes longer
                key, confidence = keys.find(path)
            finally:
                self._interrupt.working = False
            return tag_file(path, key, confidence, settings, journal)

        for path in self._tracked(files, stack):
            outcome = self._told(path, lambda path=path: one(path))  # type: ignore[misc]
            if outcome is None:
                return
            yield outcome

    def undo(self, force: bool, keep_mtime: bool, stack: ExitStack) -> Iterator[Outcome]:
        """Outcomes as they come; what could not be restored stays in the journal."""
        from stonekey.tags.journal import journal_folder, keep_only, last_run
        from stonekey.tags.tagging import undo_file
        from stonekey.tags.writing import sweep

        def note(kept: Path, lines: int) -> None:
            self.counts["failed"] += lines
            say(f"stonekey: the journal has damaged lines ({lines}), which are kept in {kept}")

        journal, entries = stack.enter_context(last_run(journal_folder(), note))
        sweep(Path(entry.path) for entry in entries)
        left = dict.fromkeys(range(len(entries)))
        stack.callback(lambda: keep_only(journal, [entries[i] for i in left]))
        for i in self._tracked(list(left), stack):
            entry = entries[i]
            outcome = self._told(
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
            from stonekey.cli.progress import tracked

            return stack.enter_context(tracked(items))
        return iter(items)

    def _told(self, path: Path, work: Callable[[], Outcome]) -> Outcome | None:
        """The outcome of the work, None when it is to end."""
        from stonekey.tags.tagging import Outcome

        if self._interrupt.requested:
            return None
        try:
            outcome = work()
        except KeyboardInterrupt:
            return None
        except Exception as error:  # one bad file must not end the run, whatever is wrong
            say(f"stonekey: {shown(path)}: {reason(error)}")
            outcome = Outcome(path, None, None, 0.0, "failed", reason(error))
        self.counts[outcome.action] += 1
        return outcome


def _print(outcomes: Iterator[Outcome], form: str, notation: str) -> None:
    from stonekey.tags.tagging import as_record

    records = (as_record(o, notation, display_name(o.path)) for o in outcomes)
    if form == "json":
        separator = "[\n"
        for record in records:
            print(separator + json_text(record), end="", flush=True)
            separator = ",\n"
        print("[]" if separator == "[\n" else "\n]")
    elif form == "csv":
        tell(_csv_line(dict(zip(COLUMNS, COLUMNS, strict=True))))
        for record in records:
            tell(_csv_line(csv_cells(record, paths=("file",))))
    elif sys.stdout.isatty():
        _print_table(records)
    else:
        for record in records:
            print("\t".join(_cells(record)), flush=True)


def _csv_line(row: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="").writerow(row)
    return text.getvalue()


def _cells(record: dict[str, Any]) -> list[str]:
    """File, existing key, key found, confidence, action."""
    action = record["action"] + (", differs" if record["differs"] else "")
    confidence = f"{record['confidence']:.0%}" if record["confidence"] else ""
    cells = [record["file"], record["existing"] or "", record["key"] or "", confidence, action]
    return [printable(cell) for cell in cells]


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
        table.add_row(*map(Text, _cells(record)))
    if table.row_count:
        Console().print(table)


def _say_what_was_done(counts: Counter[str], for_good: bool) -> None:
    parts = ", ".join(f"{count} {action}" for action, count in counts.items())
    hint = "" if for_good or not counts["would write"] else "; nothing is changed without --write"
    if parts:
        say(f"stonekey: {parts}{hint}")
