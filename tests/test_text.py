"""Untrusted text is shown and written safely."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from stonekey.audio.errors import UnreadableError
from stonekey.text import (
    counted,
    csv_cells,
    display_name,
    is_address,
    json_text,
    one_line,
    printable,
    reason,
    shown,
    to_install,
)

ESCAPES = [
    "\x1b]0;mine\x07",
    "\x1b[31m",
    "\x9b2J",
    "a\rb",
    "a\nb",
    "\u202egpj.exe",
    "\udc80",
    "\x7f",
]


@pytest.mark.parametrize("text", ESCAPES, ids=ascii)
def test_nothing_that_acts_is_shown(text: str) -> None:
    for shape in (printable(text), one_line(text), json_text(text)[1:-1], shown(Path(f"x{text}"))):
        assert shape.isprintable()
        shape.encode()


def test_names_of_all_scripts_stay() -> None:
    for name in ("Für Elise", "愛\u3000の", "नह\u200dीं", "👩\u200d🎤", "d\xa0é"):
        assert printable(name) == name
        assert json_text(name) == f'"{name}"'


def test_json_is_json() -> None:
    value = {"a": ["\x1b\x9b\u202e\n", 1.5, None], "\udc80": "ü"}
    assert json.loads(json_text(value)) == json.loads(json_text(value, indent=2)) == value
    assert json.loads(json_text(value, ascii=True)) == value
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            json_text({"a": number})


def test_no_cell_is_a_formula() -> None:
    row = {"path": "=cmd|' /C calc'!A0.mp3", "key": "@SUM(A1)", "cents": -3.5, "n": "8A - good"}
    cells = csv_cells(row, paths=("path",))
    assert cells == {**row, "path": f"./{row['path']}", "key": "'@SUM(A1)"}
    text = io.StringIO()
    csv.DictWriter(text, list(row)).writerow(cells)
    assert not any(cell.startswith(("=", "@", "+")) for cell in next(csv.reader([text.getvalue()])))


def test_reasons_are_one_line() -> None:
    assert reason(UnreadableError("a", "no\n\x1b[31m such")) == "no \\x1b[31m such"
    assert reason(OSError(28, os.strerror(28), "a\nb")) == "No space left on device"
    assert reason(MemoryError()) == "not enough memory"
    assert reason(KeyError("x\n")) == "KeyError: 'x\\n'"
    assert reason(ValueError("too\n short")) == "too short"


def test_extras_are_installed_as_readme_says() -> None:
    root = Path(__file__).resolve().parents[1]
    told = [to_install(name).split(" in ")[0] for name in ("torch", "train", "eval")]
    assert all(command in (root / "README.md").read_text() for command in told)
    for path in (root / "src").rglob("*.py"):
        assert "stonekey[" not in path.read_text(), path


@pytest.mark.parametrize("address", ["https://host/a b.mp3", "s3://x/y.wav"])
def test_an_address_keeps_both_slashes(address: str) -> None:
    for path in (address, Path(address)):
        assert display_name(path) == shown(path) == address
        assert is_address(path)
    for path in ("a/b.mp3", "/a/b:/c", "C:/music/a.mp3", "a: /b"):
        assert display_name(Path(path)) == shown(path) == path
        assert not is_address(path)


def test_counts_have_their_plural() -> None:
    assert [counted(n, "damaged line") for n in (0, 1, 2)] == [
        "0 damaged lines", "1 damaged line", "2 damaged lines",
    ]  # fmt: skip
