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
    `stonekey.options.option`; the command receives the dataclass. A value out of range exits
    with bad usage.

    Args:
        without: fields that the command does not offer; they keep their defaults.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        kinds: dict[str, tuple[Any, list[str]]] = {}
        parameters: list[Parameter] = []
        for name, parameter in signature(function).parameters.items():
            if not is_dataclass(hints[name]):
                parameters.append(parameter.replace(annotation=hints[name]))
                continue
            options = [
                f for f in fields(hints[name]) if "help" in f.metadata and f.name not in without
            ]
            kinds[name] = hints[name], [f.name for f in options]
            types = get_type_hints(hints[name])
            parameters += [_parameter(f, types[f.name]) for f in options]

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


def _parameter(field: Field[Any], kind: Any) -> Parameter:
    more = dict(field.metadata["typer"])
    kind = more.pop("type", kind)
    flags = field.metadata["flags"]
    if kind is bool and not flags:  # otherwise typer adds --no-...
        flags = ("--" + field.name.replace("_", "-"),)
    option = typer.Option(*flags, help=field.metadata["help"], **more)
    return Parameter(
        field.name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if field.default is MISSING else field.default,
        annotation=Annotated[kind, option],
    )
