"""The folder of uploads, which leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stonekey.files import locked

_PREFIX = "stonekey-uploads-"


@contextmanager
def uploads_folder() -> Iterator[Path]:
    """A new folder among the system's temporary ones, deleted at the end.

    Those that killed servers of this user left there are deleted at the start.
    """
    place = Path(tempfile.gettempdir())
    _sweep(place)
    folder = place / f"{_PREFIX}{uuid.uuid4().hex}"
    with locked(
        _lock(folder)
    ):  # before the folder is there, so that nobody takes it for a left one
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _sweep(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*[!k]"):  # a lock ends with k, a folder in a hex digit
        try:
            if not hasattr(os, "getuid") or left.lstat().st_uid == os.getuid():
                with locked(_lock(left)):  # fails while its server runs
                    shutil.rmtree(left)
        except OSError:
            continue
