"""Lists of tracks with their keys, the output of "stonekey mix" and "stonekey playlist"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from stonekey.audio.playlists import Entry, playlist_bytes
from stonekey.output.formats import (
    Format,
    Record,
    formats,
    write_csv_rows,
    write_json_array,
    write_table_rows,
    write_text_rows,
)
from stonekey.text import json_text


@dataclass(frozen=True)
class TrackList:
    """Tracks in order.

    Attributes:
        records: one per track, for text, CSV and JSON.
        entries: the same tracks, for M3U.
        columns: keys of the records to write as CSV, and as text without a header.
        about: further fields of the JSON object; if empty, JSON is just the array of tracks.
        output: file to write to, None for standard output; M3U paths are relative to it.
        terminal: whether text is for a terminal, as a table.
    """

    records: Sequence[Record]
    entries: Sequence[Entry]
    columns: Sequence[str]
    about: Record = field(default_factory=dict)
    output: Path | None = None
    terminal: bool = False


def _text(tracks: TrackList, stream: BinaryIO) -> None:
    rows = [[record[name] for name in tracks.columns] for record in tracks.records]
    if tracks.terminal:
        write_table_rows([name.capitalize() for name in tracks.columns], rows, stream)
    else:
        write_text_rows(rows, stream)


def _json(tracks: TrackList, stream: BinaryIO) -> None:
    if not tracks.about:
        write_json_array(tracks.records, stream)
        return
    whole = {**tracks.about, "tracks": list(tracks.records)}
    stream.write(json_text(whole, indent=2).encode() + b"\n")


def _csv(tracks: TrackList, stream: BinaryIO) -> None:
    write_csv_rows(tracks.records, tracks.columns, stream, paths=("path",))


def _m3u(tracks: TrackList, stream: BinaryIO) -> None:
    stream.write(playlist_bytes(tracks.output, tracks.entries))


TRACKS: dict[str, Format[Callable[[TrackList, BinaryIO], None]]] = formats(
    Format("text", _text, (".txt", ".tsv")),
    Format("json", _json, (".json",)),
    Format("csv", _csv, (".csv",)),
    Format("m3u", _m3u, (".m3u", ".m3u8")),
)
