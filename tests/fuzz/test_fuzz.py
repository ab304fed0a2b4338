"""A few hundred inputs of the fuzz tool; ``python tests/fuzz/run.py --help`` runs any number."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from seeds import make_seeds

RUN = Path(__file__).with_name("run.py")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *arguments], capture_output=True, encoding="utf-8", timeout=600
    )


def test_a_few_hundred_inputs() -> None:
    done = run("--count", "300", "--seed", "13")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {name: int(count) for count, name in re.findall(r"^ *(\d+)  (.+)$", done.stdout, re.M)}
    assert next(n for name, n in counts.items() if name.startswith("inputs")) == 300
    told = {name.split()[0] for name in counts}
    assert {"audio", "tags", "model", "header", "playlist", "results", "manifest"} <= told
    # Neither is everything refused nor does every change go unseen.
    assert 0.1 < sum(n for name, n in counts.items() if name.endswith("result")) / 300 < 0.9


def test_inputs_are_the_same_each_time(tmp_path: Path) -> None:
    kinds = ("audio", "tags", "results", "playlist", "manifest")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert make_seeds(first, kinds) == make_seeds(second, kinds)


def test_what_is_wrong_is_found_and_named(tmp_path: Path) -> None:
    """A crash, a hang, an undocumented error and too much memory, each at its input."""
    fake = tmp_path / "targets.py"
    fake.write_text(
        "import os, signal, time\n"
        "count = iter(range(100))\n"
        "def target(path):\n"
        "    number = int(os.environ['FUZZ_WRONG'])\n"
        "    if next(count) != 2: return\n"
        "    if number == 0: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if number == 1: raise KeyError('what')\n"
        "    if number == 2: held = bytearray(1_200_000_000); held[::4096] = held[::4096]; return\n"
        "    if number == 3: time.sleep(100)\n"
        "TARGETS = {'playlist': (target, ())}\n"
    )
    program = tmp_path / "run_with_fakes.py"
    program.write_text(
        f"import os, sys; sys.path[:0] = [{str(tmp_path)!r}, {str(RUN.parent)!r}]\n"
        f"import run; run.__file__ = {str(program)!r}\n"
        "run.HANG_SECONDS = 3.0 if os.environ['FUZZ_WRONG'] == '3' else 60.0\n"
        "sys.exit(run.main())\n"
    )
    for number, expected in enumerate(("CRASH SIGSEGV", "EXCEPTION", "MEMORY", "HANG")):
        done = subprocess.run(
            [sys.executable, str(program), "--count", "5", "--kinds", "playlist"],
            capture_output=True, encoding="utf-8", timeout=200,
            env={**os.environ, "FUZZ_WRONG": str(number)},
        )  # fmt: skip
        assert done.returncode == 1, done.stdout + done.stderr
        assert re.search(rf"^2: \S+ {expected}", done.stdout, re.M), done.stdout
        assert re.search(r"^ *5  inputs", done.stdout, re.M), done.stdout
