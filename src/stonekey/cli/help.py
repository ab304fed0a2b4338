"""How commands explain themselves: in plain lines that need no more room than they are given."""

from __future__ import annotations

import inspect
import os
import re
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# What typer puts for the value of an option that says nothing itself.
_TYPE = re.compile(r"<(\w+)[^>]*>")
_VALUES = {"str": "TEXT", "int": "N", "float": "X"}


def _value(found: re.Match[str]) -> str:
    return _VALUES.get(found[1], found[1].upper())


def _bold(text: str) -> str:
    """For a terminal; otherwise as it is."""
    plain = not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"
    return text if plain else typer.style(text, bold=True)


class _Help:
    """Parts of a help page, in the order in which click asks for them."""

    help: str | None
    get_params: Any
    collect_usage_pieces: Any

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """``Usage: stonekey COMMAND [OPTIONS] FILE``."""
        words = " ".join(self.collect_usage_pieces(ctx)).replace("{", "").replace("}", "")
        formatter.write_usage(ctx.command_path, words)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """The paragraphs of a docstring; indented ones, which are examples, as they are."""
        before = ""
        for paragraph in inspect.cleandoc(self.help or "").split("\n\n"):
            example = paragraph.startswith("  ")
            if not example or not before.startswith("  "):
                formatter.write_paragraph()
            with formatter.indentation():
                if example:
                    formatter.write(f"{'':{formatter.current_indent}}{paragraph}\n")
                else:
                    formatter.write_text(" ".join(paragraph.split()))
            before = paragraph

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options, these under the headings of their panels."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                argument = parameter.param_type_name == "argument"
                name = _TYPE.sub("" if argument else _value, record[0]).strip()
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                title = "Arguments" if argument else panel
                text = record[1].replace("\\[", "[")  # typer before 0.17 escapes it
                sections.setdefault(title, []).append((name, " ".join(text.split())))
        for title, rows in sections.items():
            write_section(formatter, title, rows)


def write_section(formatter: Any, title: str, rows: list[tuple[str, str]]) -> None:
    """A heading and two columns under it; nothing without rows."""
    if rows:
        with formatter.section(_bold(title)):
            formatter.write_dl([(_bold(name), text) for name, text in rows])


class Command(_Help, TyperCommand):
    """A command."""


class Group(_Help, TyperGroup):
    """Commands under the headings of their panels. Without one, the help, which is no error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take no arguments at all for ``--help``."""
        return super().parse_args(ctx, args or ([] if ctx.resilient_parsing else ["--help"]))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The commands first."""
        self._format_commands(ctx, formatter)
        _Help.format_options(self, ctx, formatter)

    def _format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        # As far left in one section as in another.
        width = max(map(len, commands), default=0)
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in commands.items():
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                title = panel if isinstance(panel, str) else "Commands"
                first = " ".join((command.help or "").partition("\n\n")[0].split())
                sections.setdefault(title, []).append((name.ljust(width), first))
        for title, rows in sections.items():
            write_section(formatter, title, rows)
