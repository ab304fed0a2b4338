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
        "key": ("INITIALKEY",),
        "comment": ("COMMENT",),
        "grouping": ("GROUPING",),
    }
    ignores_case = True

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

    def texts(self, name: str) -> list[str]:
        """The texts of a field; freeform values are UTF-8 bytes."""
        if not self.present or name not in self.audio.tags:
            return []
        values = self.audio.tags[name]
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]

    def set(self, name: str, text: str) -> None:
        """Set the first value of a field (for a key, replace all values), or add the field."""
        self._make()
        if not name.startswith("----"):
            super().set(name, text)
            return
        from mutagen.mp4 import AtomDataType, MP4FreeForm

        value = MP4FreeForm(text.encode(), dataformat=AtomDataType.UTF8)  # type: ignore[no-untyped-call]
        self.audio.tags[name] = [value]

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
    """APEv2: WavPack, Musepack, Monkey's Audio, OptimFROG. Names ignore case."""

    names: ClassVar = {
        "key": ("INITIALKEY",),
        "comment": ("Comment",),
        "grouping": ("Grouping",),
    }
    ignores_case = True


def _kinds(path: Path) -> list[Any] | None:
    """Mutagen's classes for a file, judging by its contents; None if those do not tell."""
    from mutagen import (  # fmt: skip
        aiff,
        asf,
        dsf,
        flac,
        mp3,
        mp4,
        oggflac,
        oggopus,
        oggspeex,
        oggtheora,
        oggvorbis,
        trueaudio,
        wave,
        wavpack,
    )

    with path.open("rb") as file:
        head = file.read(16)
        if head.startswith(b"ID3") and len(head) >= 10:
            size = sum(byte << 7 * i for i, byte in enumerate(reversed(head[6:10])))
            file.seek(10 + size + (10 if head[5] & 16 else 0))
            head = file.read(16)
            if head[:4] not in (b"fLaC", b"TTA1") and not _is_mpeg(head):
                return None
    marks: dict[bytes, list[Any]] = {
        b"fLaC": [flac.FLAC],
        b"OggS": [oggvorbis.OggVorbis, oggopus.OggOpus, oggspeex.OggSpeex, oggflac.OggFLAC,
                  oggtheora.OggTheora],
        b"FORM": [aiff.AIFF],
        b"RIFF": [wave.WAVE],
        b"\x30\x26\xb2\x75": [asf.ASF],
        b"wvpk": [wavpack.WavPack],
        b"TTA1": [trueaudio.TrueAudio],
        b"DSD ": [dsf.DSF],
    }  # fmt: skip
    for mark, kinds in marks.items():
        if head.startswith(mark):
            return kinds
    if head[4:8] == b"ftyp":
        return [mp4.MP4]
    return [mp3.MP3] if _is_mpeg(head) else None


def _is_mpeg(head: bytes) -> bool:
    """Whether the bytes start with the header of an MPEG audio frame of any layer."""
    return len(head) > 2 and head[0] == 255 and head[1] >> 5 == 7 and head[1] & 6 != 0


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
        audio = mutagen.File(path, options=_kinds(path))
        # Leave a bare ID3 tag in front of an unknown kind of sound alone.
        if has_id3(audio) and type(audio) is not ID3FileType:
            return ID3Tags(path, audio)
        for kind, tags in kinds:
            if isinstance(audio, kind) and hasattr(audio, "add_tags"):
                return tags(path, audio)
    raise UnsupportedError(path, "cannot write tags in this format")
