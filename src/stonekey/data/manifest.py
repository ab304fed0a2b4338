"""Manifests: which recordings, in which key, in which split.

A manifest is a CSV, TSV or JSONL file with a column ``path``, optionally ``key``,
``probabilities``, ``group`` and ``split``; any other column is kept as metadata. Training and
evaluation read the same files. Nothing is dropped silently: recordings that are missing,
unlabelled, keyless or listed twice stay countable.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from stonekey.keys import NO_KEY, Key, KeySignature, non_key
from stonekey.text import one_line

PATH_COLUMNS = ("path", "file", "filename")
KEY_COLUMNS = ("key", "label")
SEPARATORS = (",", ";", "\t", "|")

PathLike = str | os.PathLike[str]


class ManifestError(ValueError):
    """A manifest or label file cannot be used; the message, a line, names the file and the line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@dataclass(frozen=True)
class Track:
    """One recording of a manifest.

    Attributes:
        id: the name of the recording in its own source: the path as written in the manifest, or
            the data set's id.
        path: where the audio is, or where it was expected when ``present`` is false; None when the
            data set does not say.
        key: the reference key; None if unlabelled.
        split: the split named by the manifest, if any.
        metadata: the other columns.
        present: whether the file exists.
        line: line in the manifest, from 1.
        keyless: labelled as having no key at all; ``key`` is then None.
        probabilities: a label that is not sure: of the 24 keys by `stonekey.keys.Key.index`. For
            training; evaluation asks for ``key``.
        group: of tracks that are drawn alike in training.
        problem: why ``key`` is None although the source says something (unusable labels of
            published data sets).
    """

    id: str
    path: Path | None
    key: Key | None = None
    split: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    present: bool = True
    line: int | None = None
    problem: str | None = None
    keyless: bool = False
    probabilities: tuple[float, ...] | None = None
    group: str = ""
    unusable: bool = False

    @property
    def signature(self) -> KeySignature | None:
        """The key signature of the reference key."""
        return None if self.key is None else self.key.signature


@dataclass(frozen=True)
class Duplicate:
    """A repeated mention of a recording: left out of the tracks, kept here."""

    track: Track
    first: Track


@dataclass(frozen=True)
class Manifest:
    """The tracks of a manifest, a data set or a folder, in the order of the source.

    Attributes:
        name: the file, folder or data set.
        tracks: every distinct recording, with or without audio or label.
        duplicates: repeated mentions of a recording, with the same label.
    """

    name: str
    tracks: tuple[Track, ...]
    duplicates: tuple[Duplicate, ...] = ()

    def __len__(self) -> int:
        return len(self.tracks)

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    @property
    def missing(self) -> tuple[Track, ...]:
        """Tracks without audio."""
        return tuple(track for track in self.tracks if not track.present)

    @property
    def present(self) -> tuple[Track, ...]:
        """Tracks with audio, labelled or not."""
        return tuple(track for track in self.tracks if track.present)

    @property
    def unlabelled(self) -> tuple[Track, ...]:
        """Tracks of whose key nothing is known."""
        return tuple(t for t in self.tracks if t.key is None and not (t.keyless or t.unusable))

    @property
    def unusable(self) -> tuple[Track, ...]:
        """Tracks whose label is not one major or minor key."""
        return tuple(track for track in self.tracks if track.unusable)

    @property
    def keyless(self) -> tuple[Track, ...]:
        """Tracks labelled as having no key."""
        return tuple(track for track in self.tracks if track.keyless)

    @property
    def labelled(self) -> tuple[Track, ...]:
        """Tracks with a key, whether or not their audio is present."""
        return tuple(track for track in self.tracks if track.key is not None)

    @property
    def usable(self) -> tuple[Track, ...]:
        """Tracks with audio and a key: the ones that can be scored."""
        return tuple(track for track in self.tracks if track.present and track.key is not None)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, sorted."""
        return tuple(sorted({track.split for track in self.tracks if track.split is not None}))

    def select(self, split: str) -> Manifest:
        """Return the tracks of one split.

        Raises:
            ManifestError: no track is in that split.
        """
        tracks = tuple(track for track in self.tracks if track.split == split)
        if not tracks:
            known = ", ".join(self.splits) or "none"
            raise ManifestError(f"{self.name}: no track in split {split!r} (splits: {known})")
        kept = {id(track) for track in tracks}
        duplicates = tuple(d for d in self.duplicates if id(d.first) in kept)
        return Manifest(self.name, tracks, duplicates)

    def counts(self) -> dict[str, int]:
        """Return how many tracks there are of each kind, for reports."""
        return {
            "tracks": len(self.tracks),
            "usable": len(self.usable),
            "missing": len(self.missing),
            "unlabelled": len(self.unlabelled),
            "unusable_labels": len(self.unusable),
            "keyless": len(self.keyless),
            "duplicates": len(self.duplicates),
        }

    def summary(self) -> str:
        """Return the counts in words."""
        return ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in self.counts().items())

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and the ids of every track that cannot be scored, for JSON."""
        return {
            "name": self.name,
            **self.counts(),
            "missing_ids": [track.id for track in self.missing],
            "unlabelled_ids": [track.id for track in self.unlabelled],
            "unusable_label_ids": [track.id for track in self.unusable],
            "keyless_ids": [track.id for track in self.keyless],
            "duplicate_ids": [duplicate.track.id for duplicate in self.duplicates],
            "problems": {track.id: track.problem for track in self.tracks if track.problem},
        }


