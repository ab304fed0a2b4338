"""What somebody sees at first: no surprises, whatever the terminal, the folder or the mistake."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import ROOT, music, on_screen, run, run_alone

import stonekey
from stonekey.cli import version
from stonekey.files import cache_folder, sha256
from stonekey.model.published import PUBLISHED
from stonekey.model.registry import EMBEDDED

SETPRIV = shutil.which("setpriv")


def facts() -> dict[str, str]:
    done = run("--version", "--verbose")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.partition(":") for line in done.stdout.splitlines()]
    return {name: value.strip() for name, _, value in lines}


def test_the_version_for_bug_reports() -> None:
    import av
    import numpy
    import onnxruntime
    import soundfile

    told = facts()
    assert run("--verbose", "--version").stdout == run("--version", "--verbose").stdout
    assert told["stonekey"].startswith(stonekey.__version__)
    assert told["Python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert told["system"] == platform.platform()
    assert told["numpy"].startswith(numpy.__version__)
    assert told["onnxruntime"].startswith(onnxruntime.__version__)
    assert "CPUExecutionProvider" in told["onnxruntime"]
    assert told["soundfile"].endswith(f"(libsndfile {soundfile.__libsndfile_version__})")
    assert "libavcodec " + ".".join(map(str, av.library_versions["libavcodec"])) in told["av"]
    for model in EMBEDDED:
        assert told[model.name] == f"in the package, sha256 {sha256(model.path)[:12]}"
    assert {told[model.name] for model in PUBLISHED} == {"not fetched"}


def test_the_version_tells_of_models_in_the_cache() -> None:
    cache_folder().mkdir(parents=True)
    (cache_folder() / PUBLISHED[0].file).write_bytes(b"not it")
    (cache_folder() / PUBLISHED[1].file).mkdir()
    told = facts()
    assert re.fullmatch(
        r"fetched \d{4}-\d\d-\d\d, sha256 [0-9a-f]{12}, not the published file",
        told[PUBLISHED[0].name],
    )
    assert told[PUBLISHED[1].name] == "cannot be read: Is a directory"


def test_the_version_tells_nothing_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "jane"))
    monkeypatch.setenv("STONEKEY_HOME", str(tmp_path / "jane" / "models"))
    text = version.details()
    assert "jane" not in text
    assert facts()["cache folder"] == "~/models"


def test_a_broken_package_is_a_fact_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert "cannot be imported: ModuleNotFoundError" in facts()["soxr"]


@pytest.mark.parametrize(
    "environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["colour", "NO_COLOR", "dumb"]
)
def test_terminals(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    song = music(tmp_path / "song.wav", "A minor")
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    for command in ([], ["models"], [tmp_path], ["timeline", song], ["demo", "--seconds", "9"]):
        for columns in (80, 120):
            monkeypatch.setenv("COLUMNS", str(columns))
            shown = on_screen(*command)
            codes = set(re.findall(r"\x1b\[([0-9;]*)m", shown))
            colours = {code for code in codes if re.search(r"(^|;)[349]\d", code)}
            assert environment == {} or not colours, command
            assert environment != {} or codes or command[:1] == ["demo"], command
            if "TERM" in environment:
                assert "\x1b" not in shown, command
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            assert "…" not in plain
            lines = [part for line in plain.splitlines() for part in line.split("\r")]
            lines = [line for line in lines if not line.startswith("stonekey: ")]  # a message
            assert max(map(len, lines)) <= columns, command


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["empty"], 1, "no audio files in empty"),
        (["pictures"], 1, "no audio files in pictures"),
        (["pictures/a.png"], 1, "no sound in it|not readable as sound|holds no sound"),
        (["tag", "empty"], 1, "no audio files in empty"),
        (["scan", "empty", "-o", "keys.csv"], 1, "no audio files in empty"),
        (["compare", "empty"], 1, "no tracks in empty"),
        (["playlist", "empty"], 1, "no tracks in empty"),
        (["timeline", "empty"], 1, "empty: is a folder"),
        (["nothing"], 2, "'nothing' is not a command, file or folder"),
        (["tmieline", "x.wav"], 2, "did you mean 'timeline'"),
        (["demo", "--model", "skey"], 2, r"did you mean deezer/skey\?"),
        (["demo", "--model", "stone42"], 2, r"did you mean stone24\?"),
        (["demo", "--key", "Z"], 2, "'Z'"),
        (["empty", "--notatoin", "camelot"], 2, "No such option: --notatoin"),
    ],
)
def test_mistakes(
    command: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line or a few that say what is wrong, and no traceback."""
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    done = run(*command)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert re.search(words, said), said
    assert "Traceback" not in said
    assert len(done.stderr.splitlines()) <= 4


@pytest.mark.skipif(SETPRIV is None, reason="setpriv, to give up root's powers")
def test_without_permission(tmp_path: Path) -> None:
    """The file that cannot be written is named, not one that stands for it."""
    song = music(tmp_path / "song.wav", "A minor", 4.0)
    shut = tmp_path / "shut"
    shut.mkdir()
    shut.chmod(0)
    tmp_path.chmod(0o555)
    powers = "-dac_override,-dac_read_search"
    try:
        for command, name in (
            (["demo", "-o", "x.wav", "--seconds", "4"], "x.wav"),
            ([song, "-o", "x.csv"], "x.csv"),
            (["scan", song, "-o", "x.csv", "-j", "1"], str(tmp_path / "x.csv")),
            (["export", "stone24", "-o", "x.onnx"], "x.onnx"),
        ):
            done = subprocess.run(
                [SETPRIV, f"--bounding-set={powers}", f"--inh-caps={powers}",
                 sys.executable, "-m", "stonekey", *command],
                cwd=tmp_path, capture_output=True, encoding="utf-8",
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            )  # fmt: skip
            assert done.stderr.splitlines() == [f"stonekey: {name}: Permission denied"]
            assert done.returncode == 2
    finally:
        tmp_path.chmod(0o755)
        shut.chmod(0o755)


def test_the_short_version_stays_one_line() -> None:
    assert run_alone("--version").stdout == f"stonekey {stonekey.__version__}\n"
    assert run("--verbose", "models").returncode == 2
