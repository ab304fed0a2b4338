"""Decide what to write into a file's tags, write it, and undo it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonekey.keys import Key
from stonekey.tags.base import TagError, Tags, told_as_tag_errors
from stonekey.tags.formats import open_tags
from stonekey.tags.journal import Entry, Journal, turn
from stonekey.tags.writing import ChangedError, fingerprint, rewrite

ALSO = ("comment", "grouping")
_SEPARATOR = " - "  # between a key and the rest of a comment, as other programs write it
_ATTEMPTS = 3


@dataclass(frozen=True)
class Settings:
    """How to tag.

    Attributes:
        overwrite: replace existing keys.
        also: further fields that get the key, of `ALSO`.
        notation: how the key is written in these (`stonekey.keys.NOTATIONS`).
        min_confidence: no key is written below it.
        keep_mtime: files keep their modification time.
    """

    overwrite: bool = False
    also: tuple[str, ...] = ()
    notation: str = "short"
    min_confidence: float = 0.0
    keep_mtime: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        path: as it was given.
        existing: text in the key field before; None where there was none.
        key: the key found, or on undo the restored one; None where there is none.
        confidence: its probability.
        action: "written" or, in a dry run, "would write"; "kept" (nothing to change, or an
            existing key); "unsure" (below the least confidence); "no key"; "restored";
            "failed".
        error: why it failed.
    """

    path: Path
    existing: str | None
    key: Key | None
    confidence: float
    action: str
    error: str | None = None

    @property
    def differs(self) -> bool:
        """Whether there is an existing key and it is not the one found."""
        if self.existing is None or self.key is None:
            return False
        return parsed(self.existing) != self.key


def parsed(text: str) -> Key | None:
    """The key that a text says, None when it says none."""
    try:
        return Key.parse(text)
    except ValueError:
        return None


def tag_file(
    path: Path, key: Key | None, confidence: float, settings: Settings, journal: Journal | None
) -> Outcome:
    """Write a key into a file's tags, or without a journal say what would be done.

    Raises:
        TagError: when it cannot be done; the file is then as it was.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _tag_file(path, key, confidence, settings, journal)
        except ChangedError:  # another run, perhaps of this very command: look again
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError


def _tag_file(
    path: Path, key: Key | None, confidence: float, settings: Settings, journal: Journal | None
) -> Outcome:
    with told_as_tag_errors(path):
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
    if journal is None:
        return Outcome(path, existing, key, confidence, "would write")

    def edit(copy: Path) -> None:
        changed = open_tags(copy)
        for name, text in changes.items():
            changed.set(name, text)
        changed.save()

    def note(after: os.stat_result) -> None:
        former = {name: tags.dump(name) for name in changes}
        states = fingerprint(before), fingerprint(after)
        journal.add(Entry(os.path.abspath(path), *states, tags.present, former))

    rewrite(path, before, edit, turn(journal.folder), note, settings.keep_mtime)
    return Outcome(path, existing, key, confidence, "written")


def _changes(tags: Tags, existing: str | None, key: Key, settings: Settings) -> dict[str, str]:
    """Field -> its new text, without those that have it."""
    if existing is not None and parsed(existing) != key and not settings.overwrite:
        return {}  # nor is a comment to contradict the key that stays
    changes = {}
    if existing is None or settings.overwrite:
        changes.update(dict.fromkeys(tags.fields("key"), key.format("short")))
    for role in settings.also:
        for name in tags.fields(role):
            old = next(iter(tags.texts(name)), "")
            changes[name] = with_key(old, key.format(settings.notation), settings.overwrite)
    return {name: text for name, text in changes.items() if tags.texts(name)[:1] != [text]}


def with_key(text: str, key: str, overwrite: bool) -> str:
    """A comment with a key put before it: ``8A - bought in Rome``.

    A key that stands there already is kept, or replaced when ``overwrite`` is set. A single
    letter is not taken for one: it may be a word.
    """
    if not text.strip():
        return key
    first, separator, rest = text.partition(_SEPARATOR)
    if first == key:
        return text
    if len(first.strip()) > 1 and parsed(first) is not None:
        return key + separator + rest if overwrite else text
    return f"{key}{_SEPARATOR}{text}"


def undo_file(entry: Entry, folder: Path, force: bool = False, keep_mtime: bool = False) -> Outcome:
    """Give the fields of a file the values they had before.

    Args:
        folder: where the journals are.
        force: also when the file was changed since by something else.

    Raises:
        TagError: when it cannot be done; the file is then as it is.
    """
    path = Path(entry.path)
    with told_as_tag_errors(path):
        before = path.stat()
    now = fingerprint(before)
    tags = open_tags(path)
    existing = tags.text("key")
    if now != entry.after and not force:
        if now != entry.before:
            raise TagError(path, "changed since; --force restores its key all the same")
        return _restored(path, existing, existing, "kept")  # its turn never came

    def edit(copy: Path) -> None:
        changed = open_tags(copy)
        for name, dumped in entry.fields.items():
            changed.restore(name, dumped)
        changed.save()
        if not entry.had_tags:
            changed.delete_if_empty()

    rewrite(path, before, edit, turn(folder), lambda _: None, keep_mtime)
    return _restored(path, existing, open_tags(path).text("key"), "restored")


def _restored(path: Path, existing: str | None, text: str | None, action: str) -> Outcome:
    return Outcome(path, existing, parsed(text) if text else None, 0.0, action)


def as_record(outcome: Outcome, notation: str, file: str) -> dict[str, Any]:
    """The outcome for JSON and CSV."""
    return {
        "file": file,
        "existing": outcome.existing,
        "key": outcome.key and outcome.key.format(notation),
        "confidence": round(outcome.confidence, 4),
        "differs": outcome.differs,
        "action": outcome.action,
        "error": outcome.error,
    }
