"""The command ``stonekey``.

Each command is a module, loaded only when that command runs. Imports beyond the argument
parser sit inside its functions, so that a command starts fast.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stonekey.cli import version
from stonekey.cli.commands import (
    COMMANDS,
    COMPLETION_VARIABLE,
    DEFAULT_COMMAND,
    GROUP_OPTIONS,
    HELP,
    VERBOSE,
)
from stonekey.cli.system import expanded, prepare_streams
from stonekey.text import echo, printable

if TYPE_CHECKING:
    import typer

WIDEST_HELP = 110  # columns; longer lines are hard to read

_HELP = """Estimate the musical key of recordings.

"stonekey FILE|FOLDER ..." is short for "stonekey predict FILE|FOLDER ...". "stonekey help COMMAND"
explains a command.

Examples:

  stonekey song.mp3

  stonekey album/ --output album.csv

  stonekey demo --key "F# minor"
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 success, 1 some or all files failed, 2 bad usage, 130 interrupted.
    """
    given = expanded(sys.argv[1:]) if arguments is None else list(arguments)
    prepare_streams()
    try:
        if sorted(given) in (["--version"], ["--verbose", "--version"]):
            echo(version.details() if VERBOSE in given else version.short())
            sys.exit(0)
        if os.environ.get(COMPLETION_VARIABLE):  # some PowerShells leave it empty
            os.environ["COLUMNS"] = "10000"  # a completion is one line
            from stonekey.cli.completion import needed_commands

            make_app(needed_commands(os.environ), completing=True)(args=[], prog_name="stonekey")
        given = with_command(given)
        names = [given[0]] if given and given[0] in COMMANDS else list(COMMANDS)
        make_app(names)(args=given, prog_name="stonekey")
    except SystemExit as stop:
        if stop.code == 2:
            _explain_dashes(given)
        raise
    except BrokenPipeError:  # the reader, such as head, has quit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def with_command(given: list[str]) -> list[str]:
    """The arguments, with ``predict`` in front when they name no command, and help as an option.

    Exits with a message when the first word is neither a command nor a path. A missing file
    with a suffix goes to ``predict``, which reports it like any other bad file.
    """
    if not given:
        return given
    word, *rest = given
    if word == HELP:
        if rest and rest[0] not in COMMANDS:
            _refuse(rest[0], "a command")
        return [*rest, "--help"]
    if word in COMMANDS or word in GROUP_OPTIONS:
        return given
    if not word.startswith("-") and not os.path.lexists(word) and not _looks_like_path(word):
        _refuse(word, "a command, file or folder")
    return [DEFAULT_COMMAND, *given]


def _refuse(word: str, kind: str) -> NoReturn:
    """Exit because a word names nothing, with the name that it may be meant for."""
    here: list[str] = []
    if kind != "a command":
        with suppress(OSError):  # a folder that may not be listed, or is gone
            here = os.listdir()
    near = difflib.get_close_matches(word, [*COMMANDS, HELP, *here], n=1)
    hint = f"did you mean '{near[0]}'?" if near else '"stonekey --help" lists the commands'
    print(printable(f"stonekey: '{word}' is not {kind}; {hint}"), file=sys.stderr)
    sys.exit(2)


def _explain_dashes(given: Sequence[str]) -> None:
    """Say how to name a file that was read as an option, as one of ``*.mp3`` may be."""
    options = takewhile(lambda word: word != "--", given)
    for word in options:
        if len(word) > 1 and word.startswith("-") and os.path.lexists(word):
            text = f"stonekey: for the file '{word}' write ./{word}, or put -- before all files"
            print(printable(text), file=sys.stderr)
            return


def _looks_like_path(word: str) -> bool:
    return bool(Path(word).suffix) or any(sep and sep in word for sep in (os.sep, os.altsep))


def make_app(names: Sequence[str], completing: bool = False) -> typer.Typer:
    """The Typer application with these commands; ``completing`` for shell completion."""
    import typer

    from stonekey.cli.help import Command, Group

    app = typer.Typer(
        cls=Group,
        add_completion=completing,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": WIDEST_HELP,
        },
    )

    @app.callback(help=_HELP)
    def group(
        show_version: bool = typer.Option(
            False,
            "--version",
            help="Print the version and exit; with --verbose, all that a bug report needs.",
        ),
        verbose: bool = typer.Option(False, VERBOSE, hidden=True),
    ) -> None:
        if show_version:
            echo(version.details() if verbose else version.short())
            raise typer.Exit
        if verbose:
            raise typer.BadParameter("--verbose goes with --version")

    for name in names:
        command = getattr(import_module(f"stonekey.cli.{name}"), name)
        panel = COMMANDS[name]
        if isinstance(command, typer.Typer):  # a group, such as "stonekey data"
            app.add_typer(command, name=name, cls=Group, rich_help_panel=panel)
        else:
            needs_arguments = name in (
                "predict", "scan", "calibrate", "compare", "export", "mix", "completion"
            )  # fmt: skip
            app.command(name, cls=Command, no_args_is_help=needs_arguments, rich_help_panel=panel)(
                command
            )
    return app
