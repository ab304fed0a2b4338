"""Score several systems on the same tracks; the report as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stonekey.data.manifest import Manifest, Track
from stonekey.evaluation.confidence import Calibration, CoverageCurve, calibration, coverage_curve
from stonekey.evaluation.confusion import ConfusionMatrix, key_confusion, signature_confusion
from stonekey.evaluation.metrics import (
    KeyScores,
    SignatureScores,
    ksea_scores,
    mirex_scores,
    score_keys,
    score_signatures,
)
from stonekey.evaluation.predictions import System
from stonekey.evaluation.statistics import PairedComparison, compare_systems
from stonekey.keys import ClassLabel, Key

# Columns with more values than this are cut to the most common ones.
MOST_GROUPS = 24
NO_VALUE = "(none)"


@dataclass(frozen=True)
class SystemReport:
    """Scores of one system.

    ``keys``, ``key_confusion`` and ``keys_against`` are None for a system with 12 outputs;
    ``calibration`` and ``coverage`` (of keys for 24 outputs, of signatures for 12) are None without
    confidence; the comparisons with the baseline (``*_against``) are None for the baseline itself.
    ``failures`` are pairs of track id and error.
    """

    system: System
    signatures: SignatureScores
    signature_confusion: ConfusionMatrix
    keys: KeyScores | None = None
    key_confusion: ConfusionMatrix | None = None
    calibration: Calibration | None = None
    coverage: CoverageCurve | None = None
    keys_against: PairedComparison | None = None
    signatures_against: PairedComparison | None = None
    failures: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The system's name."""
        return self.system.name

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the answers, for JSON."""

        def plain(part: Any) -> Any:
            return None if part is None else part.as_dict()

        return {
            "name": self.name,
            "outputs": self.system.outputs,
            "source": self.system.source,
            **self.system.details,
            "keys": plain(self.keys),
            "signatures": plain(self.signatures),
            "calibration": plain(self.calibration),
            "coverage": plain(self.coverage),
            "against_baseline": {
                "mirex": plain(self.keys_against),
                "ksea": plain(self.signatures_against),
            },
            "key_confusion": plain(self.key_confusion),
            "signature_confusion": plain(self.signature_confusion),
            "failures": dict(self.failures),
            "unmatched": list(self.system.unmatched),
            "remark": self.system.remark,
        }


@dataclass(frozen=True)
class Group:
    """Every system's scores on the tracks that share a value of a column."""

    value: str
    n: int
    keys: Mapping[str, KeyScores]
    signatures: Mapping[str, SignatureScores]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return {
            "value": self.value,
            "n": self.n,
            "keys": {name: scores.as_dict() for name, scores in self.keys.items()},
            "signatures": {name: scores.as_dict() for name, scores in self.signatures.items()},
        }


@dataclass(frozen=True)
class Report:
    """Systems side by side.

    Attributes:
        manifest: the data, including tracks that cannot be scored.
        tracks: the tracks scored, the same for every system.
        systems: scores, in the order given.
        baseline: name of the system that the others are compared with; None if there is only one.
        by: groups of tracks by column.
        labels: source and date of the reference keys, in words.
        settings: settings of the models.
    """

    manifest: Manifest
    tracks: tuple[Track, ...]
    systems: tuple[SystemReport, ...]
    baseline: str | None
    by: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    labels: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> SystemReport:
        """The report on the system with this name."""
        return next(system for system in self.systems if system.name == name)

    @property
    def failed(self) -> dict[str, int]:
        """Number of tracks with an error, for each system that has any."""
        return {system.name: len(system.failures) for system in self.systems if system.failures}

    def as_dict(self) -> dict[str, Any]:
        """Return the report without the tracks' answers, for JSON."""
        return {
            "data": self.manifest.as_dict(),
            "labels": self.labels,
            "scored": len(self.tracks),
            "settings": dict(self.settings),
            "baseline": self.baseline,
            "systems": [system.as_dict() for system in self.systems],
            "by": {name: [group.as_dict() for group in groups] for name, groups in self.by.items()},
        }


