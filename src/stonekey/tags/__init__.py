"""Keys in the tags of audio files: read, written, and put back as they were.

Importing this loads nothing heavy; mutagen and PyAV are loaded on first use.
"""

from __future__ import annotations

import os

from stonekey.keys import Key
from stonekey.tags.base import TagError, UnsupportedError
from stonekey.tags.formats import open_tags


def read_key(path: str | os.PathLike[str]) -> Key | str | None:
    """The key in a file's tags.

    Returns:
        The key, in whatever spelling `Key.parse` understands (Camelot and Open Key too); the
        text itself when it is not understood ("o", for off key); None when there is none,
        or in a format without a field for it.

    Raises:
        TagError: the file is missing, may not be read, or its tags are damaged.
    """
    try:
        return understood(open_tags(path).text("key"))
    except UnsupportedError:
        return None


def understood(text: str | None) -> Key | str | None:
    """The key that a field says, or its text when that is none."""
    if text is None:
        return None
    try:
        return Key.parse(text)
    except ValueError:
        return text


__all__ = ["TagError", "UnsupportedError", "read_key", "understood"]