def read_manifest(
    path: PathLike, root: PathLike | None = None, *, unusable: bool = False
) -> Manifest:
    """Read a manifest, or list a folder as unlabelled tracks.

    Args:
        path: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file with a column ``path`` (or
            ``file``, ``filename``), optionally ``key`` (or ``label``; empty: no label; "no key":
            there is none), ``probabilities`` (``{"C major": 0.8, "A minor": 0.2}``, what is left
            out being 0), ``group`` and ``split``; or a folder, whose recordings are found by
            :func:`stonekey.audio.find_audio_files`. Spelling of columns in any case.
        root: the folder that relative paths start from (default: the manifest's own folder).
        unusable: take a row whose key is not one key, with a ``problem`` that says so.

    Cells are separated by commas, semicolons, tabs or bars, whichever the first line has most of.

    Raises:
        ManifestError: the file is missing or not text, a row has no path or an unreadable key, or
            one recording has two different keys or splits. The message names file and line.
    """
    path = Path(path)
    if path.is_dir():
        return folder_manifest(path)
    base = path.parent if root is None else Path(root)
    tracks = [_track(path, base, line, row, unusable) for line, row in _rows(path)]
    return build_manifest(str(path), tracks)


def folder_manifest(folder: PathLike) -> Manifest:
    """Return every audio file under ``folder`` as an unlabelled track; ids are relative paths."""
    from stonekey.audio import find_audio_files

    folder = Path(folder)
    tracks = (
        Track(id=file.relative_to(folder).as_posix(), path=file)
        for file in find_audio_files([folder])
    )
    return Manifest(str(folder), tuple(tracks))


def build_manifest(name: str, tracks: Iterable[Track]) -> Manifest:
    """Collect tracks, setting repeated mentions of a recording aside.

    A recording is known by its path, or by its id when it has no path.

    Raises:
        ManifestError: two mentions of one recording disagree about its key or split.
    """
    first: dict[str, Track] = {}
    duplicates = []
    for track in tracks:
        name_of_file = track.id if track.path is None else os.path.realpath(track.path)
        known = first.setdefault(name_of_file, track)
        if known is track:
            continue
        where = f"{name}: {track.id} is listed twice"
        if track.line is not None:
            where = f"{name}, line {track.line}: {track.id} is also on line {known.line}"
        if known.key != track.key:
            raise ManifestError(f"{where}, with another key ({known.key}, then {track.key})")
        if known.split != track.split:
            raise ManifestError(f"{where}, in another split ({known.split}, then {track.split})")
        duplicates.append(Duplicate(track, known))
    return Manifest(name, tuple(first.values()), tuple(duplicates))


