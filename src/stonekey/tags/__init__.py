"""Read, write and restore the key in the tags of audio files.

Importing this package is cheap: mutagen and PyAV load on first use.
"""

from __future__ import annotations

import os

from stonekey.keys import Key
from stonekey.tags.base import TagError, UnsupportedError, parsed
from stonekey.tags.formats import open_tags


def read_key(path: str | os.PathLike[str]) -> Key | str | None:
    """The key in a file's tags.

    Returns:
        The key, in any spelling that `Key.parse` reads (Camelot and Open Key too); the text of
        the field when it is not a key ("o", for off key); None when the file has no key or its
        format no field for one.

    Raises:
        TagError: the file is missing, cannot be read, or has damaged tags.
    """
    try:
        text = open_tags(path).text("key")
    except UnsupportedError:
        return None
    return None if text is None else parsed(text) or text


__all__ = ["TagError", "UnsupportedError", "read_key"]
