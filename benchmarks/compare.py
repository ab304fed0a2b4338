"""Compare speed and answers with other tools.

``python benchmarks/compare.py [NAME=PYTHON ...] FILE ...``

NAME is essentia, librosa or madmom, and PYTHON the interpreter of an environment that has it, so
that each tool can have an environment of its own. Without any, it uses those that this interpreter
can import. Each tool loads once, in its own process; then the tools take turns on the same files.
Prints the median processor time on one thread, including decoding.

librosa has no key estimator, so its chroma (``chroma_cqt``) is correlated with the
Krumhansl-Kessler profiles here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TOOLS = ("stonekey", "stonekey-fast", "essentia", "librosa", "madmom")
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


def stonekey(model: str, fast: bool) -> Callable[[str], str]:
    from stonekey import KeyEstimator

    estimator = KeyEstimator(model, threads=1, fast=fast)
    return lambda file: str(estimator(file))


def essentia() -> Callable[[str], str]:
    import essentia.standard as es

    def answer(file: str) -> str:
        audio = es.MonoLoader(filename=file, sampleRate=44100)()
        tonic, mode, _ = es.KeyExtractor()(audio)
        return f"{tonic} {mode}"

    return answer


def librosa() -> Callable[[str], str]:
    import librosa
    import numpy as np

    def answer(file: str) -> str:
        audio, rate = librosa.load(file, sr=22050)
        chroma = librosa.feature.chroma_cqt(y=audio, sr=rate).mean(axis=1)
        fits = [
            (np.corrcoef(np.roll(profile, tonic), chroma)[0, 1], f"{TONICS[tonic]} {mode}")
            for profile, mode in ((MAJOR, "major"), (MINOR, "minor"))
            for tonic in range(12)
        ]
        return max(fits)[1]

    return answer


def madmom() -> Callable[[str], str]:
    from madmom.features.key import CNNKeyRecognitionProcessor, key_prediction_to_label

    processor = CNNKeyRecognitionProcessor()
    return lambda file: str(key_prediction_to_label(processor(file)))


def serve(tool: str, model: str) -> None:
    """Answer each file name on standard input with a JSON line: processor time and key."""
    makers = {
        "stonekey": lambda: stonekey(model, False),
        "stonekey-fast": lambda: stonekey(model, True),
        "essentia": essentia,
        "librosa": librosa,
        "madmom": madmom,
    }
    answer = makers[tool]()
    for line in sys.stdin:
        file = line.rstrip("\n")
        start = time.process_time()
        key = answer(file)
        print(json.dumps([time.process_time() - start, key]), flush=True)


class Tool:
    """A tool's process."""

    def __init__(self, name: str, python: str, model: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE",
                       "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # fmt: skip
        self.name = name
        self.times: list[float] = []
        self._process = subprocess.Popen(
            [python, __file__, "--serve", name, "--model", model],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def __call__(self, file: str) -> tuple[float, str]:
        """Seconds of processor time and the key."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(file + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        while line and not line.startswith("["):
            line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} gave no answer")
        seconds, key = json.loads(line)
        return seconds, key

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("arguments", nargs="*", metavar="NAME=PYTHON|FILE")
    parser.add_argument("--model", default="template", help="stonekey's model (template)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each file (3)")
    parser.add_argument("--serve", choices=TOOLS, help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args()
    if options.serve:
        serve(options.serve, options.model)
        return
    given = [a.split("=", 1) for a in options.arguments if a.split("=", 1)[0] in TOOLS and "=" in a]
    pythons = {"stonekey": sys.executable, "stonekey-fast": sys.executable}
    pythons.update((name, python) for name, python in given)
    if not given:
        found = (n for n in ("essentia", "librosa", "madmom") if importlib.util.find_spec(n))
        pythons.update((name, sys.executable) for name in found)
    files = [a for a in options.arguments if a.split("=", 1)[0] not in TOOLS]
    if not files:
        parser.error("no files given")
    tools = [Tool(name, python, options.model) for name, python in pythons.items()]
    for file in files:
        answers = []
        times: dict[str, list[float]] = {tool.name: [] for tool in tools}
        for turn in range(options.rounds + 1):
            for tool in tools:
                seconds, key = tool(str(Path(file).resolve()))
                if turn:  # the first warms up
                    times[tool.name].append(seconds)
                else:
                    answers.append(key)
        ours = statistics.median(times["stonekey"])
        print(Path(file).name)
        for tool, key in zip(tools, answers, strict=True):
            median = statistics.median(times[tool.name])
            print(f"  {tool.name:14}{1000 * median:9.0f} ms {median / ours:7.2f} x  {key}")
    for tool in tools:
        tool.close()


if __name__ == "__main__":
    main()
