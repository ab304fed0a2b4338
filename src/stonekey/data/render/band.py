"""A band plays a chart in a style: who plays what, and the mix of it all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stonekey.data.render import effects
from stonekey.data.render.arrange import draw_cents
from stonekey.data.render.charts import Chart, Chord
from stonekey.data.render.melody import melody
from stonekey.data.render.parts import PLAYERS, bass, drums
from stonekey.data.render.styles import STYLES, Style
from stonekey.data.render.synths import SYNTHS, render_part
from stonekey.data.render.tune import Note, Part, Tune, excerpt
from stonekey.keys import Key

if TYPE_CHECKING:
    from pretty_midi import Instrument, PitchBend, PrettyMIDI

Rng = np.random.Generator
_WITH_THIRDS = ("blocks", "strum", "arpeggio")
# Of synthesised parts, against what the soundfont plays; 0.45 for those of the rhythm section.
_LOUDNESS = {"bass": 0.9, "lead": 0.8, "rap": 0.8}
# Semitones that a bend reaches each way, in 8192 steps.
_BEND_RANGE = 2.0


@dataclass(frozen=True)
class Performance:
    """What was drawn.

    Attributes:
        key: as it sounds.
        parts: all that play.
        cents: deviation from A = 440 Hz.
        tune: the excerpt.
        style: name of it.
    """

    key: Key
    parts: tuple[Part, ...]
    cents: float
    tune: Tune
    style: str

    def music(self) -> PrettyMIDI:
        """What a soundfont plays: on the left the buses ``amp`` or ``pump``, right the rest."""
        import pretty_midi

        music = pretty_midi.PrettyMIDI()
        for part in self.parts:
            if not isinstance(part.sound, str):
                music.instruments.append(_instrument(part, self.cents))
        return music


def perform(
    chart: Chart, style: str, rng: Rng, seconds: float, transpose: bool = True
) -> Performance:
    """Draw a performance of an excerpt.

    Args:
        chart: the song.
        style: one of `stonekey.data.render.styles.STYLES`.
        rng: every choice comes from it.
        seconds: length.
        transpose: to one of the twelve keys of its mode, all equally likely.
    """
    how = STYLES[style]
    key = Key(int(rng.integers(12)), chart.key.mode) if transpose else chart.key
    beat_seconds = 60 / float(rng.uniform(*how.tempo))
    swing = float(rng.uniform(*how.swing))
    if chart.triplets:
        swing = max(swing, 0.66)
    beats = int(np.ceil(seconds / beat_seconds)) + 1
    tune = excerpt(chart, rng, key, beat_seconds, swing, beats)
    tune = _coloured(tune, how, rng)

    parts = []
    for number, layer in enumerate(how.layers):
        # The first makes the style, and has a second chance.
        if rng.random() >= layer.chance and (number or rng.random() < 0.5):
            continue
        notes = PLAYERS[layer.player](tune, rng, layer, str(rng.choice(layer.patterns)))
        level = layer.level * float(rng.uniform(0.5, 0.95))
        parts.append(Part(layer.player, _drawn(layer.sounds, rng), notes, layer.bus, level))
    low = int(rng.choice([28, 28, 31]))
    line = bass(tune, rng, str(rng.choice(how.lines)), low)
    parts.append(Part("bass", _drawn(how.basses, rng), line, level=float(rng.uniform(0.85, 1.25))))
    blue = float(rng.uniform(*how.blue))
    thirds = any(part.name in _WITH_THIRDS for part in parts)
    if rng.random() < how.singing or not thirds:  # else nothing would tell the mode
        sound = _drawn(how.leads, rng)
        low = int(rng.choice([48, 52, 55, 60] if sound == "voice" else [55, 60, 64]))
        scale = how.melody_scale()
        tones = melody(tune, rng, how.manner, low, blue, scale if key.mode == "minor" else None)
        parts.append(Part("lead", sound, tones, level=float(rng.uniform(0.7, 1.2))))
    if rng.random() < how.rap:
        parts.append(Part("rap", "voice", _rap(tune, rng), level=float(rng.uniform(0.5, 1.2))))
    pattern = how.drums[int(rng.integers(len(how.drums)))]
    kit = int(rng.choice(how.kits))
    strokes = drums(tune, rng, pattern, how.fills)
    level = float(rng.uniform(0.55, 1.15))
    if pattern and rng.random() < 0.93:
        parts.append(Part("drums", kit, strokes, level=level, drums=True))
    cents = draw_cents(rng)
    parts = [replace(p, notes=[n for n in p.notes if n.at < seconds - 0.05]) for p in parts]
    playing = tuple(part for part in parts if part.notes)
    return Performance(key, playing, cents, tune, style)


def _drawn(sounds: tuple[int | str, ...], rng: Rng) -> int | str:
    return sounds[int(rng.integers(len(sounds)))]


def _coloured(tune: Tune, how: Style, rng: Rng) -> Tune:
    """The chords as the style plays them: throughout a song in the same way."""
    dominant = bool(rng.random() < how.dominant)
    sevenths = bool(rng.random() < how.sevenths)
    soft = bool(rng.random() < 0.4)

    def dressed(chord: Chord | None) -> Chord | None:
        if chord is None or set(chord.tones) not in ({0, 4, 7}, {0, 3, 7}):
            return chord
        above = (chord.root - tune.key.tonic) % 12
        if chord.minor:
            added = 10 if sevenths else None
        elif dominant:
            added = 10
        elif sevenths:
            added = 10 if above == 7 else (11 if above in (0, 5, 8, 3) and soft else None)
        else:
            added = None
        return chord if added is None else replace(chord, tones=(*chord.tones, added))

    return replace(
        tune, spans=tuple((at, beats, dressed(chord)) for at, beats, chord in tune.spans)
    )


def _rap(tune: Tune, rng: Rng) -> list[Note]:
    """Speech in rhythm: its pitch glides and has nothing to do with the key."""
    home = int(rng.integers(43, 56))
    notes = []
    for bar in range(0, tune.beats, tune.bar):
        if rng.random() < 0.15:
            continue
        for place in range(4 * tune.bar):
            if rng.random() < 0.6 and place < 4 * tune.bar - 2:
                at = tune.time(bar + place / 4)
                pitch = home + int(rng.integers(-2, 4))
                length = float(rng.uniform(0.08, 0.2))
                glide = float(rng.normal(0, 2.5))
                notes.append(Note(pitch, at, length, 95, float(rng.normal(0, 2)), glide))
    return notes


def _instrument(part: Part, cents: float) -> Instrument:
    import pretty_midi

    program = int(part.sound)
    made = pretty_midi.Instrument(program, is_drum=part.drums, name=part.name)
    for control, value in (
        (7, round(100 * min(1.25, part.level))),
        (10, 127 if part.bus == "plain" else 0),
    ):
        made.control_changes.append(pretty_midi.ControlChange(control, value, 0.0))
    if not part.drums:
        made.pitch_bends.append(_bend(cents / 100, 0.0))
    for note in part.notes:
        made.notes.append(
            pretty_midi.Note(note.velocity, int(note.pitch), note.at, note.at + note.seconds)
        )
        if note.bent:
            made.pitch_bends += _bends(note, cents / 100)
    return made


def _bend(semitones: float, at: float) -> PitchBend:
    import pretty_midi

    return pretty_midi.PitchBend(round(float(np.clip(semitones / _BEND_RANGE, -1, 1)) * 8191), at)


def _bends(note: Note, offset: float) -> list[PitchBend]:
    """What a channel does for a note: its curve, and back."""
    times = np.arange(0, note.seconds, 0.03)
    curve = zip(times.tolist(), note.bend(times).tolist(), strict=True)
    found = [_bend(offset + moved, note.at + t) for t, moved in curve]
    return [*found, _bend(offset, note.at + note.seconds)]


def mix(
    performance: Performance, stereo: np.ndarray, seconds: float, sample_rate: int, rng: Rng
) -> np.ndarray:
    """The record: buses, synthesisers, room and medium, as mono float32 (samples,).

    Args:
        performance: what was played.
        stereo: `Performance.music` as sound, (samples, 2), without a room.
        seconds: length.
        sample_rate: in Hz.
        rng: of every choice.
    """
    how = STYLES[performance.style]
    size = round(seconds * sample_rate)
    stereo = np.pad(stereo[:size], ((0, max(0, size - len(stereo))), (0, 0)))
    treated, plain = np.ascontiguousarray(stereo[:, 0]), np.ascontiguousarray(stereo[:, 1])
    level = _rms(plain) or 0.05
    buses = {part.bus for part in performance.parts}
    synthesised: dict[str, list[np.ndarray]] = {"plain": [], "pump": [], "amp": []}
    for part in performance.parts:
        if isinstance(part.sound, str) and part.sound in SYNTHS:
            wave = render_part(part, performance.cents, seconds, sample_rate, rng)
            loudness = _LOUDNESS.get(part.name, 0.45) * part.level * level
            synthesised[part.bus].append(wave * np.float32(loudness / (_rms(wave) or 1.0)))
    if "amp" in buses:
        low, high = how.amplifier
        drive = low * (high / low) ** float(rng.random())
        treated = effects.amplifier(treated, sample_rate, drive, rng)
        treated *= np.float32(rng.uniform(0.5, 1.3) * level / (_rms(treated) or 1.0))
    if "pump" in buses:
        for wave in synthesised["pump"]:
            treated = treated + wave
        depth = float(rng.uniform(0, 0.9))
        treated = effects.pumped(treated, sample_rate, performance.tune.beat_seconds, depth)
    x = plain + treated
    for wave in synthesised["plain"]:
        x = x + wave
    if rng.random() < 0.8:
        x = effects.room(
            x, sample_rate, float(rng.uniform(0.25, 2.2)), float(rng.uniform(0.05, 0.35)), rng
        )
    if rng.random() < 0.6:
        x = effects.compressed(x, sample_rate, float(rng.uniform(1.5, 5)))
    drive = float(rng.uniform(*how.drive))
    if drive > 0.3:
        x = effects.saturated(x, drive)
    if rng.random() < how.dusty:
        x = effects.taped(x, sample_rate, float(rng.uniform(-25, 25)), rng)
        if rng.random() < 0.7:
            x = effects.vinyl(x, sample_rate, rng)
    return np.asarray(x, np.float32)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x)))) if len(x) else 0.0
