"""Read and change the fields of a file's tags; `stonekey.tags.formats` has the formats.

Fields have the names that their format gives them (``TKEY``, ``INITIALKEY``). `Tags.dump` returns
everything in a field as JSON values; `Tags.restore` puts exactly that back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from stonekey.audio.errors import AudioError
from stonekey.keys import NO_KEY, Key, non_key
from stonekey.tags.mixedinkey import unwrapped


class TagError(AudioError):
    """The tags of a file cannot be read or written; ``reason`` says why."""


class UnsupportedError(TagError):
    """stonekey cannot store a key in this kind of file."""


def parsed(text: str) -> Key | None:
    """The key in a field's text, Mixed In Key's own form too, or None when it is not a key."""
    try:
        return Key.parse(unwrapped(text))
    except ValueError:
        return None


_KEY_NAMES = frozenset({"initialkey", "key", "tkey"})
_PREFIX = re.compile(r"----:com\.apple\.itunes:|txxx:|geob:|ape:|wm/|\xa9")


def means_key(name: str) -> bool:
    """Whether programs keep a key in a field of this name: ``Initial Key``, ``TXXX:KEY``, ..."""
    plain = _PREFIX.sub("", name.lower(), count=1)
    return re.sub(r"[\s_-]", "", plain) in _KEY_NAMES


@contextmanager
def as_tag_errors(path: Path) -> Iterator[None]:
    """Turn errors of mutagen and the operating system into a `TagError` that names ``path``."""
    from mutagen import MutagenError

    try:
        yield
    except AudioError:
        raise
    except OSError as error:
        raise TagError(path, error.strerror or str(error)) from error
    except MutagenError as error:
        cause = error.__context__  # mutagen wraps the system's errors
        why = cause.strerror if isinstance(cause, OSError) else None
        raise TagError(path, why or f"its tags cannot be read: {error}") from error
    except Exception as error:  # some damaged files get past mutagen's own checks, to any error
        raise TagError(path, f"its tags cannot be read: {type(error).__name__}: {error}") from error


def texts_of(values: Any) -> list[str]:
    """The values of a field as texts; [] when they are binary (in APEv2 tags)."""
    return [str(value) for value in values] if isinstance(values, MutableSequence) else []


class Tags:
    """The fields of one file, in a format where each name has one or more text values.

    A role (``key``, ``comment``, ``grouping``) is stored under a name that depends on the format.
    """

    # Role -> its names, the standard one first. Of keys the others are found by `means_key`.
    names: ClassVar[dict[str, tuple[str, ...]]]
    ignores_case: ClassVar[bool] = False  # whether names differing in case are one field

    def __init__(self, path: Path, audio: Any) -> None:
        self.path = path
        self.audio = audio

    @property
    def present(self) -> bool:
        """Whether the file has tags of this format at all."""
        return self.audio.tags is not None

    def fields(self, role: str) -> list[str]:
        """The names that ``role`` is stored under: always the standard one, then any others."""
        standard, *others = self.names[role]
        if role != "key":
            return [standard, *(name for name in others if self.texts(name))]
        found = [name for name in self.present_names() if means_key(name)]
        same = [name for name in found if name.lower() == standard.lower()]
        if standard not in same and same and not self.ignores_case:
            standard = same[0]  # as the file spells it
        also = [name for name in found if name != standard]
        if self.ignores_case:
            also = [name for name in also if name not in same]
        return [standard, *sorted(also, key=lambda name: ("initial" not in name.lower(), name))]

    def text(self, role: str) -> str | None:
        """The first non-blank text of ``role``, or None; of key fields, the first that is a key."""
        standard, *others = self.fields(role)
        if role == "key":
            others = [name for name in others if self.holds_key(name)]
        texts = [unwrapped(t).strip() for n in (standard, *others) for t in self.texts(n)]
        texts = [text for text in texts if text]
        if role == "key":
            texts.sort(key=lambda text: parsed(text) is None)
        return texts[0] if texts else None

    def holds_key(self, name: str) -> bool:
        """Whether the text of a field, which can be anything, is a key or says "no key"."""
        texts = map(unwrapped, self.texts(name))
        return any(parsed(text) or non_key(text) == NO_KEY for text in texts)

    def present_names(self) -> list[str]:
        """The names of the fields that the file has."""
        return list(self.audio.tags.keys()) if self.present else []

    def texts(self, name: str) -> list[str]:
        """The texts of a field; [] when it is absent."""
        if not self.present or name not in self.audio.tags:
            return []
        return texts_of(self.audio.tags[name])

    def set(self, name: str, text: str) -> None:
        """Set the first value of a field (for a key, replace all values), or add the field."""
        self._make()
        self.audio.tags[name] = self._values(name, text)

    def differs(self, name: str, text: str) -> bool:
        """Whether `set` would change the field."""
        return self.texts(name) != self._values(name, text)

    def _values(self, name: str, text: str) -> list[str]:
        """The values after `set`: a further key beside the new one would contradict it."""
        return [text] if means_key(name) else [text, *self.texts(name)[1:]]

    def dump(self, name: str) -> Any:
        """The values of a field as JSON; None when it is absent."""
        return self.texts(name) or None

    def restore(self, name: str, dumped: Any) -> None:
        """Restore a field to what `dump` returned."""
        self._make()
        if dumped is not None:
            self.audio.tags[name] = dumped
        elif name in self.audio.tags:
            del self.audio.tags[name]

    def save(self) -> None:
        """Write the tags into the file."""
        self.audio.save(self.path)

    def delete_if_empty(self) -> None:
        """Remove the tags from the file if they are empty."""
        if self.present and not len(self.audio.tags):
            self.audio.delete(self.path)

    def _make(self) -> None:
        if not self.present:
            self.audio.add_tags()
