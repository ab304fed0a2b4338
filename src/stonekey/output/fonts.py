"""Text of any script in pictures: from a font that has it, or in characters that the fonts have."""

from __future__ import annotations

import functools
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNKNOWN = "?"


def make_legible(figure: Figure) -> None:
    """Give each text of a figure fonts that have its characters; replace those that none has."""
    from matplotlib.text import Text

    for axes in figure.axes:  # only then do ticks have their texts
        axes.get_xticklabels()
        axes.get_yticklabels()
    for text in figure.findobj(Text):
        words = text.get_text()
        if not words.isascii():
            text.set_fontfamily(_families(words))
            text.set_text(written(words))


def written(text: str) -> str:
    """The text in characters that installed fonts have: as it is, plainer, or question marks."""
    if text.isascii():
        return text
    known = _characters(_default()).union(*map(_characters, _others(text)))

    def shown(character: str) -> str:
        if character == "\n" or ord(character) in known:
            return character
        plain = [c for c in unicodedata.normalize("NFKD", character) if ord(c) in known]
        marks = unicodedata.category(character) in ("Mn", "Me", "Cf")
        return "".join(plain) or ("" if marks else _UNKNOWN)

    return "".join(map(shown, text))


def _families(text: str) -> list[str]:
    from matplotlib import rcParams

    return [*rcParams["font.family"], *(_installed()[path] for path in _others(text))]


def _default() -> str:
    from matplotlib.font_manager import FontProperties, findfont

    return findfont(FontProperties())


def _others(text: str) -> list[str]:
    """Files of fonts that fill the gaps of the default font, most useful first."""
    missing = {ord(c) for c in text if c != "\n"} - _characters(_default())
    chosen: list[str] = []
    while missing:
        best = max(_installed(), key=lambda path: len(missing & _characters(path)))
        covered = missing & _characters(best)
        if not covered:
            break
        chosen.append(best)
        missing -= covered
    return chosen


def _installed() -> dict[str, str]:
    """File of an upright font of each family -> the family."""
    from matplotlib.font_manager import fontManager

    files = {
        entry.name: entry.fname
        for entry in sorted(fontManager.ttflist, key=lambda entry: entry.fname)
        if entry.style == "normal" and "lastresort" not in entry.name.lower().replace(" ", "")
    }
    return {file: family for family, file in files.items()}


@functools.cache
def _characters(path: str) -> frozenset[int]:
    """The code points of a font; empty if it cannot be drawn at any size."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
