"""The page that finds keys in the browser, as files for a server or a web host.

Built from ``page/`` by ``python page/build.py``. It needs no other file and no network. The
runtime lies here compressed, since it is most of the package's size.
"""

from __future__ import annotations

import lzma
import os
from pathlib import Path

from stonekey.files import replacing
from stonekey.model.registry import DEFAULT_MODEL, find_model

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
_FILES = Path(__file__).parent / "files"
_PACKED = ".xz"
_MODEL = f"{DEFAULT_MODEL}.onnx"


class ForeignFilesError(OSError):
    """A folder holds files that are not the page's."""


def names() -> tuple[str, ...]:
    """Names of the page's files, none in a folder; ``index.html`` is the page itself."""
    built = (path.name.removesuffix(_PACKED) for path in _FILES.iterdir())
    return tuple(sorted([*built, _MODEL]))


def media_type(name: str) -> str:
    """The value of Content-Type for a file of the page."""
    return MEDIA_TYPES[Path(name).suffix]


def read(name: str) -> bytes:
    """The contents of a file of the page.

    Raises:
        KeyError: the page has no such file.
    """
    if name not in names():
        raise KeyError(name)
    if name == _MODEL:
        return find_model(DEFAULT_MODEL).read_bytes()
    packed = _FILES / (name + _PACKED)
    if packed.exists():
        return lzma.decompress(packed.read_bytes())
    return (_FILES / name).read_bytes()


def write(folder: str | os.PathLike[str], force: bool = False) -> list[Path]:
    """Write the page into a folder, which is created.

    Args:
        folder: empty, or with an older page in it; other files stay.
        force: write even if the folder holds files that are not the page's.

    Returns:
        The files written, about 15 MB in all.

    Raises:
        ForeignFilesError: without ``force``, the folder holds other files; nothing is written.
        OSError: a file cannot be written.
    """
    target = Path(folder)
    if target.is_dir() and not force:
        foreign = sorted(path.name for path in target.iterdir() if not _is_ours(path))
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise ForeignFilesError(f"{target} holds {foreign[0]}{more}, not of this page")
    written = []
    for name in names():
        data = read(name)
        with replacing(target / name) as temporary:
            temporary.write_bytes(data)
        written.append(target / name)
    return written


def _is_ours(path: Path) -> bool:
    """Whether it is a file of some version of the page: ``index.html`` says what it is."""
    if path.name not in names() or not path.is_file():
        return False
    return path.name != "index.html" or b'name="generator" content="stonekey' in path.read_bytes()