def read_rows(path: PathLike) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and cells of every row of a CSV file with a header.

    The separator is the one of `SEPARATORS` that the header has most of. Column names are stripped
    and lower-cased, cells stripped; blank lines are skipped.

    Raises:
        ManifestError: unreadable or not UTF-8, no header, a repeated column, or a row with more
            cells than the header.
    """

    def parse(file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
        first = file.readline()
        delimiter = max(SEPARATORS, key=first.count)  # the first of them in a tie
        reader = csv.reader(chain([first], file), delimiter=delimiter, strict=True)
        try:
            yield from rows(reader)
        except csv.Error as error:
            raise ManifestError(f"{path}, line {reader.line_num}: not CSV: {error}") from error

    def rows(reader: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        header = [name.strip().lower() for name in next(reader, [])]
        if not header:
            raise ManifestError(f"{path}: empty file")
        if len(set(header)) < len(header):
            raise ManifestError(f"{path}, line 1: a column is named twice in {header}")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header):
                raise ManifestError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells for {len(header)} columns"
                )
            cells += [""] * (len(header) - len(cells))
            row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            yield reader.line_num, row

    yield from _parsed(Path(path), parse)


def _parsed(
    path: Path, parse: Callable[[TextIO], Iterator[tuple[int, dict[str, Any]]]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from parse(file)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text") from error


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return _parsed(path, lambda file: _json_rows(path, file))
    return read_rows(path)


def _json_rows(path: Path, file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ManifestError(f"{path}, line {number}: not a JSON object")
        yield number, {name.strip().lower(): value for name, value in row.items()}


def _pop(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """Take the first of the named columns out of the row: its text, or None without one."""
    for name in names:
        if name in row:
            value = row.pop(name)
            return "" if value is None else str(value).strip()
    return None


def _track(
    manifest: Path, root: Path, line: int, row: dict[str, Any], unusable: bool = False
) -> Track:
    name = _pop(row, PATH_COLUMNS)
    if not name:
        reason = "no path" if name == "" else f"no column {' or '.join(PATH_COLUMNS)}"
        raise ManifestError(f"{manifest}, line {line}: {reason}")
    if "\0" in name:
        raise ManifestError(f"{manifest}, line {line}: a path with a zero byte")
    label = _pop(row, KEY_COLUMNS) or ""
    nothing = non_key(label)
    key, problem = None, None
    try:
        key = None if nothing else Key.parse(label)
    except ValueError as error:
        if not unusable:
            raise ManifestError(f"{manifest}, line {line}: {name}: {error}") from error
        problem = f"{manifest}, line {line}: not one major or minor key: {label!r}"
    try:
        probabilities = _probabilities(row.pop("probabilities", None))
    except ValueError as error:
        raise ManifestError(f"{manifest}, line {line}: {name}: probabilities: {error}") from error
    path = root / name
    return Track(
        id=name,
        path=path,
        key=key,
        split=_pop(row, ("split",)) or None,
        metadata=row,
        present=os.path.isfile(path),
        line=line,
        problem=problem,
        unusable=problem is not None,
        keyless=nothing == NO_KEY,
        probabilities=probabilities,
        group=_pop(row, ("group",)) or "",
    )


def _probabilities(cell: Any) -> tuple[float, ...] | None:
    """A cell, or a JSON value, as 24 numbers that add up to 1; None where it is empty."""
    if cell in (None, ""):
        return None
    values = json.loads(cell) if isinstance(cell, str) else cell
    if not isinstance(values, dict):
        raise ValueError(f"expected an object with a number for each key, got {values!r}")
    out = [0.0] * 24
    for label, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"{label}: must be 0 to 1, got {value!r}")
        out[Key.parse(label).index] += float(value)
    total = sum(out)
    if not 0.98 <= total <= 1.02:  # rounded numbers are welcome
        raise ValueError(f"add up to {total:g}, not to 1")
    return tuple(value / total for value in out)
