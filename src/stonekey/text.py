"""Text that is safe to show: names, messages, JSON and CSV.

Names of files, tags and models come from outside and may contain terminal escapes, line breaks,
spreadsheet formulas and invalid bytes. Everything that stonekey prints or writes goes through here.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from pathlib import PurePath
from typing import Any

_ODD = re.compile("[^ -~]")
# Invisible joiners, which some scripts and many emoji need.
_JOINERS = "\u200c\u200d"
# Spreadsheets read a cell that starts with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


# Of two slashes pathlib keeps one; a drive is a single letter.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?=[^/])")


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is spelt like ``https://host/file``, or what pathlib makes of it."""
    return _ADDRESS.match(_with_slashes(path)) is not None


def _with_slashes(path: str | os.PathLike[str]) -> str:
    r"""The path as text, on Windows with ``/`` for ``\``."""
    return path.as_posix() if isinstance(path, PurePath) else os.fspath(path).replace(os.sep, "/")


def address(path: str | os.PathLike[str]) -> str:
    """A path as text, in which an address has its two slashes again."""
    return _decoded(path, "surrogateescape")


def display_name(path: str | os.PathLike[str]) -> str:
    """A path as text that can always be encoded: bytes that are not UTF-8 become U+FFFD."""
    return _decoded(path, "replace")


def _decoded(path: str | os.PathLike[str], errors: str) -> str:
    """The text of a path; an address has its two slashes again."""
    if not is_address(path):
        return bytes_of(os.fspath(path)).decode("utf-8", errors)
    text = bytes_of(_with_slashes(path)).decode("utf-8", errors)
    return _ADDRESS.sub(r"\1://", text, count=1)


def path_of(raw: bytes) -> str:
    """The path that bytes from outside mean.

    As `os.fsdecode`, which on Windows refuses what is not UTF-8.
    """
    try:
        return os.fsdecode(raw)
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape")


def bytes_of(path: str) -> bytes:
    """Inverse of `path_of`."""
    if os.name == "nt":
        try:
            return path.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # half of a pair, which NTFS allows in names
            pass
    return os.fsencode(path)


def printable(text: str, keep: str = "") -> str:
    """Text with control characters (terminal escapes, tabs, line breaks) escaped.

    Args:
        text: any text.
        keep: characters to leave as they are.
    """

    def escaped(found: re.Match[str]) -> str:
        c = found[0]
        return c if _shows(c) or c in keep else c.encode("unicode_escape").decode("ascii")

    return _ODD.sub(escaped, text)


def _shows(c: str) -> bool:
    return c.isprintable() or unicodedata.category(c) == "Zs" or c in _JOINERS


def shown(path: str | os.PathLike[str]) -> str:
    r"""A path as printable text: bytes that are not UTF-8 become ``\xNN``."""
    return printable(_decoded(path, "backslashreplace"))


def one_line(text: str) -> str:
    """Printable text for a cell or a message, with any white space turned into single spaces."""
    return printable(" ".join(text.split()))


def reason(error: BaseException) -> str:
    """Why a file failed, as one printable line without the file's name."""
    if hasattr(error, "path") and hasattr(error, "reason"):  # an AudioError
        return one_line(error.reason)
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError):
        return one_line(error.strerror or str(error))
    text = one_line(str(error))
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def json_text(
    value: Any, *, indent: int | None = None, ascii: bool = False, sort_keys: bool = False
) -> str:
    """Standard JSON that is safe to print; the arguments are those of `json.dumps`.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    text = json.dumps(
        value, ensure_ascii=ascii, indent=indent, allow_nan=False, sort_keys=sort_keys
    )
    return _ODD.sub(lambda found: _json_character(found[0]), text)


def _json_character(c: str) -> str:
    return c if _shows(c) or c == "\n" else json.dumps(c)[1:-1]


def csv_cells(row: dict[str, Any], paths: tuple[str, ...] = ()) -> dict[str, Any]:
    """A CSV row in which spreadsheets see no formula.

    Text that looks like one gets an apostrophe in front; a path gets ``./``, which does not change
    its meaning.

    Args:
        row: cells by column.
        paths: columns that hold paths.
    """
    return {name: csv_cell(value, name in paths) for name, value in row.items()}


def csv_cell(value: Any, path: bool = False) -> Any:
    """One cell of a `csv_cells` row."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return ("./" if path else "'") + value
    return value


def counted(count: int, noun: str) -> str:
    """``1 file``, ``2 files``: for nouns that take a plain s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def to_install(extra: str) -> str:
    """How to install an extra of this package, which README says too."""
    return f'pip install ".[{extra}]" in the checkout of stonekey'


def log(message: str) -> None:
    """Print to standard error, with terminal escapes made visible."""
    print(printable(message, keep="\n"), file=sys.stderr, flush=True)


def echo(text: str) -> None:
    """Print to standard output, with terminal escapes made visible."""
    print(printable(text, keep="\n\t"), flush=True)
