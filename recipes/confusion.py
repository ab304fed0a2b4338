"""The paper's confusion matrices, over 12 key signatures and 24 keys."""

from __future__ import annotations

from typing import Annotated

import common
import typer

from stonekey.evaluation.tables import write_report


def main(
    system: Annotated[
        list[str],
        typer.Argument(
            metavar="SYSTEM...",
            help="Models and predictions (.csv), each also as NAME=...",
        ),
    ],
    output: common.Output,
    dataset: common.Dataset = None,
    root: common.Root = None,
    manifest: common.Manifest = None,
    force: common.Force = False,
    note: common.Note = None,
    published_segments: common.Published = True,
    device: common.Device = "cpu",
    cache: common.Cache = None,
    other_labels: common.OtherLabels = False,
) -> None:
    """Draw confusion matrices: keys in order of the circle of fifths, darker means more.

    Systems of 24 keys get a matrix of keys and one of signatures; counts are in report.json.

    For example:

      python recipes/confusion.py deezer/stone12 deezer/stone24 --dataset fmakv2 --root fmak
      --output confusion
    """
    options = common.Options(
        dataset, root, manifest, output, force, note, published_segments, device, cache,
        other_labels,
    )  # fmt: skip
    report = common.score(options, system)
    write_report(report, output)
    common.finish(report, output)


if __name__ == "__main__":
    typer.run(main)
