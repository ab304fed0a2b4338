"""The paper's figure of label efficiency: score against the share of the labels used."""

from __future__ import annotations

import json
from typing import Annotated

import common
import typer

from stonekey.evaluation.figures import FORMATS, label_efficiency_figure, save
from stonekey.evaluation.tables import markdown_table
from stonekey.files import write_text

# Read off the chart of Kong et al., ISMIR 2024, +-0.2: MIREX score on FMAK, omega 7.
PUBLISHED = {
    "Semi-TONE": ((1, 57.0), (10, 65.9), (100, 68.8)),
    "Sup-TONE": ((1, 47.2), (10, 55.4), (100, 65.7)),
}
PUBLISHED_LINES = {"24-STONE, no labels": 49.2, "supervised": 69.2}
Points = list[tuple[float, str]]


def main(
    output: common.Output,
    dataset: common.Dataset = None,
    root: common.Root = None,
    manifest: common.Manifest = None,
    semi: Annotated[
        list[str] | None,
        typer.Option(help="Semi-TONE: SHARE=MODEL or SHARE=FILE.csv, the share in percent."),
    ] = None,
    sup: Annotated[list[str] | None, typer.Option(help="Sup-TONE: the same.")] = None,
    self_supervised: Annotated[
        str | None, typer.Option(help="Model or predictions of 24-STONE, trained without labels.")
    ] = None,
    supervised: Annotated[
        str | None, typer.Option(help="Model or predictions of another supervised system.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published/--only-measured", help="Show the published points too.")
    ] = True,
    force: common.Force = False,
    note: common.Note = None,
    published_segments: common.Published = True,
    device: common.Device = "cpu",
    cache: common.Cache = None,
    other_labels: common.OtherLabels = False,
) -> None:
    """Draw the weighted score of Semi-TONE and Sup-TONE against the share of labels used.

    Writes label_efficiency.png (and .pdf, .svg), label_efficiency.md and label_efficiency.json.

    For example:

      python recipes/label_efficiency.py --dataset fmakv2 --root fmak --semi 1=semi1.safetensors
      --semi 10=semi10.safetensors --semi 100=semi100.safetensors --sup 1=sup1.csv
      --self-supervised deezer/skey --output efficiency
    """
    options = common.Options(
        dataset, root, manifest, output, force, note, published_segments, device, cache,
        other_labels,
    )  # fmt: skip
    points = {"Semi-TONE": _shares(semi or []), "Sup-TONE": _shares(sup or [])}
    lines = {"self-supervised, no labels": self_supervised, "supervised": supervised}
    systems = [
        f"{name}, {share:g} %={what}" for name, given in points.items() for share, what in given
    ]
    systems += [f"{name}={what}" for name, what in lines.items() if what]
    if not systems:
        common.fail("give models or predictions: --semi 1=..., --sup 1=..., --self-supervised ...")
    report = common.score(options, systems)
    scores = {system.name: system.keys for system in report.systems}
    if short := [name for name, keys in scores.items() if keys is None]:
        common.fail(f"{short[0]}: answers with key signatures; the score needs 24 keys")
    mirex = {name: keys.mirex for name, keys in scores.items() if keys is not None}
    ascending = {name: keys.mirex_ascending for name, keys in scores.items() if keys is not None}

    curves = {}
    for name, given in points.items():
        found = [(share, mirex[f"{name}, {share:g} %"]) for share, _ in given]
        if found:
            curves[name] = [(share, interval.value, interval) for share, interval in found]
    drawn = {name: mirex[name].value for name, what in lines.items() if what}
    if published:
        drawn |= {f"{name}, published on FMAK": v / 100 for name, v in PUBLISHED_LINES.items()}
    faint = {
        name: [(share, value / 100, None) for share, value in chart]
        for name, chart in (PUBLISHED.items() if published else ())
    }
    figure = label_efficiency_figure(curves, drawn, faint)
    for form in FORMATS:
        save(figure, output / f"label_efficiency.{form}")

    table = [["system", "N", "MIREX", "ascending fifths only"]]
    for name, interval in mirex.items():
        n = str(len(report.tracks))
        table.append([name, n, interval.percent(), ascending[name].percent()])
    text = [
        "# Label efficiency", "![Score against the share of labels](label_efficiency.png)",
        markdown_table(table),
        f"Measured on {report.manifest.name}, N {len(report.tracks)}; labels: {report.labels}.",
    ]  # fmt: skip
    write_text(output / "label_efficiency.md", "\n\n".join(text) + "\n")
    record = json.dumps(report.as_dict(), ensure_ascii=False, indent=1)
    write_text(output / "label_efficiency.json", record + "\n")
    common.finish(report, output / "label_efficiency.png")


def _shares(texts: list[str]) -> Points:
    points: Points = []
    for text in texts:
        share, sign, what = text.partition("=")
        try:
            value = float(share.removesuffix("%"))
        except ValueError:
            value = 0.0
        if not (sign and what and 0 < value <= 100):
            common.fail(
                f"{text}: give SHARE=MODEL with a share of 0 to 100 percent, as in 10=model.onnx"
            )
        points.append((value, what))
    return points


if __name__ == "__main__":
    typer.run(main)
