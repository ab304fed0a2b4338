"""Bands: what they play is what the chart says, in the key that is drawn, and sounds."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call

from stonekey.data.render import effects
from stonekey.data.render.band import Performance, mix, perform
from stonekey.data.render.charts import Chart, parse_chord
from stonekey.data.render.loops import compose_loops
from stonekey.data.render.melody import weights
from stonekey.data.render.parts import DRUMS, PLAYERS
from stonekey.data.render.run import RenderSettings, render
from stonekey.data.render.scores import list_scores
from stonekey.data.render.sound import RenderError, find_soundfonts
from stonekey.data.render.styles import STYLES
from stonekey.data.render.synths import SYNTHS, render_part
from stonekey.data.render.tune import Note, Part, excerpt
from stonekey.keys import Key

RATE = 22050


def chart(text: str, key: str) -> Chart:
    return Chart(Key.parse(key), tuple((4, parse_chord(label)) for label in text.split()))


MAJOR = chart("C F G C Am C G C", "C major")
MINOR = chart("Cm Fm Gm Cm Cm Ab Bb Cm", "C minor")


def degrees(performance: Performance) -> np.ndarray:
    """Seconds of each semitone above the tonic, but for drums and speech."""
    found = np.zeros(12)
    for part in performance.parts:
        if not part.drums and part.name != "rap":
            for note in part.notes:
                found[(int(note.pitch) - performance.key.tonic) % 12] += note.seconds
    return found / found.sum()


@pytest.mark.parametrize("style", STYLES)
def test_each_style_plays_the_chart_in_its_key(style: str) -> None:
    keys = set()
    for song, scale in ((MAJOR, (0, 2, 4, 5, 7, 9, 11)), (MINOR, (0, 2, 3, 5, 7, 8, 10))):
        shares = np.zeros(12)
        for seed in range(3):
            performance = perform(song, style, np.random.default_rng(seed), 16.0)
            keys.add(performance.key)
            assert performance.key.mode == song.key.mode
            shares += degrees(performance) / 3
            notes = [n for part in performance.parts for n in part.notes]
            assert all(0 <= n.at < 16 and n.seconds > 0 and 20 <= n.pitch <= 100 for n in notes)
        third, other = (4, 3) if song is MAJOR else (3, 4)
        triads = [shares[[root, (root + third) % 12, (root + 7) % 12]].sum() for root in range(12)]
        assert int(np.argmax(triads)) == 0
        assert shares[list(scale)].sum() > 0.85
        assert shares[third] > shares[other]
    assert len(keys) > 2


def test_chords_and_bass_follow_the_chart() -> None:
    song = chart("C Bb/D F C5", "C major")
    for seed in range(8):
        performance = perform(song, "country", np.random.default_rng(seed), 12.0, transpose=False)
        assert performance.key == song.key
        for part in performance.parts:
            for note in part.notes if part.name in ("strum", "blocks", "arpeggio") else ():
                # Strings are struck one after the other, the last within 0.12 s.
                beats = [(note.at + s) / performance.tune.beat_seconds for s in (0.01, -0.12)]
                sounding = [c for b in beats if (c := performance.tune.span(b)[2])]
                pitch_classes = {(c.root + tone) % 12 for c in sounding for tone in c.tones}
                assert int(note.pitch) % 12 in pitch_classes | {c.bass for c in sounding}
            if part.name == "bass":
                firsts = {start: chord for start, _, chord in performance.tune.spans}
                for note in part.notes:
                    place = note.at / performance.tune.beat_seconds
                    if round(place, 3) in firsts and (first := firsts[round(place, 3)]):
                        assert int(note.pitch) % 12 == first.bass


def test_blues_plays_dominant_sevenths_and_blue_thirds() -> None:
    song = chart("C F C G", "C major")
    blue = sum(degrees(perform(song, "blues", np.random.default_rng(s), 16.0)) for s in range(6))
    plain = sum(degrees(perform(song, "country", np.random.default_rng(s), 16.0)) for s in range(6))
    assert blue[10] > 2 * plain[10]
    assert blue[3] > 1.5 * plain[3]
    assert blue[4] > blue[3]


def test_melody_weights() -> None:
    home, subdominant = parse_chord("D"), parse_chord("G")
    assert home is not None
    assert subdominant is not None
    over = weights(Key(2, "major"), home, 0.0)
    assert over.sum() == pytest.approx(1)
    # Of 15 789 notes over a major tonic, 4 289 are the tonic and 972 its blue third.
    assert over[2] == pytest.approx(4289 / 15789)
    assert over[5] == pytest.approx(972 / 15789)
    assert weights(Key(2, "major"), home, 1.0)[5] > 1.5 * over[5]
    rare = parse_chord("F#")
    assert rare is not None
    assert weights(Key(0, "major"), rare, 0.0)[6] > 0.1


def test_silence_and_odd_bars() -> None:
    song = Chart(Key(0, "major"), ((3, parse_chord("C")), (3, None), (3, parse_chord("G"))), 3)
    tune = excerpt(song, np.random.default_rng(0), song.key, 0.5, 0.5, 12)
    assert [h.beat for h in tune.hits("X---x---x---x---")][:4] == [0, 1, 2, 6]
    assert [(h.beat, h.beats) for h in tune.hits("X---------------")][:2] == [(0, 3), (6, 3)]
    for style in ("rock", "metal", "hiphop"):
        assert perform(song, style, np.random.default_rng(1), 10.0).parts


def test_same_seed_same_notes() -> None:
    def midi(seed: int) -> bytes:
        song = compose_loops(seed, "minor")
        performance = perform(song, "soul", np.random.default_rng(seed), 10.0)
        stream = io.BytesIO()
        performance.music().write(stream)
        return stream.getvalue()

    pytest.importorskip("pretty_midi", reason="needs the render extra")
    assert midi(5) == midi(5) != midi(6)
    assert perform(MAJOR, "funk", np.random.default_rng(3), 9.0) == perform(
        MAJOR, "funk", np.random.default_rng(3), 9.0
    )


def test_styles_are_well_formed() -> None:
    for style in STYLES.values():
        for pattern in style.drums:
            assert set(pattern) <= set(DRUMS)
            assert {len(strokes) for strokes in pattern.values()} <= {8, 16}
        lines = [*style.lines, *(p for layer in style.layers for p in layer.patterns)]
        assert {len(line) for line in lines} == {16}
        sounds = [*style.basses, *style.leads, *(s for y in style.layers for s in y.sounds)]
        assert all(s in SYNTHS if isinstance(s, str) else 0 <= s < 128 for s in sounds)
        assert {layer.player for layer in style.layers} <= set(PLAYERS)


def frequency(wave: np.ndarray) -> float:
    """That of the strongest partial, in Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 18))
    return float(np.argmax(spectrum) * RATE / (1 << 18))


