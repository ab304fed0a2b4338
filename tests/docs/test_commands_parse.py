"""Every ``stonekey`` command line in the pages is one that the program takes."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from doc_pages import PAGES, blocks
from typer.main import get_command

from stonekey.cli import make_app, with_command
from stonekey.cli.commands import COMMANDS

ENDS = (">", ">>", "2>", "|", "&&", ";", "&")


@pytest.fixture(scope="module")
def program() -> Any:
    return get_command(make_app(list(COMMANDS)))


def commands_of(line: str) -> list[list[str]]:
    """Arguments of each ``stonekey`` in a line for a shell."""
    line = re.sub(r"\$[A-Z_]+", "1", re.sub(r"\$\(|[()]", " ", line))
    words = shlex.split(line, comments=True)
    found: list[list[str]] = []
    for number, word in enumerate(words):
        before = words[number - 1] if number else ENDS[0]
        image = words[:2] == ["docker", "run"] and re.fullmatch("stonekey(-[a-z]+)?", word)
        if image or (word.endswith("stonekey") and (before in (*ENDS, "-m") or not number)):
            rest = words[number + 1 :]
            ends = [i for i, other in enumerate(rest) if other in ENDS]
            found.append(rest[: ends[0] if ends else None])
    return found


def parse(program: Any, arguments: list[str]) -> None:
    """Parse as the program does, without running anything."""
    home = os.path.expanduser("~")
    command, name = program, "stonekey"
    words = [word.replace("~", home, 1) for word in with_command(arguments)]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, words = words[0], words[1:]
        assert name in command.commands, name
        command = command.commands[name]
    command.make_context(name, list(words))


PAGES_WITH_COMMANDS = [page for page in PAGES if any(b.language == "sh" for b in blocks(page))]


@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS)
def test_command_lines_are_taken(
    page: str, program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Music").mkdir()
    (tmp_path / "token.txt").write_text("secret")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        for line in block.lines if block.language == "sh" else []:
            for arguments in commands_of(line):
                if arguments:
                    parse(program, arguments)


@pytest.mark.parametrize("page", PAGES)
def test_options_named_in_sentences_exist(page: str, program: Any) -> None:
    """Of ``stonekey COMMAND --option`` between backticks; words in capitals stand for others."""
    for text in re.findall(r"`(stonekey [^`\n]*--[^`\n]*)`", PAGES[page].read_text("utf-8")):
        words = shlex.split(text)[1:]
        command = program
        while words and words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        if command is program and words[0] != "--version" and words[0] != "COMMAND":
            command = program.commands["predict"]
        known = {"--help", *(o for p in command.params for o in (*p.opts, *p.secondary_opts))}
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0] in known, text


def test_what_the_program_does_not_take_is_seen(program: Any) -> None:
    (arguments,) = commands_of("stonekey scan music/ --outputs keys.csv  # a slip")
    with pytest.raises(Exception, match="--outputs"):
        parse(program, arguments)
    assert commands_of("curl x | stonekey - > y") == [["-"]]
    docker = "docker run --rm -v stonekey:/cache stonekey-train train -n a"
    assert commands_of(docker) == [["train", "-n", "a"]]
    assert commands_of("torchrun -m stonekey train -n a") == [["train", "-n", "a"]]
