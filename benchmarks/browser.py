"""Time stonekey-web in headless Chromium: ``python benchmarks/browser.py [--folder F] [--runs N]``.

A piece of 180 s is synthesised and encoded by ffmpeg as a stereo MP3 at 44.1 kHz. Prints the bytes
that a page loads, plain and compressed by gzip; and in milliseconds, as medians of wall-clock time
with the range: from a call to the answer on a page that has just been opened, and from then on the
decoding, the rest, and all with the timeline.

With ``--folder``, also hears every audio file in it in the browser and with the package, and
prints how many keys are the same, and how far the confidences are apart.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from js_tools import missing_browser, missing_tools, opened, served, web_folder
from sound_formats import encode

from stonekey import KeyEstimator
from stonekey.audio import find_audio_files
from stonekey.keys import Key
from stonekey.synthesis import piece, write_wav

SECONDS = 180
HEAR = """async ([name, timeline]) => {
  const start = performance.now();
  window.estimator ??= web.createEstimator({ workerUrl: "/worker.js", modelUrl: "/model.onnx" });
  const blob = await (await fetch(name)).blob();
  let decoded = 0;
  const onProgress = (stage, share) => {
    if (stage === "decode" && share) decoded = performance.now() - start;
  };
  const { key, confidence } = await estimator.estimate(blob, { timeline, onProgress });
  return { key, confidence, decoded, all: performance.now() - start };
}"""


def times(name: str, values: list[float]) -> None:
    print(f"{name:28} {statistics.median(values):6.0f} ms ({min(values):.0f} to {max(values):.0f})")


def compare(folder: Path, page: Any) -> None:
    estimator = KeyEstimator("stone24")
    same = count = 0
    apart = []
    for path in find_audio_files(folder):
        try:
            want = estimator(path)
            address = f"/files/{path.relative_to(folder).as_posix()}"
            found = page.evaluate(HEAR, [address, False])
        except Exception as error:  # of either
            print(f"{path.name}: {str(error).splitlines()[0]}")
            continue
        count += 1
        same += found["key"] == (want.label and str(want.label))
        apart.append(abs(found["confidence"] - want.confidence))
        if found["key"] != (want.label and str(want.label)):
            print(f"{path.name}: {found['key']}, not {want} ({want.confidence:.2f})")
    print(f"the same key for {same} of {count} files in {folder}")
    print("confidences apart: median {:.4f}, 95 % {:.4f}, most {:.4f}".format(
        *np.quantile(apart, [0.5, 0.95, 1])))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if missing := missing_tools() or missing_browser():
        parser.error(missing)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        site = Path(place) / "site"
        site.mkdir()
        web_folder(site)
        write_wav(site / "music.wav", piece(Key.parse("A minor"), SECONDS, 44100), 44100)
        encode("ffmpeg", site / "music.mp3", ["-i", str(site / "music.wav")],
               "-ac 2 -c:a libmp3lame -b:a 192k")  # fmt: skip
        for name in ("worker.js", "ort-wasm-simd-threaded.wasm", "model.onnx"):
            data = (site / name).read_bytes()
            print(f"{name:28} {len(data):9} bytes, {len(gzip.compress(data))} compressed")
        first, decoded, rest, more = [], [], [], []
        with served({"": site, "files": options.folder or site}) as address:
            for _ in range(options.runs):
                with opened(playwright, address) as page:
                    page.wait_for_function("window.web")
                    first.append(page.evaluate(HEAR, ["/music.mp3", False])["all"])
                    again = page.evaluate(HEAR, ["/music.mp3", False])
                    decoded.append(again["decoded"])
                    rest.append(again["all"] - again["decoded"])
                    more.append(page.evaluate(HEAR, ["/music.mp3", True])["all"])
            times("first answer", first)
            times("then: decoding", decoded)
            times("mix, tuning, rate, network", rest)
            times("all, with the timeline", more)
            if options.folder:
                with opened(playwright, address) as page:
                    page.wait_for_function("window.web")
                    compare(options.folder, page)


if __name__ == "__main__":
    main()