@pytest.mark.parametrize("sound", SYNTHS)
def test_synthesisers_are_in_tune(sound: str) -> None:
    pitch = 33 if sound == "808" else 57
    part = Part("p", sound, [Note(pitch, 0.0, 1.0, 90)])
    plain, sharp = (
        render_part(part, cents, 1.2, RATE, np.random.default_rng(2)) for cents in (0.0, 50.0)
    )
    assert plain.shape == (round(1.2 * RATE),)
    # A partial of the note: an octave, or another of a voice's harmonics.
    number = frequency(plain) / (440 * 2 ** ((pitch - 69) / 12))
    assert number == pytest.approx(round(number), rel=0.02)
    assert 1200 * np.log2(frequency(sharp) / frequency(plain)) == pytest.approx(50, abs=15)
    assert not plain[-round(0.1 * RATE) :].any()


def test_effects() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 220 * t).astype(np.float32)
    done = {
        "amplifier": effects.amplifier(tone, RATE, 8.0, rng),
        "room": effects.room(tone, RATE, 1.0, 0.3, rng),
        "vinyl": effects.vinyl(tone, RATE, rng),
        "taped": effects.taped(tone, RATE, 40.0, rng),
        "compressed": effects.compressed(tone, RATE, 4.0),
        "saturated": effects.saturated(tone, 2.0),
        "pumped": effects.pumped(tone, RATE, 0.5, 0.9),
    }
    for name, wave in done.items():
        assert wave.shape == tone.shape, name
        assert wave.dtype == np.float32, name
        assert np.isfinite(wave).all(), name
    harmonic = np.abs(np.fft.rfft(done["amplifier"]))[3 * 660]
    assert harmonic > 0.1 * np.abs(np.fft.rfft(done["amplifier"]))[3 * 220]
    assert 1200 * np.log2(frequency(done["taped"]) / 220) == pytest.approx(40, abs=4)
    loud = np.abs(done["pumped"])
    assert loud[: RATE // 50].max() < 0.3 < 0.9 < loud[RATE // 3 : RATE // 2].max()
    swell = np.where(t < 1.5, 0.1, 1.0).astype(np.float32) * tone
    even = effects.compressed(swell, RATE, 4.0)
    assert np.abs(even[:RATE]).max() / np.abs(even[2 * RATE :]).max() > 0.15


@pytest.fixture(scope="module")
def soundfonts() -> tuple[Path, ...]:
    pytest.importorskip("pretty_midi", reason="needs the render extra")
    try:
        return (find_soundfonts()[-1],)
    except RenderError as error:
        pytest.skip(str(error))


def test_charts_are_rendered_in_key(soundfonts: tuple[Path, ...], tmp_path: Path) -> None:
    from stonekey.estimate.estimator import KeyEstimator

    source = tmp_path / "songs"
    source.mkdir()
    (source / "a.chart").write_text("key: C\n| C | F | G | C | C | Am | G | C |")
    bars = [[2.0 * i, 2.0 * i + 2, c] for i, c in enumerate(("A:min", "D:min", "E:7", "A:min"))]
    song = {"id": "b", "tonic": "A", "mode": "minor", "chords": bars}
    (source / "more.jsonl").write_text(json.dumps(song))
    settings = RenderSettings(soundfonts, seconds=9, styles=("country",), seed=1)
    report = render(list_scores(source), tmp_path / "out", settings)
    assert (report.made, report.failed) == (2, ())
    with report.manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["score"] for row in rows] == ["a.chart", "more/b"]
    assert {row["style"] for row in rows} == {"country"}
    estimator = KeyEstimator("template", threads=1)
    near = 0
    for row in rows:
        home = Key.parse("C") if row["score"] == "a.chart" else Key.parse("A minor")
        key = Key.parse(row["key"])
        assert key == home.transpose(int(row["transposed"]))
        heard = estimator(tmp_path / "out" / row["path"]).signature
        near += heard is not None and heard.fifths_distance(key.signature) <= 1
    assert near == 2  # by chance in one of sixteen cases


