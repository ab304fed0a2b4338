"""Read and change the fields of a file's tags; `stonekey.tags.formats` has the formats.

Fields have the names that their format gives them (``TKEY``, ``INITIALKEY``). `Tags.dump` returns
everything in a field as JSON values; `Tags.restore` puts exactly that back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from stonekey.audio.errors import AudioError
from stonekey.keys import Key


class TagError(AudioError):
    """The tags of a file cannot be read or written; ``reason`` says why."""


class UnsupportedError(TagError):
    """stonekey cannot store a key in this kind of file."""


def parsed(text: str) -> Key | None:
    """The key in a field's text, or None when it is not a key."""
    try:
        return Key.parse(text)
    except ValueError:
        return None


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


class Tags:
    """The fields of one file, in a format where each name has one or more text values.

    A role (``key``, ``comment``, ``grouping``) is stored under a name that depends on the format.
    """

    # Role -> its names, the standard one first.
    names: ClassVar[dict[str, tuple[str, ...]]]

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
        also = [name for name in others if self.texts(name)]
        return [standard, *also]

    def text(self, role: str) -> str | None:
        """The first non-blank text of ``role``, or None."""
        texts = (text for name in self.fields(role) for text in self.texts(name))
        return next((text.strip() for text in texts if text.strip()), None)

    def texts(self, name: str) -> list[str]:
        """The texts of a field; [] when it is absent."""
        if not self.present or name not in self.audio.tags:
            return []
        return [str(value) for value in self.audio.tags[name]]

    def set(self, name: str, text: str) -> None:
        """Replace the first value of a field, or add the field."""
        self._make()
        self.audio.tags[name] = [text, *self.texts(name)[1:]]

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
