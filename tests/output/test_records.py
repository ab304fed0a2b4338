"""The fields of a recording's record: names, order, types and text in every output, kept."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_tools import music, run

from stonekey.text import json_text

# What was written once; `PYTHONPATH=tests python tests/output/test_records.py` writes it anew.
KEPT = Path(__file__).with_name("records.txt")
_NUMBER = re.compile(r"-?\d+\.\d+")


def outputs(folder: Path) -> Iterator[tuple[str, str]]:
    """Each output of a real run, by its name."""
    album = folder / "album"
    album.mkdir()
    music(album / '=a, "b".wav', "F# major", 8.0)
    music(album / "c.wav", "Bb minor", 8.0)
    soundfile.write(album / "quiet.wav", np.zeros(22050), 22050)
    (album / "bad.mp3").write_text("this is no mp3")
    for path in album.iterdir():
        os.utime(path, (1.7e9, 1.7e9 + 0.25))

    def predicted(form: str, *options: str) -> tuple[str, str]:
        return f"predict {form} {' '.join(options)}", run(album, "-f", form, *options).stdout

    def scanned(name: str, *options: str) -> Path:
        assert run("scan", album, "-o", folder / name, "-j", "1", *options).returncode == 1
        return folder / name

    template = ("--model", "template")
    signatures = ("--model", "template12", "--notation", "camelot")
    for form in ("json", "csv", "tsv"):
        yield predicted(form, *template)
        yield predicted(form, *signatures, "--top", "2")
    yield "one file", run(album / "c.wav", "-f", "json", *template).stdout
    for suffix in (".csv", ".jsonl"):
        yield f"scan {suffix}", scanned(f"keys{suffix}", *template).read_text()
        yield f"scan {suffix} signatures", scanned(f"signatures{suffix}", *signatures).read_text()
    with closing(sqlite3.connect(scanned("signatures.sqlite", *signatures))) as database:
        (schema,) = database.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table'"
        ).fetchone()
        rows = database.execute("SELECT * FROM keys").fetchall()
        yield "scan .sqlite", "\n".join([schema, *map(json_text, rows)])
    from pyarrow import parquet

    table = parquet.read_table(scanned("signatures.parquet", *signatures))
    schema = table.schema.to_string(show_schema_metadata=False)
    yield "scan .parquet", "\n".join([schema, *map(json_text, table.to_pylist())])


def everything(folder: Path) -> str:
    """All outputs, with ALBUM for the folder of the recordings."""
    shown = "".join(f"== {name}\n{text}\n" for name, text in outputs(folder))
    return shown.replace(str(folder / "album"), "ALBUM")


def test_every_output_is_what_it_was(tmp_path: Path) -> None:
    """To the character but for the last decimals, which machines compute differently."""
    pytest.importorskip("pyarrow")
    kept, now = KEPT.read_text(), everything(tmp_path)
    assert _NUMBER.sub("#", now) == _NUMBER.sub("#", kept)
    for before, after in zip(_NUMBER.findall(kept), _NUMBER.findall(now), strict=True):
        decimals = min(len(text.partition(".")[2]) for text in (before, after))
        assert abs(float(before) - float(after)) < 1.5 * 10**-decimals


if __name__ == "__main__":
    import tempfile

    sys.argv = ["stonekey"]
    with tempfile.TemporaryDirectory() as made:
        KEPT.write_text(everything(Path(made)))
