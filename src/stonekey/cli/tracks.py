"""Lists of tracks with their keys, as "stonekey mix" and "stonekey playlist" print them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stonekey.audio.playlists import Entry, playlist_bytes
from stonekey.cli.common import fail
from stonekey.cli.output import write_result
from stonekey.text import csv_cells, json_text, printable

FORMATS = ("text", "json", "csv", "m3u")
SUFFIXES = {
    ".txt": "text", ".tsv": "text", ".json": "json", ".csv": "csv", ".m3u": "m3u", ".m3u8": "m3u",
}  # fmt: skip


def chosen_format(name: str | None, output: Path | None, default: str) -> str:
    """The format asked for, that of the output's suffix, or the default."""
    if name is None:
        name = SUFFIXES.get(output.suffix.lower()) if output else default
        if name is None:
            fail(f"{output}: no format goes with this suffix; give --format")
    if name not in FORMATS:
        fail(f"--format must be one of {', '.join(FORMATS)}, got '{name}'")
    return name


def write_tracks(
    records: Sequence[dict[str, Any]],
    entries: Sequence[Entry],
    columns: Sequence[str],
    form: str,
    output: Path | None,
    about: dict[str, Any] | None = None,
) -> None:
    """Write the tracks to a file, or to standard output.

    Args:
        records: a track each, for text, CSV and JSON.
        entries: the same tracks, for M3U.
        columns: keys of the records that CSV has; the text has the same without a header.
        form: one of `FORMATS`.
        output: file, replaced when complete; None for standard output.
        about: what stands beside the tracks in JSON; None for an array alone.
    """
    if form == "m3u":
        # A list without a folder of its own has absolute paths.
        contents = playlist_bytes(output or Path(os.devnull), entries)
    elif form == "json":
        tracks = list(records)
        shown = tracks if about is None else {**about, "tracks": tracks}
        contents = json_text(shown, indent=2).encode() + b"\n"
    else:
        contents = _table(records, columns, form).encode("utf-8", "backslashreplace")
    write_result(lambda stream: stream.write(contents), output)


def _table(records: Sequence[dict[str, Any]], columns: Sequence[str], form: str) -> str:
    text = io.StringIO()
    if form == "csv":
        rows = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        rows.writerows(csv_cells(record, paths=("path",)) for record in records)
    else:
        for record in records:
            cells = (record[name] for name in columns)
            text.write(
                "\t".join("" if cell is None else printable(str(cell)) for cell in cells) + "\n"
            )
    return text.getvalue()
