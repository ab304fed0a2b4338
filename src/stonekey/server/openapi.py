"""The description of the API as OpenAPI 3.1, and the same as a page for people."""

from __future__ import annotations

from html import escape
from typing import Any

from stonekey import __version__
from stonekey.estimate.record import Field
from stonekey.output.records import FIELDS
from stonekey.server.query import PARAMETERS
from stonekey.text import json_text

_TEXT = {"type": "string"}
_JSON_TYPES = {str: "string", float: "number", int: "integer"}

# What each field of a record holds.
_ABOUT = {
    "file": "Name of the file, as the client gave it.",
    "key": 'The key; null for "no key" and after an error.',
    "tonic": "Tonic of the key; null without a key and for key signatures.",
    "mode": "major or minor; null as for tonic.",
    "signature": "Key signature, such as Eb major / C minor.",
    "camelot": "The key in Camelot notation.",
    "open_key": "The key in Open Key notation.",
    "confidence": "Probability of the answer, 0 to 1.",
    "top": "The most probable keys, best first.",
    "duration": "Length in seconds.",
    "segments": "Number of segments analysed.",
    "tuning": "Deviation from A = 440 Hz in cents.",
    "model": "Name of the model.",
    "warnings": "Anything a user should know.",
    "error": "Why the file could not be analysed.",
}
_RANKED = {
    "type": "object",
    "properties": {"key": _TEXT, "probability": {"type": "number"}},
    "required": ["key", "probability"],
}


def _field(field: Field) -> dict[str, Any]:
    """The JSON schema of a field of a record."""
    about = {"description": _ABOUT[field.name]}
    if field.type is list:
        return {"type": "array", "items": _RANKED if field.name == "top" else _TEXT, **about}
    if field.name in ("file", "model"):
        return {**_TEXT, **about}
    return {"type": [_JSON_TYPES[field.type], "null"], **about}


_REFUSALS = {
    "400": "The request is not understood.",
    "401": "The token is missing or wrong.",
    "403": "Pages of this origin may not use the server, or it has no folder of recordings.",
    "404": "The folder has no such file.",
    "408": "The body took too long to arrive.",
    "413": "The body is too large, or has too many files.",
    "415": "The body is compressed.",
    "422": "The only file of the request could not be analysed: its record has an error.",
    "429": "Too many requests are waiting; Retry-After says for how many seconds to wait.",
    "503": "The server is ending, or its workers do not start.",
}


