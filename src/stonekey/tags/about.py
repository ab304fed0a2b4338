"""What the tags of a file say besides the key: artist, title and tempo, for lists of tracks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

# Names in ID3, MP4, Vorbis comments and APEv2 (which ignore case), and ASF.
_ARTIST = ("TPE1", "\xa9ART", "artist", "Author")
_TITLE = ("TIT2", "\xa9nam", "title", "Title")
_TEMPO = ("TBPM", "tmpo", "bpm", "WM/BeatsPerMinute")


@dataclass(frozen=True)
class About:
    """Artist, title, and tempo in beats per minute; None for what is not in the tags."""

    artist: str | None = None
    title: str | None = None
    tempo: float | None = None


def read_about(path: str | os.PathLike[str]) -> About:
    """Read a file's artist, title and tempo; nothing when it has no tags or cannot be read."""
    import mutagen

    try:
        tags = getattr(mutagen.File(path), "tags", None)
        return About(_text(tags, _ARTIST), _text(tags, _TITLE), _number(_text(tags, _TEMPO)))
    except Exception:  # some damaged files get past mutagen's own checks, to any error
        return About()


def _text(tags: Any, names: tuple[str, ...]) -> str | None:
    for name in names if tags is not None else ():
        try:
            value = tags[name]
        except (KeyError, ValueError):  # ValueError: Vorbis comments know no such name
            continue
        values = getattr(value, "text", value)  # an ID3 frame has its values there
        if text := " ".join(str(values[0]).split()) if values else "":
            return text
    return None


def _number(text: str | None) -> float | None:
    try:
        number = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return number if 0 < number < 1000 else None
