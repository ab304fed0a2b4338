"""Sources of a scan other than folders: lists of files, and addresses."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from stonekey.audio.files import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS
from stonekey.audio.locations import Locator
from stonekey.files import absence_named, file_system
from stonekey.library.result import text_path
from stonekey.text import address, is_address, one_line, to_install

SUFFIXES = (".txt", ".csv", ".parquet")
COLUMNS = ("path", "file", "filename", "url")

# Size in bytes and modification time in seconds since 1970; 0 if unknown.
Status = tuple[int, float]


class ListError(ValueError):
    """A list of files cannot be read; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(one_line(f"{address(path)}: {why}"))


def is_list(path: Path) -> bool:
    """Whether a source is named like a list of files."""
    return path.suffix.lower() in SUFFIXES and not os.path.isdir(path)


def listed(path: Path) -> Iterator[tuple[Path, Status]]:
    """The files of a list, on a disk or at an address: text, CSV or Parquet.

    Text has a path or address on each line; the others have it in a column of `COLUMNS`, and may
    have the columns ``size`` and ``mtime``, which are used for addresses. Relative paths start at
    the list. Paths are written as in the output of a scan, which is such a list, or in another
    encoding than UTF-8 if that finds the file.

    Raises:
        ListError: it cannot be read.
    """
    locator = Locator(path.parent)
    try:
        for row in _rows(path):
            if text := str(row.get("path") or "").strip():
                entry = text_path(text)
                if not is_address(entry):
                    entry = path.parent / entry.expanduser()
                if not is_address(entry):
                    entry = Path(os.path.abspath(entry))
                    raw = text.encode("utf-8", "surrogateescape")
                    if not _is_utf8(raw) and not os.path.lexists(entry):
                        entry = Path(os.path.abspath(locator.find([raw])[0]))
                yield entry, (int(row.get("size") or 0), float(row.get("mtime") or 0))
    except ListError:
        raise
    except OSError as error:
        raise ListError(path, error.strerror or str(error)) from error
    except (ValueError, TypeError, csv.Error) as error:
        raise ListError(path, f"not a list of files: {error}") from error


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path)
        return
    with _opened(path) as stream, _decoded(stream) as lines:
        if path.suffix.lower() == ".txt":
            for line in lines:
                yield {"path": line.rstrip("\r\n")}
            return
        reader = csv.DictReader(lines)
        column = _column(path, reader.fieldnames or ())
        for row in reader:
            yield {**row, "path": row[column]}


def _decoded(stream: BinaryIO) -> io.TextIOWrapper:
    """UTF-8, or UTF-16 where its mark says so, as in what Windows PowerShell writes."""
    mark = stream.read(2)
    stream.seek(0)
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="\n")


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ListError(path, f"Parquet needs pyarrow: {to_install('library')}") from None
    with _opened(path) as stream:
        try:
            table = pyarrow.parquet.ParquetFile(stream)
            names = table.schema_arrow.names
            column = _column(path, names)
            wanted = [column, *(n for n in ("size", "mtime") if n in names)]
            for batch in table.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    yield {**row, "path": row[column]}
        except pyarrow.ArrowException as error:
            raise ListError(path, f"not Parquet: {error}") from error


def _opened(path: Path) -> Any:
    if not is_address(path):
        return path.open("rb")
    system, inside = file_system(path)
    with absence_named(path):
        return system.open(inside, "rb")


def _column(path: Path, names: Any) -> str:
    for name in COLUMNS:
        if name in names:
            return name
    raise ListError(path, f"no column {' or '.join(COLUMNS)}")


def at_address(place: Path, extensions: frozenset[str] | None) -> Iterator[tuple[Path, Status]]:
    """The audio files below an address, or the one that it names.

    Args:
        place: such as ``s3://bucket/music``.
        extensions: in lower case, without the dot; None for all known ones.

    Raises:
        OSError: it cannot be listed.
    """
    scheme = address(place).partition("://")[0]
    if scheme in ("file", "local"):
        raise OSError(f"{address(place)}: give the path itself")
    wanted = AUDIO_EXTENSIONS | VIDEO_EXTENSIONS if extensions is None else extensions
    system, inside = file_system(place)
    try:
        with absence_named(place):
            found = system.find(inside, detail=True)
    except OSError:
        raise
    except Exception as error:  # each file system of fsspec has its own
        why = one_line(str(error)) or type(error).__name__
        raise OSError(f"{address(place)}: {why}") from error
    for name, about in sorted(found.items()):
        full = name if "://" in name else f"{scheme}://{name.lstrip('/')}"
        path = Path(full)
        hidden = any(part.startswith(".") for part in Path(name.removeprefix(inside)).parts)
        if path.suffix.lower()[1:] in wanted and not hidden:
            if address(path) != full:
                raise OSError(f"{one_line(full)}: a name with empty parts cannot be told apart")
            yield path, (int(about.get("size") or 0), _time(about))
    if not found:
        raise FileNotFoundError(f"{address(place)}: nothing there")


def _time(about: dict[str, Any]) -> float:
    """Modification time, under whatever name the file system gives it."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "Last-Modified"):
        value = about.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            try:
                return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
            except ValueError:
                continue
    return 0.0
