"""Outputs of a library scan: round trips, truncated files, foreign files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import sqlite3
from pathlib import Path

import pytest

from stonekey.files import LockedError, locked
from stonekey.keys import Key, KeySignature
from stonekey.library.base import StoreError
from stonekey.library.lines import LineStore
from stonekey.library.parquet import journal_path
from stonekey.library.result import FIELDS, Result, path_text, text_path
from stonekey.library.store import SUFFIXES, open_store, read_results


def results() -> list[Result]:
    """One result of each kind."""
    sung = Result(
        Path("/music/a, \"b\".mp3"), 5, 1.7e9 + 1 / 3, "template", "ab12",
        confidence=0.75, duration=61.5, tuning=-3.5, warnings=("cut short", "loud"),
    ).with_label(Key.parse("Eb minor"), "camelot")  # fmt: skip
    signature = dataclasses.replace(sung, path=Path("/music/12")).with_label(
        KeySignature(3), "musical"
    )
    failed = Result(Path("/music/c.ogg"), 0, 2.5, "template", "ab12", error='no, "sound"')
    silent = dataclasses.replace(failed, path=Path("/é\u2028"), error=None, confidence=0.0)
    odd = dataclasses.replace(sung, path=Path(os.fsdecode(b"/music/\xff\n\\x41\\\xfe.wav")))
    return [sung, signature, failed, silent, odd]


def test_any_name_comes_back_from_one_line_of_text() -> None:
    rng = random.Random(1)
    alphabet = [
        b"\\",
        b"x",
        b"5",
        b"c",
        b"\xff",
        b"\xc3",
        b"\xa9",
        b"\n",
        b"\r",
        b"\x01",
        b"/",
        b"a",
    ]
    for _ in range(2000):
        name = os.fsdecode(b"/" + b"".join(rng.choices(alphabet, k=8)))
        text = path_text(name)
        assert text_path(text) == Path(name)
        assert len(text.encode().splitlines()) == 1
    assert path_text("/music/Émile/a\\b.mp3") == "/music/Émile/a\\b.mp3"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_results_come_back(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"keys{suffix}"
    first, *others = results()
    store = open_store(path)
    assert store.read() == []
    store.rewrite([first])
    for result in others:
        store.append(result)
    store.append(dataclasses.replace(first, size=6))  # in place of the first
    assert read_results(path) == [*others, dataclasses.replace(first, size=6)]
    store.finish()
    store.close()
    assert read_results(path) == [*others, dataclasses.replace(first, size=6)]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_labels_are_read_from_a_result() -> None:
    labels = [result.label for result in results()]
    assert labels == [Key.parse("Eb minor"), KeySignature(3), None, None, Key.parse("Eb minor")]


def test_labels_are_looked_up_and_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [*map(Key.from_index, range(24)), *map(KeySignature, range(12))]
    records = [Result(Path("/a")).with_label(label, "flats").as_dict() for label in labels]
    monkeypatch.setattr("stonekey.library.result.parse_label", lambda text: pytest.fail(text))
    assert [Result.from_dict(record).label for record in records] == labels


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_torn_end_costs_the_torn_line_only(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"keys{suffix}"
    store = open_store(path)
    store.rewrite(results()[:3])
    start = path.stat().st_size
    store.append(results()[3])
    store.close()
    whole = path.read_bytes()
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert read_results(path) == results()[:3]
    store.rewrite(store.read())
    store.append(results()[3])
    store.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("notes.csv", b"title,year\nA song,1990\n"),
        ("notes.csv", b"path,key,answer\n/a.mp3,C major,A minor\n"),  # as of compare
        ("notes.csv", b"buy milk"),
        ("notes.jsonl", b"buy milk"),
        ("notes.jsonl", b'{"title": "A song"}\n'),
        ("notes.jsonl", b'["path"]\n'),
        ("notes.jsonl", b'{"path": "/a.mp3", "key": "C major"}\n'),
        ("notes.sqlite", b"this is no database, but long enough to be one" * 20),
        ("notes.parquet", b"no table either"),
    ],
)
def test_a_file_of_somebody_else_is_refused(tmp_path: Path, name: str, contents: bytes) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(StoreError, match=name):
        read_results(tmp_path / name)
    assert (tmp_path / name).read_bytes() == contents


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "songs.sqlite")
    database.execute("CREATE TABLE songs (title TEXT)")
    database.commit()
    database.close()
    with pytest.raises(StoreError, match=r"songs\.sqlite: a database, but not"):
        read_results(tmp_path / "songs.sqlite")


def test_a_table_edited_in_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """It may have a byte order mark, other line ends and fewer columns."""
    path = tmp_path / "keys.csv"
    path.write_bytes("\ufeffpath,key,camelot,mine\r\n/a.mp3,C minor,5A,x\r\n".encode())
    assert read_results(path) == [Result(Path("/a.mp3"), label=Key.parse("5A"), key="C minor")]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["labels", "more columns", "another last line"])
def test_a_run_refuses_a_file_that_is_not_entirely_its_own(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    """Even if the results in it can be read."""
    path = tmp_path / f"labels{suffix}"
    record = {"path": "/a.mp3", "key": "C minor"}
    if kind != "labels":
        record = results()[2].as_dict() | {"warnings": ""}
    if kind == "more columns":
        record["mine"] = "x"
    if suffix == ".csv":
        rows = [record] if kind != "labels" else [record, record | {"path": "/b.mp3"}]
        lines = [",".join(record), *(",".join(f'"{v}"' for v in row.values()) for row in rows)]
        tail = "and a note of mine" if kind == "another last line" else ""
        path.write_text("".join(f"{line}\n" for line in lines) + tail)
    elif suffix == ".jsonl":
        tail = "# a note of mine" if kind == "another last line" else ""
        path.write_text(json.dumps(record) + "\n" + tail)
    elif suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        if kind == "another last line":
            return  # it has none
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist([record]), path)
        LineStore(journal_path(path)).rewrite(results())  # from an earlier run with this output
    else:
        columns = ", ".join(record)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(f"CREATE TABLE keys ({columns})")
            if kind == "another last line":
                database.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"not an output"):
        open_store(path).read(strict=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": float("nan")},
        {"size": 1e400},
        {"size": 10**400},
        {"error": ["x"]},
        {"camelot": "44Z"},
    ],
)
def test_values_of_another_kind_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(json.dumps(results()[0].as_dict() | wrong) + "\n")
    with pytest.raises(StoreError, match="line 1: not an output"):
        read_results(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        os.mkfifo(tmp_path / f"keys{suffix}")
        with pytest.raises(StoreError, match="pipe"):
            open_store(tmp_path / f"keys{suffix}")
    os.mkfifo(journal_path(tmp_path / "other.parquet"))
    with pytest.raises(StoreError, match="pipe"):
        open_store(tmp_path / "other.parquet")


def test_missing_files_and_other_suffixes(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        read_results(tmp_path / "keys.csv")
    with pytest.raises(StoreError, match=r"must end in one of \.csv, "):
        open_store(tmp_path / "keys.xls")


def test_columns_of_the_issue_are_there() -> None:
    asked = "path size mtime model key tonic mode camelot open_key confidence duration error"
    assert {*asked.split(), "warnings"} <= set(FIELDS)


def test_a_lock_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path):
        with pytest.raises(LockedError), locked(path):
            pass
        assert path.exists()
    assert not path.exists()
    with locked(path):
        pass
