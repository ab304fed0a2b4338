"""ID3 tags of MP3, AIFF, WAV, TTA and DSF files. A tag keeps its version, 2.3 or 2.4."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

from stonekey.tags.base import TagError, Tags, texts_of
from stonekey.tags.mixedinkey import unwrapped

_V1_SIZE = 128
_APE = "APE:"  # in front of the names of an APEv2 tag at the end of the same file


def has_id3(audio: Any) -> bool:
    """Whether mutagen keeps ID3 tags in this kind of file."""
    from mutagen.aiff import AIFF
    from mutagen.dsf import DSF
    from mutagen.id3 import ID3FileType
    from mutagen.wave import WAVE

    return isinstance(audio, (ID3FileType, AIFF, WAVE, DSF))


class ID3Tags(Tags):
    """ID3 frames. New tags are version 2.3, which every program reads.

    Other programs' keys are read, and follow, in TXXX frames, in Mixed In Key's object, and in an
    APEv2 tag at the end of an MP3 file.
    """

    names: ClassVar = {"key": ("TKEY",), "comment": ("COMM",), "grouping": ("TIT1", "GRP1")}

    def __init__(self, path: Path, audio: Any) -> None:
        from mutagen.apev2 import APENoHeaderError, APEv2
        from mutagen.id3 import ID3FileType

        super().__init__(path, audio)
        self._version = 3
        self._ape: Any = None
        self._ape_changed = False
        if audio.tags is None:
            self._use_tag_behind_chunks()
        elif audio.tags.version[:2] >= (2, 3):
            self._version = audio.tags.version[1]
            # Read again without mutagen's default translation to 2.4 frames.
            audio.load(path, translate=False)
        if isinstance(audio, ID3FileType):
            with suppress(APENoHeaderError):
                self._ape = APEv2(path)  # type: ignore[no-untyped-call]

    def present_names(self) -> list[str]:
        """The names of all frames with a text that may be a key, and of the APEv2 tag."""
        frames = self.audio.tags if self.present else ()
        found = [name for name in frames if name.startswith(("TKEY", "TXXX:", "GEOB:"))]
        return [*found, *(_APE + name for name in self._ape or ())]

    def texts(self, name: str) -> list[str]:
        """The texts of a frame."""
        if name.startswith(_APE):
            return texts_of((self._ape or {}).get(name[len(_APE) :]))
        frame = self._frame(name)
        if frame is None:
            return []
        if frame.FrameID == "GEOB":  # anything may be in one: only Mixed In Key's counts
            text = frame.data.decode("latin-1")
            return [] if unwrapped(text) == text else [text]
        return [str(text) for text in frame.text]

    def set(self, name: str, text: str) -> None:
        """Set the first text of a frame (for a key, replace all texts), or add the frame."""
        if name.startswith(_APE):
            self._ape[name[len(_APE) :]] = self._values(name, text)
            self._ape_changed = True
            return
        self._make()
        frame = self._frame(name)
        if frame is None:
            self._add(name, 0 if text.isascii() else 1, "XXX", [text])
        elif frame.FrameID == "GEOB":
            frame.data = text.encode("latin-1")
        else:
            frame.text = self._values(name, text)
            if not text.isascii() and frame.encoding == 0:
                frame.encoding = 1

    def dump(self, name: str) -> Any:
        """Encoding, language and texts, or an object's bytes in hexadecimal; None when absent."""
        if name.startswith(_APE):
            return self.texts(name) or None
        frame = self._frame(name)
        if frame is None:
            return None
        if frame.FrameID == "GEOB":
            return [int(frame.encoding), frame.mime, frame.filename, frame.data.hex()]
        texts = [str(text) for text in frame.text]
        return [int(frame.encoding), getattr(frame, "lang", ""), texts]

    def restore(self, name: str, dumped: Any) -> None:
        """Restore a frame to what `dump` returned."""
        if name.startswith(_APE):
            if self._ape is None:
                raise TagError(self.path, "its APE tag is gone")
            self._ape[name[len(_APE) :]] = dumped
            self._ape_changed = True
            return
        self._make()
        frame = self._frame(name)
        if frame is not None:
            del self.audio.tags[frame.HashKey]
        if dumped is not None:
            self._add(name, *dumped)

    def save(self) -> None:
        """Write the tag, but leave an ID3v1 tag at the end of the file as it is."""
        old = _read_v1(self.path)
        if self._ape_changed:
            _save_ape(self.path, self._ape, old)
        # No v1 argument: DSF and WAV files have no ID3v1, and their save() does not take one.
        self.audio.tags.save(self.path, v2_version=self._version, v23_sep=None)
        if old is not None and _read_v1(self.path) is not None:
            with self.path.open("r+b") as file:
                file.seek(-_V1_SIZE, 2)
                file.write(old)

    def delete_if_empty(self) -> None:
        """Remove the tag from the file if it has no frames."""
        if not self.present or self.audio.tags.values() or self.audio.tags.unknown_frames:
            return
        from mutagen.id3 import ID3

        if type(self.audio.tags) is ID3:
            self.audio.tags.delete(self.path, delete_v1=False)
        else:
            self.audio.tags.delete(self.path)

    def _frame(self, name: str) -> Any:
        """The frame; for comments the one without a description, in any language."""
        if not self.present:
            return None
        if ":" in name:
            return self.audio.tags.get(name)
        frames = self.audio.tags.getall(name)
        return next((frame for frame in frames if not getattr(frame, "desc", "")), None)

    def _add(self, name: str, encoding: int, *values: Any) -> None:
        from mutagen.id3 import Frames

        kind, _, desc = name.partition(":")
        if kind == "GEOB":
            mime, filename, data = values
            more = {"mime": mime, "filename": filename, "desc": desc, "data": bytes.fromhex(data)}
        else:
            lang, texts = values
            more = {"text": texts}
            if kind in ("COMM", "TXXX"):
                more["desc"] = desc
            if kind == "COMM":
                more["lang"] = lang
        self.audio.tags.add(Frames[kind](encoding=encoding, **more))

    def _use_tag_behind_chunks(self) -> None:
        """Use the ID3 chunk that some programs write behind the end of an AIFF or WAV file."""
        from mutagen.id3 import ID3

        class ChunkID3(ID3):
            def save(self, path: Path, **options: Any) -> None:
                stream = BytesIO()
                super().save(stream, padding=lambda _: 0, **options)
                data = stream.getvalue()
                with open(path, "r+b") as file:
                    start, end, order = _chunk_behind(file) or (0, 0, None)
                    if order is None or file.seek(0, 2) > end + 1:
                        raise TagError(path, "has more behind its ID3 tag")
                    file.seek(start - 4)
                    file.truncate()
                    file.write(len(data).to_bytes(4, order) + data + b"\0" * (len(data) % 2))

            def delete(self, path: Path, **options: Any) -> None:
                raise TagError(path, "its ID3 tag cannot be removed")

        with self.path.open("rb") as file:
            if found := _chunk_behind(file):
                start, end, _ = found
                file.seek(start)
                data = file.read(end - start)
                tags = ChunkID3(BytesIO(data))  # type: ignore[no-untyped-call]
                if tags.version[:2] >= (2, 3):
                    self._version = tags.version[1]
                    tags = ChunkID3(BytesIO(data), translate=False)  # type: ignore[no-untyped-call]
                self.audio.tags = tags


