"""Shared by the data sets: find and read labels and audio under a root."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonekey.data.manifest import Track
from stonekey.keys import NO_KEY, Key, non_key


class DatasetError(ValueError):
    """A data set cannot be read; the message says what is missing."""


@dataclass(frozen=True)
class SourceFile:
    """A file published by the authors of a data set; ``md5`` is None if they give none."""

    name: str
    url: str
    md5: str | None = None


def find_label_file(root: Path, source: SourceFile, verify: bool) -> Path:
    """Return the label file nearest to ``root`` in the folders below it.

    Raises:
        DatasetError: there is none, or it has a different md5.
    """
    found = sorted(root.rglob(source.name), key=lambda path: (len(path.parts), str(path)))
    if not found:
        raise DatasetError(f"no {source.name} under {root}: get it from {source.url}")
    if verify and source.md5 is not None:
        md5 = hashlib.md5(found[0].read_bytes(), usedforsecurity=False).hexdigest()
        if md5 != source.md5:
            raise DatasetError(
                f"{found[0]}: md5 is {md5}, but {source.md5} is the published file; "
                "--allow-other-labels reads it all the same"
            )
    return found[0]


def audio_by_id(root: Path, id_of: Callable[[Path], str | None]) -> dict[str, Path]:
    """Map the data set's ids to the audio files under ``root``.

    Args:
        root: folder to search to any depth.
        id_of: returns the id of a file, or None if the file is not in the data set. Of files with
            the same id, the first in sorted order counts.
    """
    from stonekey.audio import find_audio_files

    found: dict[str, Path] = {}
    for path in find_audio_files([root]):
        name = id_of(path)
        if name is not None:
            found.setdefault(name, path)
    return found


def leading_number(path: Path) -> str | None:
    """Return the number at the start of a file name, without leading zeros, or None."""
    found = re.match(r"0*(\d+)(?!\d)", path.name)
    return found[1] if found else None


def labelled_track(
    name: str,
    label: str,
    audio: Path | None,
    where: str,
    metadata: dict[str, Any] | None = None,
    line: int | None = None,
) -> Track:
    """Return the track with the key in ``label``.

    Users cannot fix published labels. So a label that is not a single major or minor key raises no
    error but leaves the track without a key, or keyless, with a ``problem`` that names ``where``.
    """
    key, problem = None, None
    try:
        key = Key.parse(label)
    except ValueError:
        reason = non_key(label) or "not one major or minor key"
        problem = f"{where}: {reason}: {label.strip()!r}"
    return Track(
        id=name,
        path=audio,
        key=key,
        metadata=metadata or {},
        present=audio is not None and audio.is_file(),
        line=line,
        problem=problem,
        keyless=non_key(label) == NO_KEY,
        unusable=key is None and non_key(label) is None,
    )


def text_file_tracks(root: Path, folders: tuple[str, ...]) -> Iterator[Track]:
    """Yield the tracks of Faraldo's EDM collections: ``keys/ID Artist - Title.txt``.

    ``|`` separates several keys; an excerpt with more than one has no usable label. Genres come
    from ``meta/ID Artist - Title.json`` if it exists.

    Args:
        root: folder to search to any depth.
        folders: names of the folders of labels.
    """
    labels = [path for path in root.rglob("*.txt") if path.parent.name in folders]
    for path, name, audio in numbered_labels(root, labels):
        lines = path.read_text("utf-8", errors="replace").splitlines()
        metadata = {"title": path.stem}
        metadata |= _genres(path.parent.parent / "meta" / f"{path.stem}.json")
        label = lines[0] if lines else ""
        yield labelled_track(name, label, audio, f"{path}, line 1", metadata)


def numbered_labels(root: Path, labels: Iterable[Path]) -> Iterator[tuple[Path, str, Path | None]]:
    """Yield label files in order, each with its leading number and the audio file of that number.

    A label file without a number is left out.
    """
    numbered = [(path, name) for path in sorted(labels) if (name := leading_number(path))]
    audio = audio_by_id(root, leading_number) if numbered else {}
    for path, name in numbered:
        yield path, name, audio.get(name)


def edm_advice(record: str, audio_md5: str, loader: str) -> str:
    """How to get one of Faraldo's EDM collections, from its Zenodo record or through mirdata."""
    return (
        f"Unpack keys.zip, original_metadata.zip and audio.zip (md5 {audio_md5}) of {record} under "
        f"the root, or run mirdata.initialize({loader!r}, data_home=ROOT).download(). Files are "
        "found by the number at the start of their name."
    )


def _genres(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    # The published files contain nan, which is not JSON.
    text = re.sub(r":\s*nan\b", ": null", path.read_text("utf-8", errors="replace"))
    try:
        genres = json.loads(text).get("genres") or []
        return {"genre": ", ".join(str(genre["name"]) for genre in genres)} if genres else {}
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError):
        return {}
