"""Settings that are also command options, declared once as fields of a frozen dataclass."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def option(default: Any, help: str, *flags: str, **typer: Any) -> Any:
    """A field that is also a command option (`stonekey.cli.options.with_settings`).

    Args:
        default: default of the field and the option; `dataclasses.MISSING` for none.
        help: text for ``--help``.
        flags: names on the command line; by default the field's name.
        typer: other arguments of `typer.Option`, and ``type`` if the option has a different type.
    """
    return field(default=default, metadata={"help": help, "flags": flags, "typer": typer})


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check that ``value`` is one of the choices.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
