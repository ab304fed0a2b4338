"""Rendering of scores: arrangements keep the music, audio is in the key that the manifest says."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stonekey.keys import Key

pretty_midi = pytest.importorskip("pretty_midi", reason="needs the render extra")

from stonekey.data.render.arrange import arrange  # noqa: E402
from stonekey.data.render.compose import compose  # noqa: E402
from stonekey.data.render.run import RenderSettings, render  # noqa: E402
from stonekey.data.render.scores import (  # noqa: E402
    ScoreEntry,
    composed_songs,
    file_names,
    list_scores,
    read_score,
)
from stonekey.data.render.sound import (  # noqa: E402
    RenderError,
    find_soundfonts,
    process,
    write_lossy,
)

MAJOR, MINOR = (0, 4, 7, 5, 9, 0, 7, 11, 2, 0, 4, 7), (0, 3, 7, 5, 8, 0, 7, 11, 2, 0, 3, 7)


def write_score(path: Path, key: Key, bars: int = 12) -> None:
    """Cadences I IV V I with a melody, at 120 beats a minute."""
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    chords, tune = pretty_midi.Instrument(0), pretty_midi.Instrument(73)
    tones = MAJOR if key.mode == "major" else MINOR
    for bar in range(bars):
        triad = tones[3 * (bar % 4) : 3 * (bar % 4) + 3]
        for tone in triad:
            pitch = 48 + key.tonic + tone
            chords.notes.append(pretty_midi.Note(80, pitch, 2 * bar, 2 * bar + 2))
        for beat in range(4):
            at = 2 * bar + beat / 2
            pitch = 72 + key.tonic + triad[beat % 3]
            tune.notes.append(pretty_midi.Note(90, pitch, at, at + 0.5))
    music.instruments = [chords, tune]
    music.write(str(path))


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    folder = tmp_path / "scores"
    (folder / "tunes").mkdir(parents=True)
    rows = []
    for text in ("C major", "A minor", "Eb major", "F# minor"):
        name = f"tunes/{text.replace(' ', '_')}.mid"
        write_score(folder / name, Key.parse(text))
        rows.append((name, text))
    with (folder / "keys.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "key"), *rows])
    return folder / "keys.csv"


@pytest.fixture(scope="module")
def soundfonts() -> tuple[Path, ...]:
    try:
        return tuple(find_soundfonts())
    except RenderError as error:
        pytest.skip(str(error))


def pitch_classes(score: pretty_midi.PrettyMIDI) -> set[int]:
    return {n.pitch % 12 for part in score.instruments if not part.is_drum for n in part.notes}


@pytest.mark.parametrize("seed", range(8))
def test_arrangement_is_the_music_transposed(scores: Path, seed: int) -> None:
    score = read_score(list_scores(scores)[0].path)
    drawn = arrange(score, np.random.default_rng(seed), 12.0)
    assert -6 <= drawn.transposed <= 5
    moved = {(p + drawn.transposed) % 12 for p in pitch_classes(score)}
    assert pitch_classes(drawn.music) <= moved
    assert drawn.music.get_end_time() < 12.5
    assert pitch_classes(score) == {0, 2, 4, 5, 7, 9, 11}  # left as it was
    kept = arrange(score, np.random.default_rng(seed), 12.0, transpose=False)
    assert kept.transposed == 0
    assert pitch_classes(kept.music) <= pitch_classes(score)


def test_arrangements_differ_and_repeat(scores: Path) -> None:
    score = read_score(list_scores(scores)[0].path)
    drawn = [arrange(score, np.random.default_rng(seed), 20.0) for seed in range(40)]
    assert {a.transposed for a in drawn} == set(range(-6, 6))
    assert 8 < sum(any(p.is_drum for p in a.music.instruments) for a in drawn) < 36
    again = arrange(score, np.random.default_rng(7), 20.0)
    assert [p.program for p in again.music.instruments] == [
        p.program for p in drawn[7].music.instruments
    ]


def test_splits_keep_songs_together() -> None:
    works = [f"rome/Quartets__Beethoven__Op18_{w}__{m}__score.mxl" for w in "12" for m in "1234"]
    entries = [ScoreEntry(name, Path(name)) for name in works]
    for work in "12":
        assert len({e.split for e in entries if f"Op18_{work}" in e.name}) == 1
    many = [ScoreEntry(f"pop/{i:03}.mid", Path()) for i in range(1000)]
    share = [e.split for e in many].count("test") / 1000
    assert 0.06 < share < 0.14


def test_musicxml_is_read(tmp_path: Path) -> None:
    music21 = pytest.importorskip("music21", reason="needs the render extra")
    stream = music21.stream.Stream([music21.note.Note(p) for p in ("C4", "E4", "G4", "C5")])
    path = tmp_path / "tune.musicxml"
    stream.write("musicxml", path)
    assert pitch_classes(read_score(path)) == {0, 4, 7}


TUNE = """<score-partwise version="4.0">
<part-list><score-part id="P1"><part-name>p</part-name></score-part></part-list>
<part id="P1"><measure number="1"><attributes><divisions>1</divisions>
<time><beats>3</beats><beat-type>4</beat-type></time></attributes>
<direction><direction-type><words>Allegro</words></direction-type><sound tempo="90"/></direction>
<direction><direction-type><words>D.S. al Coda</words></direction-type></direction>
<harmony><root><root-step>D.I</root-step></root><kind>major</kind></harmony>
NOTES<barline location="right"><ending number="2" type="stop"/><repeat direction="backward"/>
</barline></measure></part></score-partwise>"""
NOTE = "<note><pitch><step>{}</step><octave>4</octave></pitch><duration>1</duration></note>"


def test_musicxml_with_analysis_and_odd_repeats_is_read(tmp_path: Path) -> None:
    pytest.importorskip("music21", reason="needs the render extra")
    container = '<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>'
    with zipfile.ZipFile(tmp_path / "tune.mxl", "w") as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("a.xml", TUNE.replace("NOTES", "".join(map(NOTE.format, "DFA"))))
    score = read_score(tmp_path / "tune.mxl")
    assert pitch_classes(score) == {2, 5, 9}  # nothing of the chord symbol
    assert score.get_end_time() == pytest.approx(2.0)  # once, at the tempo given


def test_bad_scores_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.mid").write_bytes(b"not a score")
    pretty_midi.PrettyMIDI().write(str(tmp_path / "empty.mid"))
    with pytest.raises(ValueError, match=r"bad\.mid"):
        read_score(tmp_path / "bad.mid")
    with pytest.raises(ValueError, match="without notes"):
        read_score(tmp_path / "empty.mid")
    (tmp_path / "keys.csv").write_text("path,key\nbad.mid,H sharp\n")
    with pytest.raises(ValueError, match=r"keys\.csv:2"):
        list_scores(tmp_path / "keys.csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no score"):
        list_scores(tmp_path / "none")


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_lossy_files(tmp_path: Path, suffix: str) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    samples = process(rng.standard_normal((30000, 2)).astype(np.float32), rng)
    assert np.abs(samples).max() == pytest.approx(0.9, rel=1e-5)
    sizes = []
    for quality in (0.1, 0.9):
        path = tmp_path / f"{quality}.{suffix}"
        write_lossy(path, samples, quality)
        sizes.append(path.stat().st_size)
        assert soundfile.info(path).frames == pytest.approx(30000, abs=3000)
    assert sizes[0] < sizes[1]
    with pytest.raises(RenderError, match="silent"):
        process(np.zeros((100, 2), np.float32), rng)


def test_render_goes_on_and_is_in_key(
    scores: Path, soundfonts: tuple[Path, ...], tmp_path: Path
) -> None:
    from stonekey.estimate.estimator import KeyEstimator

    (scores.parent / "tunes" / "bad.mid").write_bytes(b"not a score")
    entries = [*list_scores(scores), ScoreEntry("bad.mid", scores.parent / "tunes" / "bad.mid")]
    settings = RenderSettings(soundfonts, seconds=16, versions=2, seed=3)
    folder = tmp_path / "out"
    first = render(entries[1:], folder, settings)
    assert (first.made, first.kept) == (6, 0)
    assert [name for name, _ in first.failed] == ["bad.mid", "bad.mid"]
    before = {p.name: p.read_bytes() for p in folder.glob("*.[mo]*")}
    report = render(entries[:4], folder, settings)
    assert (report.made, report.kept, report.failed) == (2, 6, ())
    assert all((folder / name).read_bytes() == data for name, data in before.items())
    with pytest.raises(ValueError, match="other settings"):
        render(entries[:4], folder, RenderSettings(soundfonts, seconds=17))

    with report.manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    keys = {e.name: e.key for e in entries}
    estimator = KeyEstimator("template", threads=1)
    near = 0
    for row in rows:
        source = keys[row["score"]]
        assert source is not None
        assert Key.parse(row["key"]) == source.transpose(int(row["transposed"]))
        estimate = estimator(folder / row["path"])
        assert estimate.signature is not None
        near += estimate.signature.fifths_distance(Key.parse(row["key"]).signature) <= 1
    # Arrangements may be hard (drums, detuning); by chance 2 of 8 would be as near.
    assert near >= 6


def test_scores_that_differ_in_the_suffix_are_two(
    soundfonts: tuple[Path, ...], tmp_path: Path
) -> None:
    names = ["a/b.mid", "a/b.xml", "A_B.mid", "c.mid"]
    files = file_names([ScoreEntry(name, Path(name)) for name in names])
    assert list(files) == names
    assert len({file.lower() for file in files.values()}) == 4
    assert files["c.mid"] == "c"  # as it was, so that earlier runs resume
    folder = tmp_path / "two"
    folder.mkdir()
    for name, key in (("x.mid", "C major"), ("x.midi", "F# major")):
        write_score(folder / name, Key.parse(key))
    entries = list_scores(folder)
    report = render(entries, tmp_path / "out", RenderSettings(soundfonts[:1], seconds=5))
    assert (report.made, report.kept) == (2, 0)
    with report.manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["score"] for row in rows] == ["x.mid", "x.midi"]
    assert len({row["path"].rsplit(".", 1)[0] for row in rows}) == 2


def test_same_seed_same_audio(scores: Path, soundfonts: tuple[Path, ...], tmp_path: Path) -> None:
    entries = list_scores(scores)[:1]
    settings = RenderSettings(soundfonts[:1], seconds=6)
    a, b = (render(entries, tmp_path / name, settings).manifest.parent for name in "ab")
    files = [p.name for p in a.glob("*_0.[mo]*")]
    assert files
    assert all((a / n).read_bytes() == (b / n).read_bytes() for n in files)


def test_command(scores: Path, soundfonts: tuple[Path, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stonekey", "data", "render", str(scores), str(tmp_path / "o")]
    given = ["--seconds", "5", "--soundfont", str(soundfonts[0]), "--jobs", "2"]
    done = subprocess.run([*command, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 rendered, 0 already there" in done.stdout
    assert "rendering: 4/4" in done.stderr
    missing = subprocess.run([*command, "--soundfont", "none.sf2"], capture_output=True, text=True)
    assert missing.returncode == 2
    assert "none.sf2: no such soundfont" in missing.stderr
    assert shutil.which("fluidsynth") is not None


def test_composed_songs_go_between_relative_keys(
    soundfonts: tuple[Path, ...], tmp_path: Path
) -> None:
    song, again, other = (compose(seed, 30.0) for seed in (1, 1, 2))
    notes = [[n.pitch for p in s.instruments for n in p.notes] for s in (song, again, other)]
    assert notes[0] == notes[1] != notes[2]
    assert song.get_end_time() >= 29
    # C major and A minor, its raised sixth and seventh degrees included.
    assert {p % 12 for p in notes[0]} <= {0, 2, 4, 5, 6, 7, 8, 9, 11}
    bass = next(p for p in song.instruments if p.name == "bass").notes
    phrases = [n.pitch % 12 for n in bass][::8]  # two notes a bar, four bars a phrase
    assert phrases == [9, 0, 9, 0] or phrases == [0, 9, 0, 9]
    minor = compose(1, 30.0, Key(9, "minor"))
    bass = next(p for p in minor.instruments if p.name == "bass").notes
    assert {n.pitch % 12 for n in bass[::8]} == {9}
    assert [str(e.key) for e in composed_songs(2, one_key=True)] == ["C major", "A minor"]
    report = render(composed_songs(1), tmp_path, RenderSettings(soundfonts[:1], seconds=5))
    with report.manifest.open(newline="") as stream:
        assert next(csv.DictReader(stream))["key"] == ""


def test_composed_songs_borrow_chords() -> None:
    plain, coloured = (compose(5, 200.0, Key(0, "major"), share) for share in (0.0, 0.5))
    assert pitch_classes(plain) == {0, 2, 4, 5, 7, 9, 11}
    assert pitch_classes(coloured) > pitch_classes(plain)
    # Half of the phrases only, and on the same tonic: the scale's own notes still prevail.
    counts = np.bincount(
        [n.pitch % 12 for p in coloured.instruments for n in p.notes], minlength=12
    )
    assert counts[[0, 2, 4, 5, 7, 9, 11]].sum() > 0.7 * counts.sum()
    assert counts.argmax() in (0, 7)
    assert composed_songs(1, borrowing=0.5)[0].borrowing == 0.5


def test_renders_into_no_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,key\n")
    with pytest.raises(ValueError, match="other files"):
        render([], tmp_path, RenderSettings(()))
    assert (tmp_path / "manifest.csv").read_text() == "path,key\n"
