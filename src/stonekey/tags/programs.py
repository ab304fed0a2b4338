"""What DJ programs read: how a key is spelled for each, and in which fields beside the key field.

The key field itself is the same for all of them, the standard one of `stonekey.tags.formats`;
docs/tags.md has the sources.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """What to write for a program.

    Attributes:
        key_notation: how to spell the key in the key field (`stonekey.keys.NOTATIONS`).
        also: other fields to put the key in (`stonekey.tags.tagging.ALSO`).
        notation: how to spell it there.
    """

    key_notation: str = "short"
    also: tuple[str, ...] = ()
    notation: str = "short"


PROGRAMS = {
    "rekordbox": Program(),
    "serato": Program(),
    "traktor": Program("openkey", notation="openkey"),
    "mixxx": Program(),
    "mixedinkey": Program("camelot", notation="camelot"),
    "itunes": Program(also=("comment",), notation="camelot"),  # it shows no key field
}
