"""The files in the body of a request, written to a folder as they come."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from anyio import fail_after
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from stonekey.server.errors import RefusedError
from stonekey.server.settings import ServerSettings

# What a raw body is called if the request does not say.
UNNAMED = "upload"
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_BUFFER = 1 << 18


@dataclass(frozen=True)
class Upload:
    """A file on the disk of the server, and its name on the client's."""

    path: Path
    name: str


async def receive_uploads(request: Request, folder: Path, settings: ServerSettings) -> list[Upload]:
    """The files of a request in their order: one raw body, or the parts of multipart/form-data.

    Args:
        request: its body has not been read.
        folder: where to write them.
        settings: the limits.

    Raises:
        RefusedError: the body is too large or too slow, holds no file or cannot be read.
        ClientDisconnect: the client is gone.
    """
    kind = request.headers.get("content-type", "")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(415, "the body must not be compressed")
    with ExitStack() as stack:
        files = _Files(folder, settings.max_files, stack)
        if kind.partition(";")[0].strip().lower() == "multipart/form-data":
            parts = _Parts(kind, files)
            await read_body(request, settings, settings.max_bytes, parts.write)
            parts.finish()
        else:
            files.begin(request.query_params.get("name") or UNNAMED)
            await read_body(request, settings, settings.max_bytes, files.write)
    return files.uploads


async def read_body(
    request: Request, settings: ServerSettings, most: int, take: Callable[[bytes], object]
) -> None:
    """Give each block of a body of at most so many bytes to ``take``.

    Raises:
        RefusedError: the body is too large or too slow.
        ClientDisconnect: the client is gone.
    """
    text = request.headers.get("content-length", "0")
    if text.isdecimal() and int(text) > most:  # before it is sent
        raise _too_large(most)
    size = 0
    more = True
    try:
        with fail_after(settings.upload_seconds):
            while more:
                with fail_after(settings.stall_seconds):
                    message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                block: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(block)
                if size > most:
                    raise _too_large(most)
                take(block)
    except TimeoutError:
        raise RefusedError(408, "the body took too long to arrive") from None


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {most / 1e6:g} MB, the limit of this server")


class _Files:
    """Writes one file after another."""

    def __init__(self, folder: Path, most: int, stack: ExitStack) -> None:
        self.uploads: list[Upload] = []
        self._folder = folder
        self._most = most
        self._stack = stack
        self._file: BinaryIO | None = None

    def begin(self, name: str) -> None:
        if len(self.uploads) == self._most:
            raise RefusedError(413, f"more than {self._most} files, the limit of this server")
        suffix = Path(name).suffix
        path = self._folder / f"{len(self.uploads)}{suffix if _SUFFIX.fullmatch(suffix) else ''}"
        self.end()
        self._file = self._stack.enter_context(path.open("xb", buffering=_BUFFER))
        self.uploads.append(Upload(path, name))

    def write(self, block: bytes | memoryview) -> None:
        if self._file is not None:
            self._file.write(block)

    def end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Parts:
    """Reads multipart/form-data."""

    def __init__(self, kind: str, files: _Files) -> None:
        self._files = files
        self._headers: dict[bytes, bytes] = {}
        self._field = b""
        self._value = b""
        self._complete = False
        boundary = parse_options_header(kind)[1].get(b"boundary")
        if not boundary:
            raise RefusedError(400, "multipart/form-data without a boundary")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._take_field,
                    "on_header_value": self._take_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin,
                    "on_part_data": self._data,
                    "on_part_end": files.end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise RefusedError(400, f"multipart/form-data: {error}") from error

    def write(self, block: bytes) -> None:
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise RefusedError(400, f"multipart/form-data: {error}") from error

    def finish(self) -> None:
        if not self._complete:
            raise RefusedError(400, "multipart/form-data that is cut off")
        if not self._files.uploads:
            raise RefusedError(400, "there is no file in the form")

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"filename")
        if name is None:
            field = options.get(b"name", b"").decode("utf-8", "replace")
            raise RefusedError(400, f"the field {field!r} is no file; options go into the query")
        if name:  # a form's field of which nothing was chosen has ""
            # latin-1 holds the bytes as they came, which are UTF-8.
            self._files.begin(name.decode("utf-8", "replace"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._files.write(memoryview(data)[start:end])

    def _end(self) -> None:
        self._complete = True
