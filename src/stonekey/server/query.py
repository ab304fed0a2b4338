"""The options of a request, from its query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from stonekey.estimate.settings import EstimatorSettings
from stonekey.keys import NOTATIONS
from stonekey.server.errors import RefusedError
from stonekey.server.worker import Analysis

MOST_KEYS = 24


@dataclass(frozen=True)
class Parameter:
    """A query parameter.

    Attributes:
        name: its name.
        help: what it does.
        schema: JSON schema of its value.
        read: its value from text; raises ValueError.
    """

    name: str
    help: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any] = str


def _flag(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if (value := known.get(text.lower())) is None:
        raise ValueError("must be true or false")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MOST_KEYS):
        raise ValueError(f"must be a whole number from 1 to {MOST_KEYS}")
    return int(text)


def _notation(text: str) -> str:
    if text not in NOTATIONS:
        raise ValueError(f"must be one of {', '.join(NOTATIONS)}")
    return text


_HELP = {field.name: field.metadata.get("help", "") for field in fields(EstimatorSettings)}
_NUMBER = {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}

# Settings of the estimator that a request may choose; the others are the server's.
SETTINGS = tuple(
    Parameter(name, _HELP[name], schema, read)
    for name, schema, read in (
        ("tune", {"type": "string", "default": "auto"}, str),
        ("fast", {"type": "boolean", "default": False}, _flag),
        ("overlap", {"type": "number", "minimum": 0, "exclusiveMaximum": 1}, float),
        ("min_confidence", _SHARE, float),
        ("min_clarity", _SHARE, float),
    )
)
PARAMETERS = (
    Parameter("model", "Name of a model of this server.", {"type": "string"}),
    Parameter(
        "notation",
        "How keys are written.",
        {"type": "string", "enum": list(NOTATIONS), "default": NOTATIONS[0]},
        _notation,
    ),
    Parameter(
        "top",
        "List the K most probable keys.",
        {"type": "integer", "minimum": 1, "maximum": MOST_KEYS, "default": 3},
        _count,
    ),
    *SETTINGS,
    Parameter("name", "What the result calls a raw body.", {"type": "string"}),
)
_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


def read_query(
    query: Mapping[str, str], models: Collection[str], settings: EstimatorSettings
) -> Analysis:
    """What a request asks for.

    Args:
        query: its parameters, `PARAMETERS`.
        models: names of the models, the default one first.
        settings: of the server, for what the request leaves open.

    Raises:
        RefusedError: a parameter is unknown or out of range.
    """
    given: dict[str, Any] = {}
    for name, text in query.items():
        if name not in _BY_NAME:
            raise RefusedError(400, f"no parameter '{name}'; there are {', '.join(_BY_NAME)}")
        try:
            given[name] = _BY_NAME[name].read(text)
        except ValueError as error:
            raise RefusedError(400, f"{name}: {error}") from error
    model = given.get("model", next(iter(models)))
    if model not in models:
        raise RefusedError(400, f"model: this server has no '{model}'; it has {', '.join(models)}")
    options = {p.name: given[p.name] for p in SETTINGS if p.name in given}
    try:
        replace(settings, **options)
    except ValueError as error:
        raise RefusedError(400, str(error)) from error
    return Analysis(model, options, given.get("notation", NOTATIONS[0]), given.get("top", 3))
