"""Where each file format keeps the key, the comment and the grouping."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from stonekey.tags.base import Tags, UnsupportedError, as_tag_errors
from stonekey.tags.id3 import ID3Tags, has_id3


class VorbisTags(Tags):
    """Vorbis comments: FLAC, Ogg (Vorbis, Opus, Speex, FLAC). Names ignore case."""

    names: ClassVar = {
        "key": ("INITIALKEY", "KEY"),
        "comment": ("COMMENT",),
        "grouping": ("GROUPING",),
    }

    def dump(self, name: str) -> Any:
        """Pairs of name, spelled as in the file, and value, in order."""
        if not self.present:
            return None
        same = [[k, v] for k, v in self.audio.tags if k.lower() == name.lower()]
        return same or None

    def restore(self, name: str, dumped: Any) -> None:
        """Restore a field to what `dump` returned."""
        self._make()
        if name in self.audio.tags:
            del self.audio.tags[name]
        self.audio.tags.extend((k, v) for k, v in dumped or ())

    def delete_if_empty(self) -> None:
        """Do nothing: these formats require the block, which also names the encoder."""


class MP4Tags(Tags):
    """MP4 (m4a, m4b, mp4): the key is a freeform atom, which some programs spell differently."""

    freeform = "----:com.apple.iTunes:"
    names: ClassVar = {
        "key": (freeform + "initialkey",),
        "comment": ("\xa9cmt",),
        "grouping": ("\xa9grp",),
    }

    def fields(self, role: str) -> list[str]:
        """As `Tags.fields`, but freeform names ignore case."""
        if role != "key" or not self.present:
            return super().fields(role)
        wanted = {self.freeform.lower() + name for name in ("initialkey", "key")}
        found = [name for name in self.audio.tags if name.lower() in wanted]
        found.sort(key=lambda name: not name.lower().endswith("initialkey"))
        has_standard = any(name.lower().endswith("initialkey") for name in found)
        return found if has_standard else [self.names["key"][0], *found]

    def texts(self, name: str) -> list[str]:
        """The texts of a field; freeform values are UTF-8 bytes."""
        if not self.present or name not in self.audio.tags:
            return []
        values = self.audio.tags[name]
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]

    def set(self, name: str, text: str) -> None:
        """Replace the first value of a field, or add the field."""
        self._make()
        if not name.startswith("----"):
            super().set(name, text)
            return
        from mutagen.mp4 import AtomDataType, MP4FreeForm

        value = MP4FreeForm(text.encode(), dataformat=AtomDataType.UTF8)  # type: ignore[no-untyped-call]
        self.audio.tags[name] = [value, *self.audio.tags.get(name, [])[1:]]

    def dump(self, name: str) -> Any:
        """Texts; for freeform values their bytes in hexadecimal, data type and version."""
        if not self.present or name not in self.audio.tags:
            return None
        if not name.startswith("----"):
            return list(self.audio.tags[name])
        return [[v.hex(), int(v.dataformat), int(v.version)] for v in self.audio.tags[name]]

    def restore(self, name: str, dumped: Any) -> None:
        """Restore a field to what `dump` returned."""
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
        UnsupportedError: stonekey cannot write tags in this format.
        TagError: the file is missing, cannot be read, or has damaged tags.
    """
    import mutagen
    from mutagen.apev2 import APEv2File
    from mutagen.asf import ASF
    from mutagen.flac import FLAC
    from mutagen.id3 import ID3FileType
    from mutagen.mp4 import MP4
    from mutagen.ogg import OggFileType

    path = Path(path)
    kinds = ((OggFileType, VorbisTags), (FLAC, VorbisTags), (MP4, MP4Tags), (ASF, ASFTags),
             (APEv2File, APETags))  # fmt: skip
    with as_tag_errors(path):
        with path.open("rb"):  # for the system's own reason if it is missing or locked
            pass
        audio = mutagen.File(path)
        # Leave a bare ID3 tag in front of an unknown kind of sound alone.
        if has_id3(audio) and type(audio) is not ID3FileType:
            return ID3Tags(path, audio)
        for kind, tags in kinds:
            if isinstance(audio, kind) and hasattr(audio, "add_tags"):
                return tags(path, audio)
    raise UnsupportedError(path, "cannot write tags in this format")
