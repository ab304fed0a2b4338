"""ID3 tags of MP3, AIFF, WAV, TTA and DSF files. A tag keeps its version, 2.3 or 2.4."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from stonekey.tags.base import Tags

_V1_SIZE = 128


def has_id3(audio: Any) -> bool:
    """Whether mutagen keeps ID3 tags in this kind of file."""
    from mutagen.aiff import AIFF
    from mutagen.dsf import DSF
    from mutagen.id3 import ID3FileType
    from mutagen.wave import WAVE

    return isinstance(audio, (ID3FileType, AIFF, WAVE, DSF))


class ID3Tags(Tags):
    """ID3 frames. New tags are version 2.3, which every program reads."""

    names: ClassVar = {"key": ("TKEY",), "comment": ("COMM",), "grouping": ("TIT1", "GRP1")}

    def __init__(self, path: Path, audio: Any) -> None:
        super().__init__(path, audio)
        self._version = 3
        if audio.tags is not None and audio.tags.version[:2] >= (2, 3):
            self._version = audio.tags.version[1]
            # Read again without mutagen's default translation to 2.4 frames.
            audio.load(path, translate=False)

    def texts(self, name: str) -> list[str]:
        """The texts of a frame."""
        frame = self._frame(name)
        return [] if frame is None else [str(text) for text in frame.text]

    def set(self, name: str, text: str) -> None:
        """Replace the first text of a frame, or add the frame."""
        self._make()
        frame = self._frame(name)
        if frame is not None:
            frame.text = [text, *frame.text[1:]]
            if not text.isascii() and frame.encoding == 0:
                frame.encoding = 1
        else:
            self._add(name, 0 if text.isascii() else 1, "XXX", [text])

    def dump(self, name: str) -> Any:
        """Encoding, language and texts; None when the frame is absent."""
        frame = self._frame(name)
        if frame is None:
            return None
        texts = [str(text) for text in frame.text]
        return [int(frame.encoding), getattr(frame, "lang", ""), texts]

    def restore(self, name: str, dumped: Any) -> None:
        """Restore a frame to what `dump` returned."""
        self._make()
        frame = self._frame(name)
        if frame is not None:
            del self.audio.tags[frame.HashKey]
        if dumped is not None:
            self._add(name, *dumped)

    def save(self) -> None:
        """Write the tag, but leave an ID3v1 tag at the end of the file as it is."""
        old = _read_v1(self.path)
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
        frames = self.audio.tags.getall(name)
        return next((frame for frame in frames if not getattr(frame, "desc", "")), None)

    def _add(self, name: str, encoding: int, lang: str, texts: list[str]) -> None:
        from mutagen.id3 import Frames

        more = {"lang": lang, "desc": ""} if name == "COMM" else {}
        self.audio.tags.add(Frames[name](encoding=encoding, text=texts, **more))


def _read_v1(path: Path) -> bytes | None:
    with path.open("rb") as file:
        if file.seek(0, 2) < _V1_SIZE:
            return None
        file.seek(-_V1_SIZE, 2)
        tail = file.read()
    return tail if tail.startswith(b"TAG") else None
