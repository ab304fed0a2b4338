"""Settings that are also options of commands: declared once, as fields of a frozen dataclass."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def option(default: Any, help: str, *flags: str, **typer: Any) -> Any:
    """A field that commands show as an option (`stonekey.cli.options.with_settings`).

    Args:
        default: of the field and of the option; `dataclasses.MISSING` for none.
        help: what ``--help`` says.
        flags: names on the command line; by default made from the field's name.
        typer: further arguments of `typer.Option`; ``type``: its type there, when another.
    """
    return field(default=default, metadata={"help": help, "flags": flags, "typer": typer})


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check a choice.

    Raises:
        ValueError: when ``value`` is none of the choices.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
