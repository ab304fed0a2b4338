"""The paper's table over 12 key signatures, on your data, beside the published numbers."""

from __future__ import annotations

from typing import Annotated

import common
import typer

from stonekey.evaluation.tables import markdown_table, write_report
from stonekey.files import write_text

# Kong et al., ISMIR 2024, on FMAK: correct, fifth, of 5489 tracks.
PUBLISHED = {
    "feature engineering": (1599, 981),
    "STONE, omega 7": (3587, 1225),
    "STONE, omega 1": (3883, 920),
    "supervised": (4090, 741),
}
TRACKS = 5489


def main(
    output: common.Output,
    dataset: common.Dataset = None,
    root: common.Root = None,
    manifest: common.Manifest = None,
    feature_engineering: Annotated[
        str, typer.Option(help="Model or predictions of the first row.")
    ] = "template12",
    omega7: Annotated[
        str | None, typer.Option(help="STONE with omega 7: a model or its predictions.")
    ] = None,
    omega1: Annotated[
        str | None, typer.Option(help="STONE with omega 1: a model or its predictions.")
    ] = None,
    supervised: Annotated[
        str | None, typer.Option(help="Predictions of a supervised system (CSV), or a model.")
    ] = None,
    other: Annotated[
        list[str] | None, typer.Option(help="More rows, NAME=MODEL or NAME=PREDICTIONS.csv.")
    ] = None,
    force: common.Force = False,
    note: common.Note = None,
    published_segments: common.Published = True,
    device: common.Device = "cpu",
    cache: common.Cache = None,
    other_labels: common.OtherLabels = False,
) -> None:
    """Score the rows of the paper's table of 12 key signatures; write table.md and a report.

    Rows without a model or predictions show the published numbers only.

    For example:

      python recipes/table_signatures.py --dataset fmakv2 --root fmak --omega7 omega7.safetensors
      --omega1 omega1.safetensors --other deezer/stone12 --output table
    """
    options = common.Options(
        dataset, root, manifest, output, force, note, published_segments, device, cache,
        other_labels,
    )  # fmt: skip
    given = (feature_engineering, omega7, omega1, supervised)
    rows = {name: what for name, what in zip(PUBLISHED, given, strict=True) if what}
    report = common.score(options, [*(f"{k}={v}" for k, v in rows.items()), *(other or ())])

    measured = {system.name: system.signatures for system in report.systems}
    table = [["model", "N", "correct", "fifth", "KSEA", "published: correct", "fifth", "KSEA"]]
    for name in [*PUBLISHED, *(name for name in measured if name not in PUBLISHED)]:
        cells = [name, "", "", "", ""]
        if scores := measured.get(name):
            counts = (scores.n, scores.correct, scores.fifth)
            cells = [name, *map(str, counts), scores.ksea.percent()]
        if name in PUBLISHED:
            correct, fifth = PUBLISHED[name]
            ksea = 100 * (correct + 0.5 * fifth) / TRACKS
            cells += [str(correct), str(fifth), f"{ksea:.1f}"]
        table.append(cells + [""] * (len(table[0]) - len(cells)))
    write_report(report, output)
    lines = [
        "# 12 key signatures",
        markdown_table(table),
        f"Measured on {report.manifest.name}, N {len(report.tracks)}; labels: {report.labels}.",
        f"Published: Kong et al., ISMIR 2024, on FMAK, N {TRACKS}. In brackets 95 % intervals.",
    ]
    write_text(output / "table.md", "\n\n".join(lines) + "\n")
    common.finish(report, output / "table.md")


if __name__ == "__main__":
    typer.run(main)
