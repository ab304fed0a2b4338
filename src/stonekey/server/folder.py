"""Files that requests may name: those in one folder, and no others."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class OutsideError(LookupError):
    """No file of the folder has that name."""


def file_within(folder: Path, name: str) -> Path:
    """The real path of a regular file in a folder.

    Symbolic links are followed, but not out of the folder.

    Args:
        folder: the folder.
        name: path from there.

    Raises:
        OutsideError: there is no such file in it. What is outside is not told from what is missing.
    """
    try:
        real = os.path.realpath(folder / name, strict=True)
        inside = Path(real).is_relative_to(os.path.realpath(folder))
        if inside and not Path(name).is_absolute() and stat.S_ISREG(os.stat(real).st_mode):
            return Path(real)
    except (OSError, ValueError):  # missing, too long, a NUL in it, links in a circle
        pass
    raise OutsideError(f"no such file in the folder: {name}")
