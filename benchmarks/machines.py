"""Whether other processors give the same answers: this one, made to use fewer instructions.

``python benchmarks/machines.py [--model M ...] [--manifest F] [--count N] [--emulate] [--run CMD]``

Without a manifest the music is N synthesised pieces over a noise floor 40 dB below them, and the
same without one. Every machine is a process of its own. With the torch backend "avx2" and "sse" are
asked of its libraries by environment variables. ONNX Runtime heeds none: ``--emulate`` adds
qemu-x86_64 (package qemu-user) as a Haswell (AVX2) and as a Nehalem (SSE4.2), whole programs at a
hundredth of the speed, so take few recordings. ``--run CMD`` adds a machine that CMD starts, say an
emulator of your own.

Printed for each machine: recordings whose answer differs from this machine's, the largest and the
99th percentile of the differences of probabilities.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

Machine = tuple[list[str], dict[str, str]]  # a command in front, additions to the environment
RATE = 22050
TORCH = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "sse": {
        "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}  # fmt: skip
EMULATED = {name: f"qemu-x86_64 -cpu {name}" for name in ("Haswell", "Nehalem")}


def music(manifest: Path | None, count: int) -> Iterator[tuple[str, object]]:
    """What an estimator takes, by kind."""
    if manifest is not None:
        from stonekey.data.manifest import read_manifest

        for track in read_manifest(manifest).usable[:count]:
            assert track.path is not None
            yield "recordings", track.path
        return
    from stonekey.keys import Key
    from stonekey.synthesis import piece

    for seed in range(count):
        audio = piece(Key.from_index(seed % 24), 20.0, seed=seed)
        noise = np.random.default_rng(seed).standard_normal(len(audio))
        yield "with a noise floor", ((audio + 0.01 * noise).astype(np.float32), RATE)
        yield "without", (audio, RATE)


def answer(model: str, backend: str, manifest: Path | None, count: int, target: Path) -> None:
    """Probabilities of every piece, (pieces, classes), and the kinds; NaN where there is no key."""
    from stonekey import KeyEstimator

    estimator = KeyEstimator(model, threads=1, backend=backend)  # type: ignore[arg-type]
    kinds, rows, labels = [], [], []
    for kind, given in music(manifest, count):
        found = estimator(*given) if isinstance(given, tuple) else estimator(given)
        kinds.append(kind)
        labels.append(str(found.label))
        rows.append([*found.probabilities.values()] or [np.nan] * len(estimator.class_table))
    np.savez(target, kinds=kinds, rows=rows, labels=labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", nargs="+", default=["stone24"])
    parser.add_argument("--backend", nargs="+", default=["onnx", "torch"])
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--emulate", action="store_true")
    parser.add_argument("--run", default=[], action="append", metavar="CMD")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.answer:
        answer(args.model[0], args.backend[0], args.manifest, args.count, args.answer)
        return
    others: dict[str, Machine] = {command: (shlex.split(command), {}) for command in args.run}
    if args.emulate:
        others |= {name: (shlex.split(command), {}) for name, command in EMULATED.items()}
    print(
        "model, backend, machine, music: N, other answers, largest and 99th percentile difference"
    )
    for model in args.model:
        for backend in args.backend:
            machines: dict[str, Machine] = {"this one": ([], {})}
            if backend == "torch":
                machines |= {name: ([], more) for name, more in TORCH.items()}
            compare(model, backend, machines | others, args.manifest, args.count)


def compare(
    model: str,
    backend: str,
    machines: dict[str, Machine],
    manifest: Path | None,
    count: int,
) -> None:
    """Run every machine and print how far it is from the first."""
    given = ["--model", model, "--backend", backend, "--count", str(count)]
    if manifest is not None:
        given += ["--manifest", str(manifest)]
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for name, (prefix, more) in machines.items():
            target = Path(folder, "answers.npz")
            subprocess.run(
                [*prefix, sys.executable, __file__, *given, "--answer", str(target)],
                env={**os.environ, "OMP_NUM_THREADS": "1", **more},
                check=True,
            )
            with np.load(target) as stored:
                found = dict(stored)
            first = first or found
            for kind in dict.fromkeys(found["kinds"]):
                here = found["kinds"] == kind
                apart = np.abs(found["rows"] - first["rows"])[here].max(axis=1)
                other = (found["labels"] != first["labels"])[here].sum()
                apart = np.nan_to_num(apart)
                print(
                    f"{model}, {backend}, {name}, {kind}: {here.sum()}, {other}, "
                    f"{apart.max():.1e}, {np.percentile(apart, 99):.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
