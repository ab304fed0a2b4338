"""Small manifests and predictions for the tests of evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cli_tools import music

from stonekey.keys import Key

KEYS = ("C major", "D major", "Eb minor", "F# minor", "A major")
SECONDS = 4.0


def table(path: Path, rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file; cells must not contain commas."""
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def recordings(folder: Path, keys: Sequence[str] = KEYS) -> Path:
    """A manifest of short recordings in these keys, with a genre."""
    rows = [("path", "key", "genre")]
    for i, key in enumerate(keys):
        name = music(folder / f"{i}.wav", key, SECONDS).name
        rows.append((name, key, ("rock", "jazz")[i % 2]))
    return table(folder / "manifest.csv", rows)


def published_counts(folder: Path, correct: int, fifth: int, tracks: int) -> tuple[Path, Path]:
    """A manifest without audio, and predictions of 12 signatures with these counts."""
    labels, answers = [("path", "key")], [("file", "key")]
    for i in range(tracks):
        key = Key.from_index(i % 24)
        labels.append((f"{i}.mp3", str(key)))
        answer = key.signature
        if i >= correct:
            answer = answer.transpose((7, 5)[i % 2] if i < correct + fifth else 2)
        answers.append((f"elsewhere/{i}.wav", str(answer)))
    manifest = table(folder / "manifest.csv", labels)
    return manifest, table(folder / "predictions.csv", answers)
