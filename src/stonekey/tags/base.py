"""The fields of a file's tags, read and changed; the formats are in `stonekey.tags.formats`.

A field is named as the format itself names it (``TKEY``, ``INITIALKEY``). `Tags.dump` gives a
field's values in full, as JSON can hold them; `Tags.restore` puts exactly these back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from stonekey.audio.errors import AudioError

ROLES = ("key", "comment", "grouping")


class TagError(AudioError):
    """The tags of a file cannot be read or written; ``reason`` says why."""


class UnsupportedError(TagError):
    """A kind of file that holds no key, or not in a way known here."""


@contextmanager
def told_as_tag_errors(path: Path) -> Iterator[None]:
    """Turn what mutagen and the system raise into a `TagError` that names ``path``."""
    from mutagen import MutagenError

    try:
        yield
    except AudioError:
        raise
    except OSError as error:
        raise TagError(path, error.strerror or str(error)) from error
    except MutagenError as error:
        cause = error.__context__  # mutagen wraps the errors of the system
        why = cause.strerror if isinstance(cause, OSError) else None
        raise TagError(path, why or f"its tags cannot be read: {error}") from error
    except (ValueError, KeyError, IndexError, OverflowError, EOFError) as error:
        # Damaged files get past mutagen's own checks now and then.
        raise TagError(path, f"its tags cannot be read: {type(error).__name__}: {error}") from error


class Tags:
    """The fields of one file, of a format in which names have one or more text values."""

    # For each role the names it goes by; the first is the standard one.
    names: ClassVar[dict[str, tuple[str, ...]]]

    def __init__(self, path: Path, audio: Any) -> None:
        self.path = path
        self.audio = audio

    @property
    def present(self) -> bool:
        """Whether the file has tags of this kind at all."""
        return self.audio.tags is not None

    def fields(self, role: str) -> list[str]:
        """The names under which ``role`` is stored; the standard one where there is none."""
        standard, *others = self.names[role]
        also = [name for name in others if self.texts(name)]
        return [standard, *also]

    def text(self, role: str) -> str | None:
        """The first text of ``role`` that is not blank, or None."""
        texts = (text for name in self.fields(role) for text in self.texts(name))
        return next((text.strip() for text in texts if text.strip()), None)

    def texts(self, name: str) -> list[str]:
        """The texts of a field, none when it is absent."""
        if not self.present or name not in self.audio.tags:
            return []
        return [str(value) for value in self.audio.tags[name]]

    def set(self, name: str, text: str) -> None:
        """Replace the first value of a field, which is made when absent."""
        self._make()
        self.audio.tags[name] = [text, *self.texts(name)[1:]]

    def dump(self, name: str) -> Any:
        """The values of a field as JSON can hold them, None when it is absent."""
        return self.texts(name) or None

    def restore(self, name: str, dumped: Any) -> None:
        """Make a field what `dump` said."""
        self._make()
        if dumped is not None:
            self.audio.tags[name] = dumped
        elif name in self.audio.tags:
            del self.audio.tags[name]

    def save(self) -> None:
        """Write the tags into the file."""
        self.audio.save(self.path)

    def delete_if_empty(self) -> None:
        """Take the tags out of the file when nothing is in them."""
        if self.present and not len(self.audio.tags):
            self.audio.delete(self.path)

    def _make(self) -> None:
        if not self.present:
            self.audio.add_tags()
