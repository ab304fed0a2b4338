"""stonekey-web in Chromium: decoding and estimates of files, in workers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cli_tools import ROOT
from js_tools import served
from sound_formats import NoEncoderError, encode

from stonekey import KeyEstimator
from stonekey.keys import Key
from stonekey.model.registry import find_model
from stonekey.synthesis import cadence

ESTIMATE = """async ([name, options]) => {
  const stages = [];
  const onProgress = (stage, share) => stages.push([stage, share]);
  try {
    const found = await estimator.estimate(await file(name), { ...options, onProgress });
    found.waveform = [...found.waveform];
    return { ...found, segments: found.segments.length, windows: found.windows.length, stages };
  } catch (error) {
    return { error: error.name, message: error.message };
  }
}"""
# Formats that browsers read or that are read here, with the file's rate.
READ = {
    "cbr.mp3": ("-c:a libmp3lame -b:a 128k", 44100),
    "half.mp3": ("-c:a libmp3lame -ar 22050 -b:a 64k", 22050),
    "tagged.mp3": ("-c:a libmp3lame -ar 48000 -b:a 128k -metadata title=x -id3v2_version 3", 48000),
    "plain.flac": ("-c:a flac -ar 96000", 96000),
    "vorbis.ogg": ("-c:a libvorbis -ar 32000", 32000),
    "plain.opus": ("-c:a libopus", 48000),
    "opus.webm": ("-c:a libopus", 48000),
    "vorbis.webm": ("-c:a libvorbis -ar 44100", 44100),
    "aac.m4a": ("-c:a aac -ar 32000", 32000),
    "aac.aac": ("-c:a aac -ar 48000 -f adts", 48000),
    "mulaw.wav": ("-c:a pcm_mulaw -ar 16000", 16000),
    "rf64.wav": ("-c:a pcm_s24le -rf64 always", 44100),
    "float.wav": ("-c:a pcm_f64le", 44100),
    "plain.aiff": ("-c:a pcm_s24be", 44100),
    "little.aifc": ("-c:a pcm_s16le -f aiff", 44100),
}
UNREAD = {
    "v2.wma": ("-c:a wmav2", "WMA"),
    "plain.wv": ("-c:a wavpack", "WavPack"),
    "plain.tta": ("-c:a tta", "TTA"),
}


@pytest.fixture(scope="module")
def music(files: Path) -> Path:
    path = files / "music.wav"
    samples = 0.5 * cadence(Key.parse("F# minor"), 44100, 20, seed=2)
    soundfile.write(path, np.stack([samples, samples], axis=1), 44100)
    return path


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs ffmpeg, which is not on this machine")
    return program


def estimated(page: Any, name: str, **options: Any) -> dict[str, Any]:
    found = page.evaluate(ESTIMATE, [name, options])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", READ)
def test_formats(page: Any, files: Path, music: Path, ffmpeg: str, name: str) -> None:
    options, rate = READ[name]
    try:
        encode(ffmpeg, files / name, ["-i", str(music)], options)
    except NoEncoderError as error:
        pytest.skip(str(error))
    found = estimated(page, name)
    assert found.get("key") == "F# minor", found
    assert found["sourceRate"] == rate
    assert found["channels"] == 2
    assert found["seconds"] == pytest.approx(20, abs=0.15)
    assert found["tuning"] == pytest.approx(0, abs=2)


@pytest.mark.parametrize("name", UNREAD)
def test_formats_that_no_browser_reads(
    page: Any, files: Path, music: Path, ffmpeg: str, name: str
) -> None:
    options, kind = UNREAD[name]
    encode(ffmpeg, files / name, ["-i", str(music)], options)
    want = {"error": "UnsupportedFormatError", "message": f"this browser cannot decode {kind}"}
    assert estimated(page, name) == want


def test_files_that_cannot_be_heard(page: Any, files: Path, music: Path) -> None:
    (files / "empty.mp3").write_bytes(b"")
    (files / "text.mp3").write_text("not music\n" * 1000)
    (files / "damaged.flac").write_bytes(b"fLaC" + music.read_bytes()[:5000])
    (files / "headless.wav").write_bytes(music.read_bytes()[:12])
    soundfile.write(files / "nothing.wav", np.zeros((0, 1)), 44100)
    want = {
        "empty.mp3": "EmptyAudioError",
        "text.mp3": "UnsupportedFormatError",
        "damaged.flac": "DamagedAudioError",
        "headless.wav": "DamagedAudioError",
        "nothing.wav": "EmptyAudioError",
    }
    assert {name: estimated(page, name).get("error") for name in want} == want
    long = estimated(page, "music.wav", maxSeconds=10)
    assert long["error"] == "TooLongError"
    soundfile.write(files / "silence.wav", np.zeros(44100), 44100)
    silence = estimated(page, "silence.wav", timeline=True)
    assert (silence["key"], silence["confidence"]) == (None, 0)
    assert silence["warnings"] == ["silence"]
    assert silence["timeline"]["spans"] == []


def test_all_about_a_recording(page: Any, music: Path) -> None:
    found = estimated(page, "music.wav", timeline=True, points=200)
    samples, rate = soundfile.read(music, dtype="float32")
    want = KeyEstimator("stone24", threads=1)(samples, rate)
    assert found["key"] == str(want.key)
    assert found["probabilities"] == pytest.approx([*want.probabilities.values()], abs=1e-3)
    assert [span["key"] for span in found["timeline"]["spans"]] == ["F# minor"]
    assert found["segments"] == 3
    assert found["windows"] == 7
    parts = np.array_split(samples.mean(axis=1), 200)
    ends = np.array([[part.min(), part.max()] for part in parts]).ravel()
    assert found["waveform"] == pytest.approx(ends, abs=1e-6)
    shares = [share for stage, share in found["stages"] if stage == "estimate"]
    assert found["stages"][:2] == [["decode", 0], ["decode", 1]]
    assert shares == pytest.approx([(i + 1) / 10 for i in range(10)])


def test_answers_do_not_depend_on_threads(page: Any, music: Path) -> None:
    same = page.evaluate(
        """async () => {
          const found = [];
          for (const threads of [1, 4]) {
            const urls = { workerUrl: "/worker.js", modelUrl: "/model.onnx" };
            const one = web.createEstimator({ ...urls, threads });
            const files = await Promise.all([1, 2, 3, 4, 5].map(() => file("music.wav")));
            const answers = await Promise.all(files.map((blob) => one.estimate(blob)));
            found.push(...answers.map((answer) => JSON.stringify(answer)));
            one.close();
          }
          return [new Set(found).size, found.length];
        }"""
    )
    assert same == [1, 10]


def test_cancelling(page: Any, music: Path) -> None:
    got = page.evaluate(
        """async () => {
          const blob = await file("music.wav");
          const found = {};
          const ask = (signal, onProgress) => estimator
            .estimate(blob, { signal, onProgress, timeline: true })
            .then(() => "answered", (error) => error.name);
          found.before = await ask(AbortSignal.abort());
          let control = new AbortController();
          found.within = await ask(control.signal, (stage, share) => {
            if (stage === "estimate") control.abort();
          });
          control = new AbortController();
          const many = [...Array(8).keys()].map((i) => ask(i === 5 ? control.signal : undefined));
          control.abort();
          found.waiting = await Promise.all(many);
          const other = web.createEstimator({ workerUrl: "/worker.js", modelUrl: "/model.onnx" });
          const left = other.estimate(blob).then(() => "answered", (error) => error.name);
          other.close();
          found.closed = await left;
          const live = new web.Live(other, { sampleRate: 44100 });
          found.stream = await live.push(new Float32Array(9)).catch((error) => error.name);
          return found;
        }"""
    )
    waiting = ["answered"] * 8
    waiting[5] = "CancelledError"
    assert got == {
        "before": "CancelledError",
        "within": "CancelledError",
        "waiting": waiting,
        "closed": "CancelledError",
        "stream": "CancelledError",
    }


def test_a_stream_in_a_worker(page: Any) -> None:
    samples = cadence(Key.parse("F# minor"), 44100, 10, seed=2)
    got = page.evaluate(
        """async (samples) => {
          const live = new web.Live(estimator, { sampleRate: 44100, every: 4 });
          const pushed = [];
          for (let at = 0; at < samples.length; at += 4096) {
            pushed.push(live.push(Float32Array.from(samples.slice(at, at + 4096))));
          }
          const found = (await Promise.all(pushed)).filter((answer) => answer);
          const wrong = new web.Live(estimator, { sampleRate: 44100, every: 99 });
          const error = await wrong.push(new Float32Array(9)).catch((error) => error.message);
          return [found.map(({ time, key }) => [Math.round(time), key]), error];
        }""",
        samples.tolist(),
    )
    assert got == [
        [[4, "F# minor"], [8, "F# minor"]],
        "an answer every 1 to 8 s is possible, not 99",
    ]


def test_a_model_or_worker_that_is_missing(page: Any) -> None:
    got = page.evaluate(
        """async () => {
          const found = [];
          for (const urls of [
            { workerUrl: "/worker.js", modelUrl: "/missing.onnx" },
            { workerUrl: "/missing.js", modelUrl: "/model.onnx" },
          ]) {
            const one = web.createEstimator(urls);
            found.push(await one.ready.catch((error) => [error.name, error.message]));
            found.push(await one.estimate(await file("music.wav")).catch((error) => error.name));
            one.close();
          }
          return found;
        }"""
    )
    assert [got[1], got[3]] == ["ModelError", "ModelError"]
    assert got[0][0] == got[2][0] == "ModelError"
    assert "missing.onnx: 404" in got[0][1]
    assert "missing.js" in got[2][1]


def test_the_program_of_the_docs(
    page: Any, files: Path, music: Path, package: Path, tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "apps.md").read_text()
    (program,) = re.findall(r"```html\n(.*?)```", text, re.DOTALL)
    (tmp_path / "app.html").write_text("<!doctype html>" + program)
    shutil.copy(find_model("stone24"), tmp_path)
    (tmp_path / "text.mp3").write_text("not music\n" * 1000)
    with served({"": tmp_path, "stonekey-web": package}) as address:
        app = page.context.browser.new_page()
        app.goto(f"{address}app.html")
        app.set_input_files("input", [music, tmp_path / "text.mp3"])
        lines = app.locator("li").filter(has_text=":")
        lines.nth(1).wait_for()
        first, second = lines.all_inner_texts()
        app.close()
    assert re.fullmatch(r"music\.wav: 11A, 0\.9\d|music\.wav: 11A, 1\.00", first)
    assert second == "text.mp3: this browser cannot decode this kind of file"


@pytest.mark.slow
def test_recordings(page: Any, files: Path, shared: Path) -> None:
    """The keys of the command line, but for at most one in a hundred."""
    estimator = KeyEstimator("stone24")
    different = []
    paths = sorted((shared / "audio" / "dev").rglob("*.opus"))
    for path in paths:
        (files / "recording.opus").write_bytes(path.read_bytes())
        found = estimated(page, "recording.opus")
        want = estimator(path)
        if found.get("key") != (want.label and str(want.label)):
            different.append((path.name, found.get("key"), str(want), want.confidence))
    assert len(paths) > 50
    assert len(different) <= len(paths) // 100, different
