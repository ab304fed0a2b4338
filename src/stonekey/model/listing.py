"""The models by name, each with what there is to know of it."""

from __future__ import annotations

import os
from typing import Any

from stonekey.files import cache_folder, sha256
from stonekey.model.published import PUBLISHED
from stonekey.model.registry import DEFAULT_MODEL, EMBEDDED, scores


def list_models() -> list[dict[str, Any]]:
    """One record per model; downloads nothing."""
    known = {
        name: ", ".join(f"{measure} {score.value:.1f}" for measure, score in measured.items())
        for name, measured in scores().items()
    }
    rows: list[dict[str, Any]] = [
        {
            "name": model.name,
            "default": model.name == DEFAULT_MODEL,
            "classes": model.classes,
            "source": "in the package",
            "available": model.path.is_file(),
            "path": str(model.path),
            "licence": "MIT",
            "description": model.description,
            "scores": known[model.name],
        }
        for model in EMBEDDED
    ]
    folder = cache_folder()
    for published in PUBLISHED:
        path = folder / published.file
        rows.append(
            {
                "name": published.name,
                "default": published.name == DEFAULT_MODEL,
                "classes": len(published.class_table),
                "source": published.url,
                "available": os.path.isfile(path) and sha256(path) == published.sha256,
                "path": str(path),
                "licence": published.licence,
                "description": f"published by its authors; trained on {published.trained_on}",
                "scores": known[published.name],
            }
        )
    return rows
