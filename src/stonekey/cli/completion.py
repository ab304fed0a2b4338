"""``stonekey completion``: shell completion of commands, options and model names."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Annotated

import typer

from stonekey.cli.commands import COMMANDS, COMPLETION_VARIABLE, DEFAULT_COMMAND
from stonekey.cli.common import fail

SHELLS = ("bash", "zsh", "fish", "powershell")
_FIRST = re.compile(r"(\S+\s+)(\S*)(\s?)(.*)", re.DOTALL)


def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish|powershell", help="Your shell.")],
) -> None:
    """Print a script that makes your shell complete commands, options and model names.

    For example:

      eval "$(stonekey completion bash)"    # in ~/.bashrc

      eval "$(stonekey completion zsh)"    # in ~/.zshrc

      stonekey completion fish > ~/.config/fish/completions/stonekey.fish

      stonekey completion powershell | Out-String | iex    # in $PROFILE
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    if shell not in SHELLS:
        fail(f"the shell must be one of {', '.join(SHELLS)}, got '{shell}'")
    typer.echo(
        get_completion_script(prog_name="stonekey", complete_var=COMPLETION_VARIABLE, shell=shell)
    )


def needed_commands(environment: MutableMapping[str, str]) -> list[str]:
    """The commands that must be loaded to complete the line in the shell's environment.

    Edits the line in place: inserts ``predict`` where no command is named, as when the line
    runs, and removes bash's "=" between an option and its value, which the parser expects as
    two words.
    """
    bash = "COMP_WORDS" in environment
    if bash:
        words, place = environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"])
        if place >= 2 and words[place - 1] == "=":
            del words[place - 1]
            environment.update(COMP_WORDS="\n".join(words), COMP_CWORD=str(place - 1))
    name = "COMP_WORDS" if bash else "_TYPER_COMPLETE_ARGS"
    line = _FIRST.match(environment.get(name, ""))
    if line is None:
        return list(COMMANDS)
    program, first, space, rest = line.groups()
    if space and first in COMMANDS:
        return [first]
    if not space and not first.startswith("-"):  # still being typed: a command or a file
        return list(COMMANDS)
    environment[name] = f"{program}{DEFAULT_COMMAND} {first}{space}{rest}"
    if bash:
        environment["COMP_CWORD"] = str(int(environment["COMP_CWORD"]) + 1)
    return [DEFAULT_COMMAND]
