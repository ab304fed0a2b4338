"""Where each file format keeps the key, the comment and the grouping, read and changed.

A field is named as the format itself names it (``TKEY``, ``INITIALKEY``). `dump` gives a
field's values in full, as JSON can hold them; `restore` puts exactly these back.
"""

from __future__ import annotations

import os
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
    except Exception as error:
        # Damaged files get past mutagen's own checks now and then, to any error.
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


class VorbisTags(Tags):
    """Vorbis comments: FLAC, Ogg (Vorbis, Opus, Speex, FLAC). Names are in any case."""

    names: ClassVar = {
        "key": ("INITIALKEY", "KEY"),
        "comment": ("COMMENT",),
        "grouping": ("GROUPING",),
    }

    def dump(self, name: str) -> Any:
        """Pairs of the name as it is spelled and its value, in order."""
        if not self.present:
            return None
        same = [[k, v] for k, v in self.audio.tags if k.lower() == name.lower()]
        return same or None

    def restore(self, name: str, dumped: Any) -> None:
        """Make a field what `dump` said."""
        self._make()
        if name in self.audio.tags:
            del self.audio.tags[name]
        self.audio.tags.extend((k, v) for k, v in dumped or ())

    def delete_if_empty(self) -> None:
        """Nothing: these formats demand the block, and it names the encoder."""


class MP4Tags(Tags):
    """MP4 (m4a, m4b, mp4): the key is a freeform atom, which others may spell otherwise."""

    freeform = "----:com.apple.iTunes:"
    names: ClassVar = {
        "key": (freeform + "initialkey",),
        "comment": ("\xa9cmt",),
        "grouping": ("\xa9grp",),
    }

    def fields(self, role: str) -> list[str]:
        """As `Tags.fields`; freeform names are found in any case."""
        if role != "key" or not self.present:
            return super().fields(role)
        wanted = {self.freeform.lower() + name for name in ("initialkey", "key")}
        found = [name for name in self.audio.tags if name.lower() in wanted]
        found.sort(key=lambda name: not name.lower().endswith("initialkey"))
        has_standard = any(name.lower().endswith("initialkey") for name in found)
        return found if has_standard else [self.names["key"][0], *found]

    def texts(self, name: str) -> list[str]:
        """The texts of a field; freeform ones are bytes in UTF-8."""
        if not self.present or name not in self.audio.tags:
            return []
        values = self.audio.tags[name]
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]

    def set(self, name: str, text: str) -> None:
        """Replace the first value of a field, which is made when absent."""
        self._make()
        if not name.startswith("----"):
            super().set(name, text)
            return
        from mutagen.mp4 import AtomDataType, MP4FreeForm

        value = MP4FreeForm(text.encode(), dataformat=AtomDataType.UTF8)  # type: ignore[no-untyped-call]
        self.audio.tags[name] = [value, *self.audio.tags.get(name, [])[1:]]

    def dump(self, name: str) -> Any:
        """Texts; of freeform values bytes in hexadecimal, data type and version."""
        if not self.present or name not in self.audio.tags:
            return None
        if not name.startswith("----"):
            return list(self.audio.tags[name])
        return [[v.hex(), int(v.dataformat), int(v.version)] for v in self.audio.tags[name]]

    def restore(self, name: str, dumped: Any) -> None:
        """Make a field what `dump` said."""
        from mutagen.mp4 import MP4FreeForm

        if dumped is not None and name.startswith("----"):
            dumped = [MP4FreeForm(bytes.fromhex(h), kind, version) for h, kind, version in dumped]  # type: ignore[no-untyped-call]
        super().restore(name, dumped)


class ASFTags(Tags):
    """ASF (wma, wmv)."""

    names: ClassVar = {
        "key": ("WM/InitialKey",),
        "comment": ("Description",),
        "grouping": ("WM/ContentGroupDescription",),
    }


class APETags(Tags):
    """APEv2: WavPack, Musepack, Monkey's Audio, OptimFROG."""

    names: ClassVar = {
        "key": ("INITIALKEY", "KEY"),
        "comment": ("Comment",),
        "grouping": ("Grouping",),
    }


def open_tags(path: str | os.PathLike[str]) -> Tags:
    """The tags of a file.

    Raises:
        UnsupportedError: no format known here.
        TagError: the file is missing, may not be read, or its tags are damaged.
    """
    import mutagen
    from mutagen.apev2 import APEv2File
    from mutagen.asf import ASF
    from mutagen.flac import FLAC
    from mutagen.id3 import ID3FileType
    from mutagen.mp4 import MP4
    from mutagen.ogg import OggFileType

    from stonekey.tags.id3 import with_id3

    path = Path(path)
    kinds = ((OggFileType, VorbisTags), (FLAC, VorbisTags), (MP4, MP4Tags), (ASF, ASFTags),
             (APEv2File, APETags))  # fmt: skip
    with told_as_tag_errors(path):
        with path.open("rb"):  # a missing or locked file, told by the system's own reason
            pass
        audio = mutagen.File(path)
        # A bare ID3 tag on an unknown kind of sound is not ours to move.
        if with_id3(audio) and type(audio) is not ID3FileType:
            from stonekey.tags.id3 import ID3Tags

            return ID3Tags(path, audio)
        for kind, tags in kinds:
            if isinstance(audio, kind) and hasattr(audio, "add_tags"):
                return tags(path, audio)
    raise UnsupportedError(path, "no format in which tags can be written")
