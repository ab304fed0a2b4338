"""Command options made from the fields of settings (`stonekey.options.option`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_type_hints

import typer

from stonekey.cli.common import exit_on_error


def with_settings(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's settings parameter by one option per field.

    Each parameter annotated with a dataclass becomes one option for each field declared with
    `stonekey.options.option`, under the heading ``PANEL`` of the dataclass if it has one; the
    command receives the dataclass. A value out of range exits with bad usage.

    Args:
        without: fields that the command does not offer; they keep their defaults.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        kinds: dict[str, tuple[Any, list[str]]] = {}
        parameters: list[Parameter] = []
        # Not get_type_hints, which hides an Annotated in Optional before Python 3.11.
        for name, parameter in signature(function, eval_str=True).parameters.items():
            kind = parameter.annotation
            if not is_dataclass(kind):
                parameters.append(parameter)
                continue
            options = [f for f in fields(kind) if "help" in f.metadata and f.name not in without]
            kinds[name] = kind, [f.name for f in options]
            types = get_type_hints(kind)
            panel = getattr(kind, "PANEL", None)
            parameters += [_parameter(f, types[f.name], panel) for f in options]

        @wraps(function)
        def command(**given: Any) -> None:
            for name, (kind, names) in kinds.items():
                values = {field: given.pop(field) for field in names}
                with exit_on_error():
                    given[name] = kind(**values)
            function(**given)

        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameter(field: Field[Any], kind: Any, panel: str | None) -> Parameter:
    more = dict(field.metadata["typer"])
    kind = more.pop("type", kind)
    flags = field.metadata["flags"]
    if kind is bool and not flags:  # otherwise typer adds --no-...
        flags = ("--" + field.name.replace("_", "-"),)
    more.setdefault("rich_help_panel", panel)
    option = typer.Option(*flags, help=field.metadata["help"], **more)
    return Parameter(
        field.name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if field.default is MISSING else field.default,
        annotation=Annotated[kind, option],
    )
