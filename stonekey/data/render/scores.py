"""Read scores (MIDI, MusicXML) and divide them into splits by song."""

from __future__ import annotations

import csv
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonekey.keys import Key

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI

MIDI = (".mid", ".midi")
MUSICXML = (".mxl", ".musicxml", ".xml")
# Of a hundred songs, how many to validate and to test with.
VALID, TEST = 10, 10


@dataclass(frozen=True)
class ScoreEntry:
    """One score: its name in the collection, its file, and its key if that is known.

    Without a file, ``composed`` is the seed of `stonekey.data.render.compose.compose`.
    """

    name: str
    path: Path
    key: Key | None = None
    composed: int | None = None

    @property
    def source(self) -> str:
        """The collection: the first folder of the name."""
        return self.name.split("/")[0] if "/" in self.name else ""

    @property
    def song(self) -> str:
        """What must stay within one split: the score's song or work.

        Movements of one work (names that differ after the last but one ``__``) and versions of
        one tune (names that differ in trailing digits) belong together.
        """
        stem = self.name.rsplit(".", 1)[0]
        parts = stem.split("__")
        return "__".join(parts[:-2]) if len(parts) > 3 else stem

    @property
    def split(self) -> str:
        """train, valid or test: by a hash of the song, so that it never changes."""
        place = zlib.crc32(self.song.encode()) % 100
        return "valid" if place < VALID else "test" if place < VALID + TEST else "train"


def list_scores(source: Path) -> list[ScoreEntry]:
    """The scores of a folder, or of a CSV with columns ``path`` and, if known, ``key``.

    Paths in the CSV are relative to it.

    Raises:
        ValueError: when there is none, or for a row without a path or with a key that is none.
        OSError: when the source cannot be read.
    """
    if source.is_dir():
        found = sorted(p for p in source.rglob("*") if p.suffix.lower() in (*MIDI, *MUSICXML))
        entries = [ScoreEntry(p.relative_to(source).as_posix(), p) for p in found]
    else:
        entries = []
        with source.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream), start=2):
                name, key = row.get("path"), row.get("key")
                if not name:
                    raise ValueError(f"{source}:{number}: no path")
                try:
                    known = Key.parse(key) if key else None
                except ValueError as error:
                    raise ValueError(f"{source}:{number}: {error}") from error
                entries.append(ScoreEntry(name, source.parent / name, known))
    if not entries:
        raise ValueError(f"{source}: no score ({', '.join((*MIDI, *MUSICXML))})")
    return entries


def composed_songs(number: int, one_key: bool = False) -> list[ScoreEntry]:
    """Songs to compose: between relative keys, or each in one of C major and A minor."""
    if not one_key:
        return [ScoreEntry(f"composed/{i:05d}.mid", Path(), None, i) for i in range(number)]
    keys = (Key(0, "major"), Key(9, "minor"))
    return [ScoreEntry(f"one_key/{i:05d}.mid", Path(), keys[i % 2], i) for i in range(number)]


def read_score(path: Path) -> PrettyMIDI:
    """A score as notes in seconds.

    Raises:
        ValueError: when the file is not a score or holds no notes.
        OSError: when there is no such file.
    """
    import pretty_midi

    path.stat()  # what the parsers raise for a missing file is as odd as for a bad one
    try:
        # pretty_midi warns of tempo changes outside the first track, which are kept.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix.lower() in MIDI:
                score = pretty_midi.PrettyMIDI(str(path))
            else:
                score = _from_musicxml(path)
    except Exception as error:  # the parsers raise whatever they stumble on
        raise ValueError(f"{path}: cannot be read as a score: {error}") from error
    if not any(instrument.notes for instrument in score.instruments):
        raise ValueError(f"{path}: a score without notes")
    return score


def _from_musicxml(path: Path) -> PrettyMIDI:
    import tempfile

    import music21
    import pretty_midi

    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder) / "score.mid"
        parsed: Any = music21.converter.parse(path, forceSource=True, storePickle=False)
        parsed.write("midi", midi)
        return pretty_midi.PrettyMIDI(str(midi))


def safe_name(name: str) -> str:
    """A score's name as a plain file name, without suffix."""
    return re.sub(r"[^\w.-]+", "_", name.rsplit(".", 1)[0])
