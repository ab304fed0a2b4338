"""Read scores (MIDI, MusicXML, chord charts) and divide them into splits by song."""

from __future__ import annotations

import csv
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from stonekey.data.render.charts import JSON_LINES, TEXT, Chart, read_charts
from stonekey.keys import Key

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI

MIDI = (".mid", ".midi")
MUSICXML = (".mxl", ".musicxml", ".xml")
SUFFIXES = (*MIDI, *MUSICXML, JSON_LINES, TEXT)
# Of a hundred songs, how many to validate and to test with.
VALID, TEST = 10, 10


@dataclass(frozen=True)
class ScoreEntry:
    """One score: its name in the collection, its file, and its key if that is known.

    Without a file, ``composed`` is the seed and ``borrowing`` the share of coloured phrases of
    `stonekey.data.render.compose.compose`. A ``chart`` is played by a band in ``style``, or in one
    drawn for each rendering. What follows an ``@`` in the name tells apart entries of one song.
    """

    name: str
    path: Path
    key: Key | None = None
    composed: int | None = None
    borrowing: float = 0.0
    chart: Chart | None = None
    style: str | None = None

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
        stem = self.name.split("@")[0].rsplit(".", 1)[0]
        parts = stem.split("__")
        return "__".join(parts[:-2]) if len(parts) > 3 else stem

    @property
    def split(self) -> str:
        """train, valid or test: by a hash of the song, so that it never changes."""
        place = zlib.crc32(self.song.encode()) % 100
        return "valid" if place < VALID else "test" if place < VALID + TEST else "train"


def list_scores(source: Path) -> list[ScoreEntry]:
    """The scores of a folder or of one file.

    A folder may hold MIDI, MusicXML and charts (`stonekey.data.render.charts.read_charts`). A file
    is a CSV with columns ``path`` (relative to it) and, if known, ``key``, or a file of charts.

    Raises:
        ValueError: when there is none, or for a row without a path or with a key that is none.
        OSError: when the source cannot be read.
    """
    if source.is_dir():
        found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
        entries = []
        for path in found:
            name = path.relative_to(source).as_posix()
            entries += _charts(path, name) if _is_chart(path) else [ScoreEntry(name, path)]
    elif _is_chart(source):
        entries = _charts(source, source.name)
    else:
        entries = []
        with source.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream), start=2):
                place, key = row.get("path"), row.get("key")
                if not place:
                    raise ValueError(f"{source}:{number}: no path")
                try:
                    known = Key.parse(key) if key else None
                except ValueError as error:
                    raise ValueError(f"{source}:{number}: {error}") from error
                name, path = place, source.parent / place
                if _is_chart(path):
                    entries += _charts(path, name, known)
                else:
                    entries.append(ScoreEntry(name, path, known))
    if not entries:
        raise ValueError(f"{source}: no score ({', '.join(SUFFIXES)})")
    return entries


def _is_chart(path: Path) -> bool:
    return path.suffix.lower() in (JSON_LINES, TEXT)


def _charts(path: Path, name: str, key: Key | None = None) -> list[ScoreEntry]:
    """The charts of a file, in another key if one is given; many are as in a folder of its name."""
    entries = []
    for song, chart in read_charts(path):
        if path.suffix.lower() == JSON_LINES:
            name = f"{path.stem}/{song}"
        known = replace(chart, key=key or chart.key)
        entries.append(ScoreEntry(name, path, known.key, chart=known))
    return entries


def composed_songs(number: int, one_key: bool = False, borrowing: float = 0.0) -> list[ScoreEntry]:
    """Songs to compose: between relative keys, or each in one of C major and A minor.

    ``borrowing`` is the share of phrases with chords of other modes.
    """
    folder, keys = ("one_key", (Key(0, "major"), Key(9, "minor"))) if one_key else ("composed", ())
    return [
        ScoreEntry(f"{folder}/{i:05d}.mid", Path(), keys[i % 2] if keys else None, i, borrowing)
        for i in range(number)
    ]


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

    # The default, 10080, makes a long movement more ticks than pretty_midi takes.
    music21.defaults.ticksPerQuarter = 960
    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder) / "score.mid"
        parsed: Any = music21.converter.parseData(_notes_of(path), format="musicxml")
        parsed.write("midi", midi)
        return pretty_midi.PrettyMIDI(str(midi))


def _notes_of(path: Path) -> str:
    """The XML of a score without its chord symbols and repeats, over which the parser stumbles.

    Chord symbols make no sound, and analyses are written into them that are not chords at all;
    repeats are at times badly formed, and make a piece longer, not different.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
            (first, *_) = (e for e in container.iter() if e.tag.endswith("rootfile"))
            root = ElementTree.fromstring(archive.read(first.attrib["full-path"]))
    else:
        root = ElementTree.fromstring(path.read_bytes())
    for measure in root.iter("measure"):
        for left_out in (*measure.findall("harmony"), *measure.findall("barline")):
            measure.remove(left_out)
        for direction in measure.findall("direction"):
            tempo = any("tempo" in sound.attrib for sound in direction.iter("sound"))
            jumps = any(e.tag in ("words", "segno", "coda") for e in direction.iter())
            if jumps and not tempo:  # "Da capo" and the like
                measure.remove(direction)
    return ElementTree.tostring(root, encoding="unicode")


def file_names(entries: Iterable[ScoreEntry]) -> dict[str, str]:
    """A plain file name, without suffix, for the name of each score.

    Names that differ only in what a file name leaves out, such as the suffix, get a number.
    """
    names = {entry.name: _safe_name(entry.name) for entry in entries}
    counts = Counter(name.lower() for name in names.values())  # some disks ignore case
    return {
        score: f"{name}_{zlib.crc32(score.encode()):08x}" if counts[name.lower()] > 1 else name
        for score, name in names.items()
    }


def _safe_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name.rsplit(".", 1)[0])
