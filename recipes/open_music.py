"""The music that the shipped models are trained on: recordings, rendered scores, composed songs.

Everything is found again where an earlier run left it. Which tracks validate follows from their
file names, so every run on every machine holds out the same.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stonekey.data.keyless import write_keyless
from stonekey.data.manifest import Track, read_manifest
from stonekey.data.render.run import RenderSettings, render
from stonekey.data.render.scores import ScoreEntry, composed_songs, list_scores
from stonekey.data.render.sound import find_soundfonts
from stonekey.files import core_count
from stonekey.output.progress import counted

CONFIG = Path(__file__).resolve().parents[1] / "config"
SECONDS = 30.0
PIECES = 1000
# Songs that go between relative keys: without them the model finds two conventions, one for
# major and one for minor keys, a fifth apart.
PLAIN = 700
# The same with phrases that borrow from other modes, or dwell on the tonic.
COLOURED = 400
BORROWING = 0.4
KNOWN = 100
# Of each source at most: a thousand folk tunes for one melody and chords each would outweigh all.
SCORES = {"when-in-rome": 100, "pop909": 250, "nottingham": 80}
# Small, installed nearly everywhere, and unlike the large ones.
TEST_SOUNDFONT = "TimGM6mb.sf2"
KEYLESS_CLIPS = 480
SHORTEST = 0.6  # seconds, of every other clip
LIMIT_CLIPS, LIMIT_SEED = 100, 500_000
VALID_PERCENT = 5

PARTS = ("recordings", "scores", "plain", "coloured")


def rendered(scores: Path, folder: Path) -> list[Track]:
    """Renderings of a thousand scores, with keys and splits."""
    entries = list_scores(scores)
    # A thousand folk tunes for one melody and chords each would outweigh everything else.
    entries = [e for i, e in enumerate(entries) if e.source != "nottingham" or i % 3 == 0]
    random.Random(0).shuffle(entries)
    return play(entries[:PIECES], folder)


def of_scores(scores: Path, folder: Path, test: bool = False) -> list[Track]:
    """Renderings of so many scores of each source; those to test with if ``test``."""
    entries = list_scores(scores)
    random.Random(0).shuffle(entries)
    chosen = []
    for source, number in SCORES.items():
        fitting = [e for e in entries if e.source == source and (e.split == "test") == test]
        chosen += fitting[:number]
    return play(chosen, folder, test)


def soundfonts(test: bool) -> tuple[Path, ...]:
    """All installed, but one that only tests hear."""
    fonts = tuple(f for f in find_soundfonts() if (f.name == TEST_SOUNDFONT) == test)
    if not fonts:
        raise SystemExit(f"needs {TEST_SOUNDFONT} and another soundfont beside it")
    return fonts


def play(entries: list[ScoreEntry], folder: Path, test: bool | None = None) -> list[Track]:
    """Render scores into a folder, or find them there; with the soundfonts of `soundfonts`.

    With all of them if ``test`` is None.
    """
    fonts = tuple(find_soundfonts()) if test is None else soundfonts(test)
    settings = RenderSettings(fonts, seconds=SECONDS)
    with counted(f"rendering {folder.name}") as watch:
        report = render(entries, folder, settings, core_count(), watch)
    for name, reason in report.failed:
        print(f"{name}: {reason}")
    return list(read_manifest(report.manifest).present)


def music(
    part: str, recordings: Path | None, scores: Path | None, folder: Path, songs: float
) -> list[Track]:
    """The tracks of one of `PARTS`; none where its source is not given.

    ``songs`` scales the numbers of composed songs.
    """
    if part == "recordings":
        return list(read_manifest(recordings).present) if recordings else []
    if part == "scores":
        return rendered(scores, folder / "rendered") if scores else []
    number, borrowing = (PLAIN, 0.0) if part == "plain" else (COLOURED, BORROWING)
    entries = composed_songs(round(songs * number), borrowing=borrowing)
    tracks = play(entries, folder / part) if entries else []
    return [replace(track, split=None) for track in tracks]  # no test needs any set apart


def of_known_key(folder: Path) -> list[Track]:
    """Composed songs in one key each, known without anybody's label: for the temperature."""
    entries = composed_songs(KNOWN, one_key=True, borrowing=BORROWING)
    return play(entries, folder / "one_key")


def held_out(track: Track) -> str:
    """The split of a track, by its file's name alone."""
    assert track.path is not None
    chosen = zlib.crc32(track.path.name.encode()) % 100 < VALID_PERCENT
    return "valid" if chosen else "train"


def unlabelled(tracks: Iterable[Track]) -> list[Track]:
    """The same music without its keys; what is set apart for tests is left out."""
    return [replace(t, key=None, split=held_out(t)) for t in tracks if t.split != "test"]


def without_key(folder: Path) -> list[Track]:
    """Noise, drums, speech, applause, clicks and bass notes, labelled as having no key."""
    paths = write_keyless(folder, KEYLESS_CLIPS, 12.0, 0, find_soundfonts(), SHORTEST)
    return [Track(path.name, path, split="train", keyless=True) for path in paths]


def keyless_unheard(folder: Path) -> list[Path]:
    """Other such clips, that training does not hear: for the limit of "no key"."""
    folder = folder / "keyless_limit"
    return write_keyless(folder, LIMIT_CLIPS, 12.0, LIMIT_SEED, find_soundfonts(), SHORTEST)
