"""Write a key into a file's tags."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonekey.keys import Key
from stonekey.tags.base import Tags, as_tag_errors, parsed
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import Entry, Journal, turn
from stonekey.tags.mixedinkey import rewrapped
from stonekey.tags.writing import ChangedError, check_writable, fingerprint, rewrite

ALSO = ("comment", "grouping")
_SEPARATOR = " - "  # between a key and the rest of a comment, as other programs write it
_MODE = "(?:m|min|minor|maj|major)"
_IN_FRONT = re.compile(rf"(?:0?[1-9]|1[0-2])[ABdm]|[A-G](?:[#b♯♭] ?{_MODE}?| ?{_MODE})")
_ATTEMPTS = 3


@dataclass(frozen=True)
class Settings:
    """What to write.

    Attributes:
        overwrite: replace existing keys.
        also: other fields to put the key in, from `ALSO`.
        notation: how to write the key in those fields (`stonekey.keys.NOTATIONS`).
        min_confidence: write no key below this confidence.
        keep_mtime: keep the files' modification times.
        key_notation: how to write the key in the key field.
        fill: write the standard key field too where only another field has the key found.
    """

    overwrite: bool = False
    also: tuple[str, ...] = ()
    notation: str = "short"
    min_confidence: float = 0.0
    keep_mtime: bool = False
    key_notation: str = "short"
    fill: bool = False


@dataclass(frozen=True)
class Outcome:
    """The outcome for one file.

    Attributes:
        path: path as given.
        existing: text of the key field before; None if there was none.
        key: the key found or, on undo, restored; None if there is none.
        confidence: probability of the key found, 0 to 1.
        action: "written" or, in a dry run, "would write"; "kept" (nothing to change, or an
            existing key stays); "unsure" (below ``min_confidence``); "no key"; "restored" or, in
            a dry run, "would restore"; "failed".
        error: reason for the failure.
        after: text of the key field after the change, in a dry run as it would be; None if it
            has none, and where a key found is not written.
    """

    path: Path
    existing: str | None
    key: Key | None
    confidence: float
    action: str
    error: str | None = None
    after: str | None = None

    @property
    def differs(self) -> bool:
        """Whether there is an existing key other than the one found."""
        if self.existing is None or self.key is None or "restore" in self.action:
            return False
        return parsed(self.existing) != self.key


def tag_file(
    path: Path, key: Key | None, confidence: float, settings: Settings, journal: Journal | None
) -> Outcome:
    """Write a key into a file's tags; without a journal, only report what would be written.

    Raises:
        TagError: the tags cannot be written; the file is left as it was.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _tag_file(path, key, confidence, settings, journal)
        except ChangedError:  # perhaps by another run of this command: look again
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError


def _tag_file(
    path: Path, key: Key | None, confidence: float, settings: Settings, journal: Journal | None
) -> Outcome:
    with as_tag_errors(path):
        before = path.stat()
    tags = open_tags(path)
    existing = tags.text("key")
    if key is None:
        return Outcome(path, existing, key, confidence, "no key")
    if confidence < settings.min_confidence:
        return Outcome(path, existing, key, confidence, "unsure")
    changes = _changes(tags, existing, key, settings)
    if not changes:
        return Outcome(path, existing, key, confidence, "kept")
    check_writable(path, before)
    present, former = tags.present, {name: tags.dump(name) for name in changes}

    def change(changed: Tags) -> None:
        for name, text in changes.items():
            changed.set(name, text)

    with as_tag_errors(path):
        change(tags)
        after = tags.text("key")
    if journal is None:
        return Outcome(path, existing, key, confidence, "would write", after=after)

    def edit(copy: Path) -> None:
        changed = open_tags(copy)
        change(changed)
        changed.save()

    def note(status: os.stat_result) -> None:
        states = fingerprint(before), fingerprint(status)
        journal.add(Entry(os.path.abspath(path), *states, present, former))

    rewrite(path, before, edit, turn(journal.folder), note, settings.keep_mtime)
    return Outcome(path, existing, key, confidence, "written", after=after)


def _changes(tags: Tags, existing: str | None, key: Key, settings: Settings) -> dict[str, str]:
    """Field -> new text, for the fields that need a change."""
    if existing is not None and parsed(existing) != key and not settings.overwrite:
        return {}  # a comment must not contradict the key that stays either
    changes = {}
    standard, *others = tags.fields("key")
    fields: list[str] = []
    if existing is None or settings.overwrite:
        fields = [standard, *filter(tags.holds_key, others)]
    elif settings.fill and not tags.texts(standard):
        fields = [standard]
    for name in fields:
        old = next(iter(tags.texts(name)), "")
        changes[name] = rewrapped(old, key) or key.format(settings.key_notation)
    for role in settings.also:
        for name in tags.fields(role):
            old = next(iter(tags.texts(name)), "")
            changes[name] = with_key(old, key.format(settings.notation), settings.overwrite)
    return {name: text for name, text in changes.items() if tags.differs(name, text)}


def with_key(text: str, key: str, overwrite: bool) -> str:
    """A comment with a key in front: ``8A - bought in Rome``.

    A key already in front stays, or is replaced if ``overwrite`` is set. Only what programs put
    there counts as a key: a single letter or a German name may be a word.
    """
    if not text.strip():
        return key
    first, separator, rest = text.partition(_SEPARATOR)
    if first == key:
        return text
    if _IN_FRONT.fullmatch(first.strip()):
        return key + separator + rest if overwrite else text
    return f"{key}{_SEPARATOR}{text}"


def as_record(
    outcome: Outcome, notation: str, file: str, as_written: bool = True
) -> dict[str, Any]:
    """The outcome for JSON and CSV.

    The key is what the key field holds afterwards; the key found, in ``notation``, where that is
    not written, and everywhere unless ``as_written``.
    """
    key = outcome.key and outcome.key.format(notation)
    if as_written and outcome.after is not None:
        key = outcome.after
    return {
        "file": file,
        "existing": outcome.existing,
        "key": key,
        "confidence": round(outcome.confidence, 4),
        "differs": outcome.differs,
        "action": outcome.action,
        "error": outcome.error,
    }
