"""The form in which Mixed In Key stores a key beside the plain one: JSON in base64.

An ID3 object, or a field ``KEY`` of other formats, holds for example
``{"algorithm":94,"key":"8A","source":"mixedinkey"}``.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from stonekey.keys import Key

_LONGEST = 10_000  # characters; the real ones have some 70


def unwrapped(text: str) -> str:
    """The key's text in a value of Mixed In Key; any other text unchanged."""
    record = _record(text)
    return text if record is None else record["key"]


def rewrapped(text: str, key: Key) -> str | None:
    """The same value with another key, spelled in the same notation; None for any other text."""
    record = _record(text)
    if record is None:
        return None
    wheel = re.fullmatch(r"\d+\s*([ABab]|[dmDM])", record["key"].strip())
    notation = "short" if not wheel else "camelot" if wheel[1] in "ABab" else "openkey"
    record = {**record, "key": key.format(notation)}
    data = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(data).decode() + text[len(text.rstrip()) :]


def _record(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("e") or len(text) > _LONGEST:  # "{" in base64
        return None
    try:
        record = json.loads(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("key"), str) else None