def describe(token: bool) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        token: whether requests need a token.
    """
    record = {
        "type": "object",
        "description": "The result of a file, as of the command line.",
        "properties": {name: _field(field) for name, field in FIELDS.items()},
        "required": list(FIELDS),
    }
    model = {
        "type": "object",
        "properties": {
            "name": _TEXT, "default": {"type": "boolean"}, "classes": {"enum": [12, 24]},
            "description": _TEXT,
        },
        "required": ["name", "default", "classes", "description"],
    }  # fmt: skip
    error = {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]}
    health = {
        "type": "object",
        "properties": {"status": {"enum": ["ok", "unavailable"]}, "version": _TEXT,
                       "model": _TEXT, "error": _TEXT},
        "required": ["status", "version"],
    }  # fmt: skip
    files = {"type": "array", "items": _ref("Record"), "description": "Of several files."}
    answers = {
        "200": _json("The key of the file, or an array of records for several.",
                     {"oneOf": [_ref("Record"), files]}),
        **{status: _json(about, _ref("Error")) for status, about in _REFUSALS.items()},
        "422": _json(_REFUSALS["422"], _ref("Record")),
    }  # fmt: skip
    answers["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    form = {
        "type": "object",
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
    named = {"type": "object", "properties": {"path": _TEXT}, "required": ["path"],
             "additionalProperties": False}  # fmt: skip
    keys = {
        "summary": "Find the keys of recordings",
        "description": "The body is one file as it is, a form with one or several files, or JSON "
        "with the path of a file in the server's folder.",
        "operationId": "findKeys",
        "parameters": [
            {"name": p.name, "in": "query", "description": p.help, "schema": dict(p.schema)}
            for p in PARAMETERS
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "audio/*": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": named},
            },
        },
        "responses": answers,
    }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "stonekey",
            "version": __version__,
            "description": "The musical key of recordings. Each answer has the header "
            "X-Request-ID. WebSocket /v1/live gives the key of a stream.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/v1/keys": {"post": keys},
            "/v1/models": _get("List the models", "listModels", _json(
                "The models to choose from, the default one first.",
                {"type": "array", "items": _ref("Model")})),
            "/healthz": _get("Whether requests are taken", "health", _json(
                "Requests are taken.", _ref("Health")), {"503": _json("They are not.",
                _ref("Health"))}),
            "/metrics": _get("Metrics for Prometheus", "metrics", {
                "description": "Prometheus text.",
                "content": {"text/plain": {"schema": _TEXT}}}),
        },
        "components": {
            "schemas": {"Record": record, "Model": model, "Error": error, "Health": health}
        },
    }  # fmt: skip
    if token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        document["paths"]["/healthz"]["get"]["security"] = []
    return document


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _get(
    summary: str, name: str, found: dict[str, Any], more: dict[str, Any] | None = None
) -> dict[str, Any]:
    answers = {"200": found, **(more or {})}
    return {"get": {"summary": summary, "operationId": name, "responses": answers}}


_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;"
    "margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}th,td{text-align:left;"
    "vertical-align:top;padding:.2rem 1rem .2rem 0}code,pre{font:14px/1.5 ui-monospace,monospace}"
    "pre{overflow-x:auto;border:1px solid #8888;padding:1rem}"
)


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML that needs nothing else."""
    info = document["info"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])}</p>",
        '<p><a href="openapi.json">OpenAPI document</a></p>',
    ]
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            parts += _operation(method.upper(), path, about)
    parts.append("<h2>Values</h2>")
    for name, schema in document["components"]["schemas"].items():
        rows = [
            (field, _kind(value), value.get("description", ""))
            for field, value in schema["properties"].items()
        ]
        parts += [f'<h3 id="{escape(name)}">{escape(name)}</h3>', _table(rows)]
    title = f"<title>{escape(info['title'])} API</title>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{title}<meta name="viewport" '
        f'content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f"{''.join(parts)}</main></body></html>\n"
    )


def _operation(method: str, path: str, about: dict[str, Any]) -> list[str]:
    parts = [
        f"<h2><code>{method} {escape(path)}</code></h2>",
        f"<p>{escape(about['summary'])}. {escape(about.get('description', ''))}</p>",
    ]
    if parameters := about.get("parameters"):
        rows = [(p["name"], _kind(p["schema"]), p["description"]) for p in parameters]
        parts += ["<h3>Query</h3>", _table(rows)]
    if "requestBody" in about:
        kinds = about["requestBody"]["content"]
        parts += ["<h3>Body</h3>", _table([(kind, _kind(kinds[kind]["schema"])) for kind in kinds])]
    answers = [
        (status, found["description"], _kind(next(iter(found["content"].values()))["schema"]))
        for status, found in about["responses"].items()
    ]
    return [*parts, "<h3>Answers</h3>", _table(answers)]


def _table(rows: list[Any]) -> str:
    lines = (
        f"<tr><th scope=row><code>{escape(first)}</code></th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table>{''.join(lines)}</table>"


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "oneOf" in schema:
        return " or ".join(map(_kind, schema["oneOf"]))
    if "enum" in schema:
        return ", ".join(json_text(value) for value in schema["enum"])
    if schema["type"] == "array":
        return f"array of {_kind(schema['items'])}"
    if schema["type"] == "object":
        return ", ".join(f"{name}: {_kind(value)}" for name, value in schema["properties"].items())
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " or ".join(str(schema.get("format", kind)) for kind in kinds)
