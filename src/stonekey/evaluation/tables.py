"""Write a report as files: report.json, report.md, tracks.csv and figures."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stonekey import __version__
from stonekey.evaluation import figures
from stonekey.evaluation.metrics import key_categories, signature_categories
from stonekey.evaluation.report import Report, SystemReport
from stonekey.evaluation.statistics import Interval, PairedComparison
from stonekey.files import write_text
from stonekey.keys import Key
from stonekey.text import counted, csv_cell, json_text

Rows = list[list[str]]


def key_rows(report: Report) -> Rows:
    """Table of scores over 24 keys: header, then a row per system with 24 outputs; [] if none."""
    head = [
        "system", "N", "same", "fifth up", "fifth down", "relative", "parallel", "other",
        "no answer", "MIREX", "MIREX, ascending fifths only", "accuracy", "mode", "tonic", "ECE",
        *_against(report),
    ]  # fmt: skip
    rows = []
    for system in report.systems:
        if (scores := system.keys) is not None:
            counts = (
                scores.n, scores.same, scores.fifth_ascending, scores.fifth_descending,
                scores.relative, scores.parallel, scores.other, scores.no_answer,
            )  # fmt: skip
            rows.append([
                system.name, *map(str, counts), scores.mirex.percent(),
                scores.mirex_ascending.percent(), *map(_percent, (
                    scores.accuracy, scores.mode_accuracy, scores.tonic_accuracy)),
                _ece(system), *_difference(report, system.keys_against),
            ])  # fmt: skip
    return [head, *rows] if rows else []


def signature_rows(report: Report) -> Rows:
    """Table of scores over 12 key signatures: header, then a row per system."""
    head = ["system", "outputs", "N", "correct", "fifth", "other", "no answer", "KSEA", "accuracy"]
    rows = [[*head, "ECE", *_against(report)]]
    for system in report.systems:
        scores = system.signatures
        counts = (
            system.system.outputs, scores.n, scores.correct, scores.fifth, scores.other,
            scores.no_answer,
        )  # fmt: skip
        rows.append([
            system.name, *map(str, counts), scores.ksea.percent(), _percent(scores.accuracy),
            _ece(system) if system.system.outputs == 12 else "",
            *_difference(report, system.signatures_against),
        ])  # fmt: skip
    return rows


def group_rows(report: Report, column: str) -> Rows:
    """Table of scores by the values of a column."""
    groups = report.by[column]
    keyed = [system.name for system in report.systems if system.keys is not None]
    head = [column, "N", *(f"{name}: MIREX" for name in keyed)]
    rows = [[*head, *(f"{system.name}: KSEA" for system in report.systems)]]
    for group in groups:
        rows.append([
            group.value, str(group.n), *(group.keys[name].mirex.percent() for name in keyed),
            *(group.signatures[system.name].ksea.percent() for system in report.systems),
        ])  # fmt: skip
    return rows


def data_lines(report: Report) -> list[str]:
    """What was scored and what was not, to print with every table."""
    counts = report.manifest.counts()
    unusable = counts["unusable_labels"]
    lines = [
        f"N {len(report.tracks)} of {counted(counts['tracks'], 'track')} "
        f"({counts['missing']} without audio, {counts['unlabelled']} unlabelled, "
        f"{counts['keyless']} keyless"
        f"{f', {unusable} with a label that is no key' if unusable else ''}; "
        f"{counts['duplicates']} listed twice)."
    ]
    if report.labels:
        lines.append(f"Labels: {report.labels}.")
    if report.settings:
        published = report.settings.get("published_segments")
        lines.append(
            f"Segments: {'published cutting' if published else 'whole track'}, overlap "
            f"{report.settings.get('overlap', 0):g}."
        )
    for name, count in report.failed.items():
        lines.append(f"{name}: no answer for {counted(count, 'track')}, counted as wrong.")
    for system in report.systems:
        if remark := system.system.remark:
            lines.append(f"{system.name}: {remark}.")
        if unmatched := system.system.unmatched:
            lines.append(
                f"{system.name}: also names {counted(len(unmatched), 'track')} not in the data."
            )
    return lines


def markdown(report: Report, images: Mapping[str, str]) -> str:
    """The report as Markdown.

    Args:
        report: report to write.
        images: file name of each figure, relative to the text -> its caption.
    """
    parts = [f"# {report.manifest.name}", "\n".join(data_lines(report))]
    if rows := key_rows(report):
        parts += ["## 24 keys", markdown_table(rows), _KEYS_NOTE]
    parts += ["## 12 key signatures", markdown_table(signature_rows(report)), _SIGNATURES_NOTE]
    for column in report.by:
        parts += [f"## By {column}", markdown_table(group_rows(report, column))]
    if images:
        parts.append("## Figures")
        parts += [f"{caption}\n\n![{caption}]({name})" for name, caption in images.items()]
    listed = _listed(report)
    if listed:
        parts += ["## Tracks not scored or without an answer", "\n".join(listed)]
    made = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, stonekey {__version__}."
    return "\n\n".join([*parts, made]) + "\n"


_KEYS_NOTE = (
    "MIREX: same 1, fifth 0.5, relative 0.3, parallel 0.2; fifths in both directions (MIREX since "
    "2017), and for comparison only estimates a fifth above the reference (mir_eval's default). "
    "Brackets: 95 % bootstrap intervals over tracks. ECE: expected calibration error."
)
_SIGNATURES_NOTE = (
    "KSEA: (correct + 0.5 fifth) / N, with fifths in either direction. A key counts as its "
    "signature. Differences are paired, with p of a sign-flip test."
)


def track_rows(report: Report) -> Iterable[list[str]]:
    """Yield a header and a row for every track of the data, scored or not."""
    head = ["id", "path", "status", "key", "signature"]
    for system in report.systems:
        parts = ["estimate", "confidence", "category", "signature category", "error"]
        head += [f"{system.name}: {part}" for part in parts]
    yield head
    scored = {id(track) for track in report.tracks}
    for track in report.manifest:
        missing = "missing" if not track.present else "not scored"
        unlabelled = "unusable label" if track.unusable else "unlabelled"
        status = ("keyless" if track.keyless else unlabelled) if track.key is None else missing
        row = [
            track.id, str(track.path or ""), "scored" if id(track) in scored else status,
            str(track.key or ""), str(track.signature or ""),
        ]  # fmt: skip
        for system in report.systems:
            if id(track) not in scored or track.key is None:
                row += [""] * 5
                continue
            answer = system.system.answer(track)
            label = answer.label
            kind = ""
            if system.keys is not None:
                key = label if isinstance(label, Key) else None
                kind = key_categories([track.key], [key])[0]
            row += [
                str(label or ""),
                "" if answer.confidence is None else f"{answer.confidence:.4f}",
                kind,
                signature_categories([track.key], [label])[0],
                answer.error or "",
            ]
        yield row


def draw(report: Report) -> dict[str, tuple[str, Any]]:
    """Draw every figure of a report; returns file name -> caption and figure."""
    drawn: dict[str, tuple[str, Any]] = {}
    slugs = _slugs([system.name for system in report.systems])
    for system in report.systems:
        name, slug, n = system.name, slugs[system.name], len(report.tracks)
        if system.keys is not None and system.key_confusion is not None:
            title = f"{name}: N {n}, MIREX {_percent(system.keys.mirex)} %"
            figure = figures.confusion_figure(system.key_confusion, title)
            drawn[f"confusion_keys_{slug}.png"] = (f"Confusion over 24 keys, {name}", figure)
        title = f"{name}: N {n}, KSEA {_percent(system.signatures.ksea)} %"
        figure = figures.confusion_figure(system.signature_confusion, title)
        caption = f"Confusion over 12 key signatures, {name}"
        drawn[f"confusion_signatures_{slug}.png"] = (caption, figure)
    certain = {_judged(s): s.calibration for s in report.systems if s.calibration is not None}
    if certain:
        drawn["reliability.png"] = (
            "Accuracy against confidence", figures.reliability_figure(certain)
        )  # fmt: skip
    curves = {_judged(s): s.coverage for s in report.systems if s.coverage is not None}
    if curves:
        caption = "Accuracy against the share of tracks answered, as low confidence abstains"
        drawn["coverage.png"] = (caption, figures.coverage_figure(curves))
    for column, groups in report.by.items():
        slug = _slugs([column])[column]
        if groups[0].keys:
            found = [(g.value, g.n, {name: s.mirex for name, s in g.keys.items()}) for g in groups]
            figure = figures.groups_figure(found, "MIREX", column)
            drawn[f"by_{slug}_keys.png"] = (f"MIREX by {column}", figure)
        found = [(g.value, g.n, {name: s.ksea for name, s in g.signatures.items()}) for g in groups]
        figure = figures.groups_figure(found, "KSEA", column)
        drawn[f"by_{slug}_signatures.png"] = (f"KSEA by {column}", figure)
    return drawn


def write_report(report: Report, folder: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write report.json, report.md, tracks.csv and figures to a folder; returns their paths.

    Args:
        report: from `stonekey.evaluation.report.build_report`.
        folder: to write into.
        formats: of the figures, beside PNG; `stonekey.evaluation.figures.FORMATS`.
    """
    drawn = draw(report)
    written = []
    for name, (_, figure) in drawn.items():
        for form in dict.fromkeys(("png", *formats)):
            path = (folder / name).with_suffix(f".{form}")
            figures.save(figure, path)
            written.append(path)
    record = {
        "stonekey": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **report.as_dict(),
        "figures": list(drawn),
    }
    text = io.StringIO()
    rows = ([csv_cell(cell) for cell in row] for row in track_rows(report))
    csv.writer(text, lineterminator="\n").writerows(rows)
    images = {name: caption for name, (caption, _) in drawn.items()}
    for name, content in (
        ("report.json", json_text(record, indent=1) + "\n"),
        ("tracks.csv", text.getvalue()),
        ("report.md", markdown(report, images)),
    ):
        write_text(folder / name, content)
        written.append(folder / name)
    return written