def build_report(
    manifest: Manifest,
    tracks: Sequence[Track],
    systems: Sequence[System],
    *,
    baseline: str | None = None,
    by: Sequence[str] = (),
    labels: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Report:
    """Score systems on the same tracks.

    A track without an answer counts as wrong, whatever the reason.

    Args:
        manifest: the data.
        tracks: tracks to score; all must have a key.
        systems: systems with different names.
        baseline: name of the system to compare the others with (default: the first).
        by: columns of the manifest to split scores by; ``split`` and ``mode`` (of the reference)
            count as columns too.
        labels: source and date of the reference keys, in words.
        settings: settings of the models.

    Raises:
        ValueError: no tracks, no systems, two systems with the same name, an unknown baseline or
            column.
    """
    names = [system.name for system in systems]
    check_request(manifest, tracks, names, baseline, by)
    base = systems[0 if baseline is None else names.index(baseline)]
    references = [_reference(track) for track in tracks]
    return Report(
        manifest=manifest,
        tracks=tuple(tracks),
        systems=tuple(_system_report(system, tracks, references, base) for system in systems),
        baseline=base.name if len(systems) > 1 else None,
        by={column: _groups(column, tracks, systems) for column in by},
        labels=labels,
        settings=settings or {},
    )


def check_request(
    manifest: Manifest,
    tracks: Sequence[Track],
    names: Sequence[str],
    baseline: str | None = None,
    by: Sequence[str] = (),
) -> None:
    """Raise the errors of :func:`build_report` before there are any answers."""
    if not tracks:
        counts = manifest.summary()
        raise ValueError(f"{manifest.name}: no track can be scored ({counts})")
    if not names:
        raise ValueError("no system to score")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"two systems are named {twice[0]!r}: name them, as in NAME=MODEL")
    if baseline is not None and baseline not in names:
        raise ValueError(f"no system is named {baseline!r}; there are {', '.join(names)}")
    for column in by:
        if all(column_value(track, column) == NO_VALUE for track in tracks):
            known = sorted(
                {name for track in tracks for name in track.metadata} | {"split", "mode"}
            )
            raise ValueError(f"no column {column!r} to score by; there are {', '.join(known)}")


def column_value(track: Track, column: str) -> str:
    """A track's value of a manifest column as text."""
    value = track.metadata.get(column.lower())
    if value is None and column == "split":
        value = track.split
    elif value is None and column == "mode" and track.key is not None:
        value = track.key.mode
    return NO_VALUE if value is None or str(value) == "" else str(value)


def _reference(track: Track) -> Key:
    if track.key is None:
        raise ValueError(f"{track.id} has no reference key")
    return track.key


def _labels(system: System, tracks: Sequence[Track]) -> list[ClassLabel | None]:
    return [system.answer(track).label for track in tracks]


def _keys(system: System, tracks: Sequence[Track]) -> list[Key | None]:
    """The answers of a system with 24 outputs."""
    return [label if isinstance(label, Key) else None for label in _labels(system, tracks)]


def _system_report(
    system: System, tracks: Sequence[Track], references: Sequence[Key], base: System
) -> SystemReport:
    labels = _labels(system, tracks)
    parts: dict[str, Any] = {}
    if system.outputs == 24:
        keys = _keys(system, tracks)
        parts["keys"] = score_keys(references, keys)
        parts["key_confusion"] = key_confusion(references, keys)
        correct = [key == reference for key, reference in zip(keys, references, strict=True)]
        if base.outputs == 24 and system is not base:
            theirs = mirex_scores(references, _keys(base, tracks))
            parts["keys_against"] = compare_systems(mirex_scores(references, keys), theirs)
    else:
        correct = [
            label is not None and label.signature == reference.signature
            for label, reference in zip(labels, references, strict=True)
        ]
    if system is not base:
        parts["signatures_against"] = compare_systems(
            ksea_scores(references, labels), ksea_scores(references, _labels(base, tracks))
        )
    confidence = [system.answer(track).confidence for track in tracks]
    answered = [label is not None for label in labels]
    known = [c is not None for c, has_label in zip(confidence, answered, strict=True) if has_label]
    if known and all(known):
        sure = [0.0 if c is None else c for c in confidence]
        parts["calibration"] = calibration(correct, sure, answered)
        parts["coverage"] = coverage_curve(correct, sure, answered)
    return SystemReport(
        system=system,
        signatures=score_signatures(references, labels),
        signature_confusion=signature_confusion(references, labels),
        failures=tuple(
            (track.id, error) for track in tracks if (error := system.answer(track).error)
        ),
        **parts,
    )


def _groups(column: str, tracks: Sequence[Track], systems: Sequence[System]) -> tuple[Group, ...]:
    """Groups by value, most common first; if there are too many, the rarest share one."""
    values = [column_value(track, column) for track in tracks]
    counts = Counter(values)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    if len(ranked) > MOST_GROUPS:
        rest = ranked[MOST_GROUPS - 1 :]
        together = f"({len(rest)} others)"
        values = [together if value in rest else value for value in values]
        ranked = [*ranked[: MOST_GROUPS - 1], together]
    groups = []
    for value in ranked:
        chosen = [track for track, mine in zip(tracks, values, strict=True) if mine == value]
        references = [_reference(track) for track in chosen]
        groups.append(
            Group(
                value,
                len(chosen),
                keys={
                    system.name: score_keys(references, _keys(system, chosen))
                    for system in systems
                    if system.outputs == 24
                },
                signatures={
                    system.name: score_signatures(references, _labels(system, chosen))
                    for system in systems
                },
            )
        )
    return tuple(groups)