def _chunk_behind(file: Any) -> tuple[int, int, Any] | None:
    """Start and end of the data of an ID3 chunk right behind a file's outer chunk.

    The byte order of its size comes third.
    """
    head = file.read(12)
    order: Any = {b"FORM": "big", b"RIFF": "little"}.get(head[:4])
    if order is None:
        return None
    inside = int.from_bytes(head[4:8], order)
    for start in {8 + inside, 8 + inside + inside % 2}:
        file.seek(start)
        chunk = file.read(11)
        if chunk[:4].upper() == b"ID3 " and chunk[8:] == b"ID3":
            size = int.from_bytes(chunk[4:8], order)
            return start + 8, min(start + 8 + size, file.seek(0, 2)), order
    return None


def _save_ape(path: Path, ape: Any, v1: bytes | None) -> None:
    """Write an APEv2 tag at the end of the file, and the ID3v1 tag that mutagen drops behind it."""
    with path.open("rb") as file:
        end = file.seek(0, 2) - (0 if v1 is None else _V1_SIZE)
        file.seek(max(end - 32, 0))
        if not file.read(8) == b"APETAGEX":
            raise TagError(path, "has an APE tag that is not at its end")
    ape.save(path)
    if v1 is not None:
        with path.open("ab") as file:
            file.write(v1)


def _read_v1(path: Path) -> bytes | None:
    with path.open("rb") as file:
        if file.seek(0, 2) < _V1_SIZE:
            return None
        file.seek(-_V1_SIZE, 2)
        tail = file.read()
    return tail if tail.startswith(b"TAG") else None
