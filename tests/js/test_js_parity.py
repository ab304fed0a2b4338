"""stonekey-web in Node gives the answers of this package for the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from js_tools import run_node

from stonekey import KeyEstimator
from stonekey.audio.mixing import mix
from stonekey.audio.tuning import Tuner
from stonekey.estimate.live import LiveEstimator
from stonekey.estimate.recording_graph import vectors
from stonekey.estimate.timeline import key_timeline
from stonekey.keys import Key
from stonekey.model.registry import find_model
from stonekey.synthesis import cadence, piece

# Probabilities may differ by so much; they are float32 sums in another order.
NEAR = 1e-3
LOAD = """
const runtime = kind === "node" ? await import("onnxruntime-node") : undefined;
const model = await web.loadModel(readFileSync(path), { runtime });
"""


def loading(model: str = "stone24", kind: str = "web") -> dict[str, str]:
    """The constants of `LOAD`."""
    return {"path": str(find_model(model)), "kind": kind}


@pytest.mark.parametrize(
    ("model", "kind"),
    [("stone24", "web"), ("stone24", "node"), ("stone12", "web"), ("template", "web")],
)
def test_the_exported_vectors(package: Path, model: str, kind: str) -> None:
    written = vectors(model)
    cases = written["cases"]
    program = """
    answer = { labels: model.labels, rate: model.sampleRate, name: model.name, found: [] };
    for (const samples of arrays) {
      answer.found.push(await web.estimate(model, samples, { tune: false }));
    }
    """
    samples = [np.array(case["waveform"]) / 32768 for case in cases]
    got = run_node(LOAD + program, package, *samples, **loading(model, kind))
    assert got["labels"] == written["class_table"]
    assert (got["rate"], got["name"]) == (written["sample_rate"], model)
    for case, found in zip(cases, got["found"], strict=True):
        labels = [*got["labels"], None]
        assert found["key"] == labels[case["key"]], case["name"]
        assert found["confidence"] == pytest.approx(case["confidence"], abs=NEAR)
        assert found["probabilities"] == pytest.approx(case["probabilities"], abs=NEAR)
        if case["confidence"]:  # of what is no sound, the segments are not heard
            heard = [[*s["probabilities"].values()] for s in found["segments"]]
            assert len(heard) == len(case["segments"])
            for ours, segment in zip(found["segments"], case["segments"], strict=True):
                assert ours["counted"] == segment["counted"]
                assert round(ours["start"] * got["rate"]) == segment["start"]
                assert round(ours["end"] * got["rate"]) == segment["end"]
                outputs = [*ours["probabilities"].values()]
                assert outputs == pytest.approx(segment["probabilities"], abs=NEAR)


def detuned(key: str, cents: float, seconds: float, rate: int) -> np.ndarray:
    """Music that sounds ``cents`` higher than written."""
    return cadence(Key.parse(key), round(rate * 2 ** (-cents / 1200)), seconds, seed=4)


def test_music_of_any_tuning_and_rate(package: Path) -> None:
    rate = 44100
    speech = np.random.default_rng(0).normal(0, 0.05, 14 * rate)
    sounds = [
        detuned("E minor", 0, 21, rate),
        detuned("Bb major", 23, 20, rate),
        detuned("G# minor", -37, 10, rate),
        np.concatenate([speech, detuned("D major", 30, 60, rate)]),  # heard after the first minute
        piece(Key.parse("F minor"), 4.0, rate),
    ]
    sounds = [sound.astype(np.float32) for sound in sounds]
    program = """
    answer = [];
    for (const samples of arrays) {
      answer.push(await web.estimate(model, samples, { sampleRate: 44100 }));
    }
    """
    got = run_node(LOAD + program, package, *sounds, **loading())
    estimator = KeyEstimator("stone24", threads=1)
    for found, sound in zip(got, sounds, strict=True):
        want = estimator(sound, rate)
        assert found["key"] == (want.label and str(want.label))
        assert found["confidence"] == pytest.approx(want.confidence, abs=NEAR)
        assert found["probabilities"] == pytest.approx([*want.probabilities.values()], abs=NEAR)
        assert found["tuning"] == pytest.approx(want.tuning, abs=0.01)
        assert found["seconds"] == pytest.approx(want.duration, abs=2 / rate)
        assert tuple(found["warnings"]) == want.warnings
    assert sum(abs(found["tuning"]) > 8 for found in got) >= 3


def test_tuning_where_the_first_minute_is_no_music(package: Path) -> None:
    rate = 22050
    rng = np.random.default_rng(1)
    hum = sum(np.sin(2 * np.pi * 50 * k * np.arange(70 * rate) / rate) / k for k in range(1, 30))
    music = detuned("C major", -30, 40, rate)
    sounds = {
        "noise": rng.normal(0, 0.1, 70 * rate),
        "hum": 0.1 * hum,
        "hum, then music": np.concatenate([0.1 * hum, music]),
        "silence, then music": np.concatenate([np.zeros(65 * rate), music]),
        "short": music[: rate // 5],
        "a tone": np.sin(2 * np.pi * 450 * np.arange(3 * rate) / rate),
        "silence": np.zeros(rate),
    }
    program = "answer = arrays.map((samples) => web.hearTuning(samples, 22050));"
    got = run_node(program, package, *sounds.values())
    for (name, sound), found in zip(sounds.items(), got, strict=True):
        tuner = Tuner()
        correction = tuner(sound.astype(np.float32), rate)
        want = None if tuner.cents is None else pytest.approx(tuner.cents, abs=0.05)
        assert found["cents"] == want, name
        assert found["correction"] == pytest.approx(correction, abs=0.05), name
    assert got[3]["cents"] == pytest.approx(-30, abs=2)


@pytest.mark.parametrize("model", ["stone24", "stone12"])
def test_the_timeline_of_music_that_changes_key(package: Path, model: str) -> None:
    rate = 22050
    parts = [
        cadence(Key.parse(key), rate, 24, seed=3) for key in ("C major", "A major", "F# minor")
    ]
    sounds = [np.concatenate(parts), parts[0], np.zeros(rate), parts[1][: 5 * rate]]
    sounds = [sound.astype(np.float32) for sound in sounds]
    program = """
    answer = [];
    for (const samples of arrays) {
      const found = await web.estimate(model, samples, { sampleRate: 22050, windows: true });
      answer.push(web.timeline(model, found));
    }
    """
    got = run_node(LOAD + program, package, *sounds, **loading(model))
    estimator = KeyEstimator(model, threads=1)
    for found, sound in zip(got, sounds, strict=True):
        want = key_timeline(sound, rate, estimator=estimator)
        assert found["keys"] == [str(label) for label in want.labels]
        assert found["times"] == pytest.approx(want.times, abs=1e-3)
        assert tuple(found["warnings"]) == want.notes
        pairs = zip(found["spans"], want.spans, strict=True)
        for ours, span in pairs:
            assert ours["key"] == str(span.label)
            places = (ours["start"], ours["end"])
            assert places == pytest.approx((span.start, span.end), abs=1e-3)
            assert ours["confidence"] == pytest.approx(span.confidence, abs=NEAR)
        for ours, change in zip(found["modulations"], want.modulations, strict=True):
            assert (ours["before"], ours["after"]) == (str(change.before), str(change.after))
            assert ours["time"] == pytest.approx(change.time, abs=1e-3)
            assert ours["confidence"] == pytest.approx(change.confidence, abs=NEAR)
    assert len(got[0]["spans"]) == (3 if model == "stone24" else 2)


def sounds_to_mix(rate: int) -> dict[str, np.ndarray]:
    """Channels (n, channels) of every kind that the mix tells apart."""
    rng = np.random.default_rng(2)
    music = cadence(Key.parse("G major"), rate, 5, seed=5).astype(np.float32)
    noise = (0.02 * rng.normal(size=len(music))).astype(np.float32)
    half = len(music) // 2
    turning = np.stack([music, np.concatenate([music[:half], -music[half:]])], axis=1)
    broken = np.stack([music, 0.5 * music], axis=1)
    broken[1000] = np.nan
    broken[2000, 1] = np.inf
    broken[3000, 0] = 1e35
    spiky = np.stack([0.01 * music, 0.01 * music], axis=1)
    spiky[[5000, 5001, 40000], [0, 0, 1]] = 100.0
    return {
        "mono": music[:, None],
        "stereo": np.stack([music, noise], axis=1),
        "out of phase": np.stack([music, -music], axis=1),
        "out of phase under noise": np.stack([music + noise, noise - music], axis=1),
        "out of phase later": turning,
        "four channels": np.stack([music, -music, noise, -0.3 * music], axis=1),
        "no sound": broken,
        "spikes": spiky,
        "short": np.stack([music[:777], -music[:777]], axis=1),
    }


def test_the_mix_of_channels(package: Path) -> None:
    rate = 44100
    sounds = sounds_to_mix(rate)
    program = """
    answer = counts.map((count, number) => {
      const all = arrays[number];
      const size = all.length / count;
      const channels = [...Array(count).keys()].map((c) => all.slice(c * size, (c + 1) * size));
      const { samples, warnings } = web.toRecording({ channels, sampleRate: 44100 });
      return { samples: [...samples], warnings };
    });
    """
    counts = [sound.shape[1] for sound in sounds.values()]
    flat = [np.ascontiguousarray(sound.T).ravel() for sound in sounds.values()]
    got = run_node(program, package, *flat, counts=counts)
    said = 0
    for (name, sound), found in zip(sounds.items(), got, strict=True):
        want, warnings = mix(sound, rate)
        peak = float(np.abs(want).max())
        ours = np.array(found["samples"])
        # Which way up is a matter of chance where the mean is 0.
        error = np.minimum(np.abs(ours - want), np.abs(ours + want))
        assert error.max() <= 1e-5 * peak, name
        assert len(found["warnings"]) == len(warnings), name
        for one, other in zip(found["warnings"], warnings, strict=True):
            assert one.split(":")[0].split("(")[0] == other.split(":")[0].split("(")[0]
        said += len(warnings)
    assert said >= 6


@pytest.mark.parametrize(
    ("source", "goal"),
    [(44100, 11025), (48000, 11025), (96000, 11025), (8000, 11025), (44100, 11025.5 * 1.017)],
)
def test_resampling_is_as_clean_as_soxr(package: Path, source: int, goal: float) -> None:
    import soxr

    rng = np.random.default_rng(3)
    time = np.arange(2 * source) / source
    edge = min(source, goal) / 2
    kept = [0.03 * edge, 0.31 * edge, 0.9 * edge]
    sounds = [np.sin(2 * np.pi * hz * time) for hz in kept]
    lost = [hz for hz in (1.02 * edge, 1.3 * edge, 2.1 * edge) if hz < source / 2]
    sounds += [np.sin(2 * np.pi * hz * time) for hz in lost]
    noise = rng.normal(0, 0.1, len(time)).astype(np.float32)
    got = run_node(
        "answer = arrays.map((x) => [...web.resample(x, source, goal)]);",
        package, *sounds, noise, source=source, goal=goal,
    )  # fmt: skip

    def decibels(error: np.ndarray, whole: np.ndarray) -> float:
        return float(10 * np.log10(np.mean(np.abs(error) ** 2) / np.mean(np.abs(whole) ** 2)))

    for hz, samples in zip(kept, got, strict=False):
        assert len(samples) == round(len(time) * goal / source)
        want = np.sin(2 * np.pi * hz * np.arange(len(samples)) / goal)
        inner = slice(500, -500)
        assert decibels(np.array(samples)[inner] - want[inner], want[inner]) < -110, hz
    for samples in got[len(kept) : len(kept) + len(lost)]:
        assert decibels(np.array(samples)[500:-500], np.array([0.5**0.5])) < -110
    # Of noise, what lies in the band of both.
    theirs = soxr.resample(noise, source, goal, quality="HQ")
    assert len(theirs) == len(got[-1])
    window = np.hanning(len(theirs))
    ours, theirs = (np.fft.rfft(window * np.array(x)) for x in (got[-1], theirs))
    band = slice(0, int(0.87 * min(1, source / goal) * len(ours)))
    assert decibels(ours[band] - theirs[band], theirs[band]) < -70


def test_what_is_no_model(package: Path, tmp_path: Path) -> None:
    from cli_tools import call

    call("export", "template", "--recording", "-o", tmp_path / "whole.onnx")
    files = {"whole.onnx": "answers whole recordings", "cut.onnx": "ONNX", "text.onnx": "ONNX"}
    (tmp_path / "cut.onnx").write_bytes(find_model("stone24").read_bytes()[:5000])
    (tmp_path / "text.onnx").write_text("{}")
    program = """
    answer = {};
    for (const path of paths) {
      answer[path] = await web.loadModel(readFileSync(path)).catch((e) => [e.name, e.message]);
    }
    """
    paths = [str(tmp_path / name) for name in files]
    got = run_node(program, package, paths=paths)
    for path, part in zip(paths, files.values(), strict=True):
        name, message = got[path]
        assert name == "ModelError"
        assert part in message


def test_an_estimate_can_be_cancelled_and_is_watched(package: Path) -> None:
    rate = 11025
    program = """
    const control = new AbortController();
    const shares = [];
    const onProgress = (share) => { shares.push(share); if (share >= 0.5) control.abort(); };
    answer = { shares };
    answer.stopped = await web
      .estimate(model, arrays[0], { signal: control.signal, onProgress })
      .catch((error) => error.name);
    const both = [1, 2].map(() => web.estimate(model, arrays[0]));
    answer.keys = (await Promise.all(both)).map((found) => found.key);
    answer.empty = await web
      .estimate(model, new Float32Array(0)).catch((error) => error.name);
    """
    sound = cadence(Key.parse("C major"), rate, 36)
    got: dict[str, Any] = run_node(LOAD + program, package, sound, **loading())
    assert got["shares"] == [0.25, 0.5]
    assert got["keys"] == ["C major"] * 2
    assert (got["stopped"], got["empty"]) == ("CancelledError", "EmptyAudioError")


def test_a_stream_is_answered_as_it_comes(package: Path) -> None:
    rate = 44100
    stream = np.concatenate(
        [
            detuned("C major", -30, 30, rate),
            detuned("F# major", -30, 30, rate),
            np.zeros(5 * rate),
            detuned("A minor", 45, 16, rate),
            0.1 * np.random.default_rng(0).normal(size=14 * rate),
        ]
    ).astype(np.float32)
    program = """
    const live = new web.Live(model, { sampleRate: 44100 });
    answer = [];
    for (let at = 0; at < arrays[0].length; at += 10007) {
      const found = await live.push(arrays[0].subarray(at, at + 10007));
      if (found) answer.push(found);
    }
    """
    got = run_node(LOAD + program, package, stream, **loading())
    wanted = LiveEstimator(KeyEstimator("stone24", threads=1), rate).push(stream)
    assert len(got) == len(wanted) == 47
    for found, want in zip(got, wanted, strict=True):
        assert (found["time"], found["since"]) == (want.time, want.since)
        estimate = want.estimate
        assert found["key"] == (estimate.label and str(estimate.label)), want.time
        assert found["confidence"] == pytest.approx(estimate.confidence, abs=NEAR)
        assert found["seconds"] == pytest.approx(estimate.duration)
        assert tuple(found["warnings"]) == estimate.warnings
        same = None if estimate.tuning is None else pytest.approx(estimate.tuning, abs=0.05)
        assert found["tuning"] == same
    assert {found["key"] for found in got} >= {"C major", "F# major", "A minor", None}
