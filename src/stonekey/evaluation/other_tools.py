"""Read other tools' answers from a CSV file, to score them beside models."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stonekey.data.manifest import (
    KEY_COLUMNS,
    PATH_COLUMNS,
    ManifestError,
    Track,
    read_rows,
)
from stonekey.evaluation.predictions import Answer, System
from stonekey.keys import Key, KeySignature, non_key, parse_label

LABEL_COLUMNS = (*KEY_COLUMNS, "signature")


def read_predictions(
    path: str | os.PathLike[str], tracks: Sequence[Track], *, name: str | None = None
) -> System:
    """Read another tool's answers.

    Args:
        path: CSV (or ``.tsv``) file with the columns ``path`` (or ``file``, ``filename``), ``key``
            (or ``label``, ``signature``; empty for no key), and optionally ``confidence`` and
            ``error``, as ``stonekey predict --format csv`` writes it. Keys can have any spelling.
            A single key signature, such as ``3 flats`` or ``C major / A minor``, makes it a system
            with 12 outputs; a ``remark`` says so where other rows name keys.
        tracks: tracks to find in the file. A row belongs to the track whose path or id shares the
            longest end with the row's path, if necessary without the suffix.
        name: name of the system (default: that of the file).

    Raises:
        ManifestError: the file cannot be read, lacks a column, has a bad label or confidence, has
            two answers for a track, or has none of the tracks. The message names file and line.
    """
    path = Path(path)
    ends = _Ends(tracks)
    found: dict[str, _Match] = {}
    unmatched: list[str] = []
    for line, row in read_rows(path):
        where = f"{path}, line {line}"
        file, answer = _prediction(row, where)
        track, length = ends.find(file)
        if track is None:
            unmatched.append(file)
            continue
        match = _Match(length, line, file, answer)
        before = found.get(track)
        if before and before.length == length and before.answer != answer:
            raise ManifestError(f"{where}: {file} has another answer on line {before.line}")
        if before and before.length != length:
            match, worse = (match, before) if length > before.length else (before, match)
            unmatched.append(worse.file)
        found[track] = match
    if not found:
        raise ManifestError(f"{path}: none of its files is in the data")
    answers = {track: match.answer for track, match in found.items()}
    signatures = [m for m in found.values() if isinstance(m.answer.label, KeySignature)]
    keys = sum(isinstance(m.answer.label, Key) for m in found.values())
    remark = ""
    if signatures and keys:
        first = min(signatures, key=lambda match: match.line)
        remark = (
            f"{len(signatures)} of {len(signatures) + keys} predictions name a key signature and "
            f"no key (line {first.line}: {str(first.answer.label)!r}), so all are scored as "
            "signatures only, without MIREX"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return System(
        name or path.stem,
        12 if signatures else 24,
        answers,
        str(path),
        {"sha256": digest},
        tuple(unmatched),
        remark,
    )


@dataclass(frozen=True)
class _Match:
    """A row of predictions, and how much of its path it shares with a track's path."""

    length: int
    line: int
    file: str
    answer: Answer


def _prediction(row: Mapping[str, str], where: str) -> tuple[str, Answer]:
    file = next((row[column] for column in PATH_COLUMNS if column in row), None)
    text = next((row[column] for column in LABEL_COLUMNS if column in row), None)
    if file is None or text is None:
        wanted = PATH_COLUMNS if file is None else LABEL_COLUMNS
        raise ManifestError(f"{where}: no column {' or '.join(wanted)}")
    if not file:
        raise ManifestError(f"{where}: no path")
    try:
        label = None if non_key(text) else parse_label(text)
        # With semicolons between cells, numbers may have decimal commas.
        text = row.get("confidence", "").replace(",", ".")
        confidence = float(text) if text else None
    except ValueError as error:
        raise ManifestError(f"{where}: {file}: {error}") from error
    if confidence is not None and not (math.isfinite(confidence) and 0 <= confidence <= 1):
        raise ManifestError(f"{where}: {file}: confidence {confidence} is not between 0 and 1")
    return file, Answer(label, confidence, row.get("error") or None)


class _Ends:
    """Finds tracks by the end of a path."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._by_end: dict[tuple[str, ...], str | None] = {}  # None: several tracks share it
        for track in tracks:
            # Ids in data sets need not be file names.
            names = {track.id} if track.path is None else {track.id, os.path.abspath(track.path)}
            ends = {end for text in names for end, _ in _ends(text)}
            for end in ends:
                other = self._by_end.setdefault(end, track.id)
                if other != track.id:
                    self._by_end[end] = None

    def find(self, file: str) -> tuple[str | None, int]:
        """The id of the only track that shares the longest end, and the length of that end."""
        for end, length in sorted(_ends(file), key=lambda item: -item[1]):
            if end in self._by_end:
                return self._by_end[end], length
        return None, 0


def _ends(text: str) -> list[tuple[tuple[str, ...], int]]:
    """Ends of a path with their lengths; each also without suffix and leading zeros, as shorter."""
    parts = text.replace("\\", "/").split("/")
    stem = Path(parts[-1]).stem
    if stem.isascii() and stem.isdigit():
        stem = str(int(stem))
    ends = []
    for i in range(len(parts)):
        length = 2 * (len(parts) - i)
        ends += [(tuple(parts[i:]), length), ((*parts[i:-1], stem, ""), length - 1)]
    return ends