def test_command_draws_evenly(
    soundfonts: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = tmp_path / "a.chart"
    song.write_text("key: C\n| C | F | G | C |")
    given = ("data", "render", song, tmp_path / "out", "--seconds", "5", "--jobs", "1")
    assert call(*given, "--style", "polka") == 2
    assert "no style 'polka'" in capsys.readouterr().err
    drawn = ("--balanced", "2", "--style", "blues", "--style", "house")
    assert call(*given, *drawn, "--soundfont", soundfonts[0]) == 0
    with (tmp_path / "out" / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["style"] for row in rows] == ["blues", "house"]


def test_mix_has_all_its_buses(soundfonts: tuple[Path, ...]) -> None:
    from stonekey.data.render.sound import play

    for style in ("metal", "electro"):  # an amplifier; pumping synthesisers
        performance = perform(MINOR, style, np.random.default_rng(4), 5.0)
        stereo = play(performance.music(), soundfonts[0], None)
        waves = [
            mix(
                performance,
                stereo * np.array(side, np.float32),
                5.0,
                RATE,
                np.random.default_rng(0),
            )
            for side in ((1, 1), (0, 1))
        ]
        assert waves[0].shape == (5 * RATE,)
        assert np.isfinite(waves[0]).all()
        assert np.abs(waves[0] - waves[1]).max() > 0.01
