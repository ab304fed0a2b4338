"""ONNX Runtime, told to keep to itself."""

from __future__ import annotations

import os
from typing import Any


def onnx_runtime() -> Any:
    """The module ``onnxruntime``, with its telemetry off.

    Its official builds keep an identifier in the user's cache and report what they run to their
    maker. Whoever wants that sets ``ORT_DISABLE_TELEMETRY=0``.
    """
    off = os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1") != "0"  # read when it is imported
    import onnxruntime

    if off:
        onnxruntime.disable_telemetry_events()  # on Windows, where the variable may not count
    return onnxruntime
