"""The beets plugin, on a real beets library."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import ROOT, music

from stonekey.keys import Key
from stonekey.synthesis import write_wav
from stonekey.tags import read_key

pytest.importorskip("beets", reason="needs the beets extra")

import beets
import numpy as np
from beets.library import Item, Library
from beets.ui import UserError

from beetsplug.stonekey import StonekeyPlugin


@pytest.fixture(scope="module", autouse=True)
def defaults() -> None:
    """Ignore the beets configuration of the user who runs the tests."""
    beets.config.clear()
    beets.config.read(user=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pieces in known keys, silence, and a truncated file."""
    folder = tmp_path_factory.mktemp("made")
    music(folder / "lake.wav", "Eb minor", 15)
    music(folder / "meadow.wav", "G major", 15)
    write_wav(folder / "silence.wav", np.zeros(44100))
    return folder


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Iterator[Library]:
    for path in made.iterdir():
        shutil.copy(path, tmp_path)
    found = Library(str(tmp_path / "library.db"), str(tmp_path))
    for path in sorted(tmp_path.glob("*.wav")):
        found.add(Item.from_path(os.fsencode(path)))
    sources = list(beets.config.sources)
    yield found
    beets.config.sources[:] = sources


def keys(library: Library) -> dict[str, str | None]:
    return {
        Path(os.fsdecode(item.path)).stem: item["initial_key"] or None for item in library.items()
    }


def run(library: Library, *arguments: str, **options: object) -> None:
    """``beet stonekey ARGUMENTS`` with these options in the configuration."""
    for name, value in options.items():
        beets.config["stonekey"][name].set(value)
    plugin = StonekeyPlugin()
    (command,) = plugin.commands()
    given, query = command.parse_args(list(arguments))
    command.func(library, given, query)


def test_the_library_and_the_tags_get_the_keys(library: Library, tmp_path: Path) -> None:
    run(library)
    # D#m is how beets itself spells E flat minor.
    assert keys(library) == {"lake": "D#m", "meadow": "G", "silence": None}
    assert read_key(tmp_path / "lake.wav") == Key.parse("Eb minor")
    assert read_key(tmp_path / "meadow.wav") == Key.parse("G major")
    assert read_key(tmp_path / "silence.wav") is None


def test_existing_keys_are_kept_unless_told(library: Library) -> None:
    for item in library.items():
        item["initial_key"] = "C"
        item.store()
    run(library)
    assert set(keys(library).values()) == {"C"}
    run(library, "--force", "path:" + os.fsdecode(library.items()[0].path))
    assert keys(library) == {"lake": "D#m", "meadow": "C", "silence": "C"}
    run(library, overwrite=True)
    assert keys(library) == {"lake": "D#m", "meadow": "G", "silence": "C"}


def test_text_that_is_no_key_is_kept_and_named(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    for item, text in zip(library.items(), ("All", "o", "8A"), strict=True):
        item["initial_key"] = text
        item.store()
    before = keys(library)
    run(library)
    assert keys(library) == before
    assert [r.getMessage() for r in caplog.records if "not a key" in r.getMessage()] == [
        f"kept, not a key: All: {os.fsdecode(library.items()[0].path)}"
    ]


def test_configuration(library: Library, tmp_path: Path) -> None:
    run(library, "--pretend")
    run(library, min_confidence=1.0)
    assert set(keys(library).values()) == {None}
    run(library, min_confidence=0.0, write=False, notation="camelot")
    assert keys(library) == {"lake": "D#m", "meadow": "G", "silence": None}
    assert read_key(tmp_path / "lake.wav") is None
    assert [item.get("camelot") for item in library.items()] == ["2A", "9B", None]
    (found,) = library.items("camelot:2A")
    assert b"lake" in found.path


def test_pretend_says_and_stores_nothing(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    run(library, "-p")
    out = capsys.readouterr().out
    assert "D#m (" in out
    assert "lake.wav" in out
    assert set(keys(library).values()) == {None}


def test_a_bad_file_costs_only_itself(
    library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lake.wav").write_bytes(b"RIFF")
    beets_log = logging.getLogger("beets")
    beets_log.addHandler(caplog.handler)
    try:
        run(library)
    finally:
        beets_log.removeHandler(caplog.handler)
    assert keys(library) == {"lake": None, "meadow": "G", "silence": None}
    assert any("lake.wav" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("model", "message"), [("template12", "key signatures"), ("tempalte", "did you mean template?")]
)
def test_a_model_that_does_not_fit(model: str, message: str, library: Library) -> None:
    with pytest.raises(UserError, match=message):
        run(library, model=model)


def test_auto_off_leaves_imports_alone(library: Library) -> None:
    assert len(StonekeyPlugin().import_stages) == 1
    beets.config["stonekey"]["auto"].set(False)
    assert not StonekeyPlugin().import_stages


def test_beet_import_and_beet_stonekey(made: Path, tmp_path: Path) -> None:
    """The command itself, as a user runs it, with the configuration in docs/beets.md."""
    shutil.copytree(made, tmp_path / "incoming")
    page = (ROOT / "docs" / "beets.md").read_text(encoding="utf-8")
    settings = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "config.yaml").write_text(
        f"directory: {tmp_path / 'Music'}\nlibrary: {tmp_path / 'library.db'}\n{settings}"
    )
    environment = {**os.environ, "BEETSDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}

    def beet(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "beets", *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    beet("import", "--quiet", "--noautotag", str(tmp_path / "incoming"))
    listed = beet("ls", "-f", "$initial_key $camelot $path", "camelot::.", "camelot+")
    lake, meadow = listed.splitlines()
    assert lake.startswith("D#m 2A ")
    assert meadow.startswith("G 9B ")
    file = lake.removeprefix("D#m 2A ")
    assert read_key(file) is None  # --noautotag leaves the tags of what it imports alone
    beet("write")
    assert read_key(file) == Key.parse("Eb minor")
    found = beet("stonekey", "--pretend", "--force", "camelot:9B").splitlines()
    assert len(found) == 1
    assert found[0].startswith("G (")