def markdown_table(rows: Rows) -> str:
    """A header and rows as a Markdown table."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _judged(system: SystemReport) -> str:
    return f"{system.name} ({'keys' if system.system.outputs == 24 else 'signatures'})"


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.1f}"


def _ece(system: SystemReport) -> str:
    return "" if system.calibration is None else f"{100 * system.calibration.ece:.1f}"


def _against(report: Report) -> list[str]:
    return [] if report.baseline is None else [f"against {report.baseline}"]


def _difference(report: Report, found: PairedComparison | None) -> list[str]:
    if report.baseline is None:
        return []
    if found is None:
        return [""]
    low, high = 100 * found.difference.low, 100 * found.difference.high
    p = f"p {found.p_value:.3f}" if found.p_value >= 0.001 else "p < 0.001"
    return [f"{100 * found.difference.value:+.1f} [{low:+.1f}, {high:+.1f}], {p}"]


def _listed(report: Report) -> list[str]:
    manifest = report.manifest
    lines = [f"- without audio: `{track.id}`" for track in manifest.missing]
    for kind, tracks in (
        ("unlabelled", manifest.unlabelled),
        ("label that is no key", manifest.unusable),
        ("keyless", manifest.keyless),
    ):
        lines += [
            f"- {kind}: `{track.id}`" + (f" ({track.problem})" if track.problem else "")
            for track in tracks
        ]
    lines += [f"- listed twice: `{duplicate.track.id}`" for duplicate in manifest.duplicates]
    for system in report.systems:
        lines += [f"- {system.name}: `{track}`: {error}" for track, error in system.failures]
        lines += [f"- {system.name}: no track `{name}`" for name in system.system.unmatched]
    return lines


def _slugs(names: Iterable[str]) -> dict[str, str]:
    """Name -> a part of a file name, different for each."""
    slugs: dict[str, str] = {}
    for name in names:
        slug = re.sub(r"[^\w.+-]+", "_", name, flags=re.ASCII).strip("._") or "system"
        number, unique = 2, slug
        while unique.lower() in {other.lower() for other in slugs.values()}:
            number, unique = number + 1, f"{slug}_{number}"
        slugs[name] = unique
    return slugs
