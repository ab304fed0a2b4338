"""Every command and every block of Python in the pages runs, as it is written, in order.

Each page has a folder of its own with the files that it names. What cannot run here is listed
with the reason, and an entry that is no longer needed fails.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_tools import ROOT, call, music
from doc_pages import PAGES, Block, blocks
from library_files import rekordbox, traktor

from stonekey.model.registry import find_model

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

# Pages short enough for every run of the tests; the others take longer.
QUICK = {"README.md", "docs/README.md"} | {
    f"docs/{page}.md"
    for page in (
        "keys", "python", "live", "mixing", "playlists", "plots", "shell", "speed", "timeline",
        "tuning",
    )
}  # fmt: skip
# Lines that match are not run, for the reason given.
NOT_RUN = {
    r"^(python3 -m venv|\. \.venv/bin/activate|pip install)": "set-up; .ci/run does it",
    r"deezer/": "downloads a published model",
    r"^(torchrun|srun|#SBATCH)": "needs a cluster; tests/training starts several processes",
    r"s3://|--engine ray|^stonekey scan /music": "needs a cluster; tests/library has one",
    r"/data/shards": "a folder of a cluster; tests/data makes shards",
    r"^beet ": "tests/tags/test_beets.py runs beets with this configuration",
    r"^curl ": "needs the network",
    r"^python benchmarks/": "a benchmark, which takes minutes",
    r"^stonekey train .*(-n (mine|large|small|own|own2|semi1|sup1)) ": (
        "hours; tests/training/test_training_docs.py runs them with a tiny network"
    ),
    r"runs/models/ks/7/mine/best$": "the model of the line above",
    r"^stonekey data render ": "needs FluidSynth; tests/data/test_render.py has it",
    r"^(docker|podman) ": "needs Docker; .ci/images tries the images",
    r"^stonekey listen( --|$)": "needs a microphone; tests/cli/test_listen.py has one of its own",
    r"^stonekey serve|127\.0\.0\.1": "does not end, or needs a server",
    r"^python page/build": "needs Node and npm; tests/page builds it",
    r"completion (zsh|fish)": "another shell; tests/cli/test_completion.py tries those there are",
}
# Pages with tests of their own, which run every block.
RUN_ELSEWHERE = {
    "docs/apps.md": "tests/estimate/test_recording_graph.py",  # without this package
    "docs/server.md": "tests/server/test_server_docs.py",  # against a server
}
NEEDED = ("matplotlib", "pyarrow", "torch", "lightning_fabric", "gin", "tensorboard")  # extras
# Blocks of Python that belong to files of a training, which these tests make and run.
FILES_OF_TRAINING = {"docs/training.md", "docs/extending.md"}
# What a page leaves to its reader: names and their values.
GIVEN = {"docs/live.md": {"blocks": [np.zeros(44100, np.float32)] * 12}}
# Languages of blocks that nobody runs here, and why.
DATA = {
    **dict.fromkeys(("bibtex", "data", "json", "text", "yaml"), "not a program"),
    **dict.fromkeys(("html", "js", "ts"), "tests/js runs the package for browsers"),
    **dict.fromkeys(("cpp", "swift"), "needs ONNX Runtime's library for that language"),
    "nginx": "needs a proxy",
    "powershell": "needs PowerShell",
}
# A broken file is part of that page.
EXIT_CODES = {"stonekey scan catalogue/": 1, "stonekey compare catalogue/": 1}


def reason(line: str) -> str | None:
    line = re.sub(r"\s+# .*", "", line)
    return next((why for what, why in NOT_RUN.items() if re.search(what, line)), None)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the pages name."""
    desk = tmp_path_factory.mktemp("desk")
    first = music(desk / "song.wav", "Eb major", 12)
    for name in ("song.mp3", "song.flac", "sonata.wav", "one.mp3", "two.mp3"):
        if name.endswith(".wav"):
            shutil.copy(first, desk / name)
        else:
            music(desk / name, "Eb major", 12)
    for folder in ("music", "album", "Music", "dj"):
        (desk / folder).mkdir()
        for name, key in (("song", "A minor"), ("other", "E minor")):
            music(desk / folder / f"{name}.wav", key, 12)
    (desk / "labels.csv").write_text(
        "path,key\nmusic/song.wav,A minor\nmusic/other.wav,E minor\nsong.wav,Eb major\n"
    )
    (desk / "tracks.csv").write_text((desk / "labels.csv").read_text())
    for playlist in ("set.m3u8", "set.m3u"):
        (desk / playlist).write_text("song.mp3\nmusic/other.wav\n")
    shutil.copy(find_model("stone12").with_suffix(".safetensors"), desk / "model.safetensors")
    shutil.copy(find_model("template"), desk / "best.onnx")
    return desk


@pytest.fixture
def desk(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``files``, which is the working folder and the home."""
    desk = tmp_path / "desk"
    shutil.copytree(files, desk)
    for name in ("config", "recipes", "benchmarks"):
        (desk / name).symlink_to(ROOT / name)
    rekordbox(desk / "rekordbox.xml", [{"Location": (desk / "song.mp3").as_uri()}])
    folder = str(desk / "Music").replace("/", "/:") + "/:"
    traktor(desk / "collection.nml", [{"DIR": folder, "FILE": "song.wav", "VOLUME": "SSD"}])
    assert call("scan", desk, "-o", desk / "keys.csv", "--workers", "1", "--no-progress") == 0
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, words in (("stonekey", "-W error -m stonekey"), ("python", "")):
        (shims / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (shims / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(shims), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("HOME", str(desk))
    monkeypatch.chdir(desk)
    return desk


PAGES_THAT_RUN = [
    pytest.param(page, marks=() if page in QUICK else pytest.mark.slow)
    for page in PAGES
    if page not in RUN_ELSEWHERE
    and any(block.language in ("sh", "python") for block in blocks(page))
]


@pytest.mark.parametrize("page", PAGES_THAT_RUN)
def test_the_page_runs(page: str, desk: Path) -> None:
    if page.startswith("docs/tutorials/"):  # these make what they need
        for path in desk.iterdir():
            if path.name not in ("config", "recipes", "benchmarks", "Music"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for module in NEEDED:
        pytest.importorskip(module)
    if any("ffmpeg " in b.text for b in blocks(page)) and shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    names: dict[str, object] = {"__name__": "__main__", **GIVEN.get(page, {})}
    for block in blocks(page):
        if block.language == "sh":
            for line in block.lines:
                if reason(line) is None:
                    run(line, desk)
        elif block.language == "python" and page not in FILES_OF_TRAINING:
            exec(compile(block.text, page, "exec"), names)


def run(line: str, desk: Path) -> None:
    wanted = next((c for start, c in EXIT_CODES.items() if line.startswith(start)), 0)
    words = [os.path.expanduser(word) for word in shlex.split(line, comments=True)]
    if words[0] == "stonekey" and not {">", "|", "&&"} & set(words):  # in this process, quickly
        assert call(*words[1:]) == wanted, line
        return
    done = subprocess.run(
        ["bash", "-c", line], cwd=desk, capture_output=True, text=True, timeout=600,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == wanted, (line, done.stderr[-2000:])


def test_every_block_is_run_or_known() -> None:
    everything: list[Block] = [block for page in PAGES for block in blocks(page)]
    assert {block.language for block in everything} <= {"sh", "python", *DATA}
    lines = [line for block in everything if block.language == "sh" for line in block.lines]
    for what, why in NOT_RUN.items():
        assert any(re.search(what, line) for line in lines), (what, why)
    for page, test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text("utf-8")
    assert sum(reason(line) is None for line in lines) > 100
