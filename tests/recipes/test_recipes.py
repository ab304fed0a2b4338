from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cli_tools import ROOT, music
from evaluation_data import KEYS, SECONDS, recordings, table

from stonekey.evaluation import datasets
from stonekey.evaluation.datasets.fmakv2 import LABELS_V2, read_tracks

RECIPES = ("table_signatures", "label_efficiency", "confusion")
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings(tmp_path_factory.mktemp("music"))


@pytest.fixture(autouse=True)
def recipes_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when they are run as scripts."""
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))


def run(recipe: str, *arguments: str | Path) -> Any:
    import typer
    from typer.testing import CliRunner

    app = typer.Typer()
    app.command()(import_module(recipe).main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def predictions(path: Path, *keys: str) -> Path:
    return table(path, [("path", "key"), *((f"{i}.wav", key) for i, key in enumerate(keys))])


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_is_one_command_with_help(recipe: str) -> None:
    done = subprocess.run(
        [sys.executable, f"recipes/{recipe}.py", "--help"],
        cwd=ROOT, capture_output=True, encoding="utf-8", timeout=600,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "", "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"python recipes/{recipe}.py" in done.stdout
    for option in ("--dataset", "--root", "--manifest", "--output", "--force"):
        assert option in done.stdout


def test_signature_table_beside_the_published_one(manifest: Path, tmp_path: Path) -> None:
    fifths = predictions(tmp_path / "p.csv", "C major", "A major", "Eb minor", "B minor", "A minor")
    folder = tmp_path / "out"
    done = run(
        "table_signatures", "--manifest", manifest, "--output", folder,
        "--omega7", fifths, "--other", "mine=template",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = (folder / "table.md").read_text("utf-8").splitlines()
    rows = {line.split("|")[1].strip(): line.split("|") for line in lines if line.startswith("|")}
    row = [cell.strip() for cell in rows["STONE, omega 7"][2:-1]]
    assert row[:3] == ["5", "2", "2"]
    assert row[3].startswith("60.0 [")
    assert row[4:] == ["3587", "1225", "76.5"]
    assert [cell.strip() for cell in rows["STONE, omega 1"][2:-1]][3:] == [
        "",
        "3883",
        "920",
        "79.1",
    ]
    assert rows["mine"][2].strip() == "5"
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert [system["name"] for system in report["systems"]] == [
        "feature engineering", "STONE, omega 7", "mine"
    ]  # fmt: skip
    assert report["systems"][0]["source"] == "template12"
    assert report["settings"]["published_segments"] is True


def test_signature_table_on_fmakv2_where_the_user_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unverified = replace(
        datasets.FMAKV2, reader=lambda root, verify: read_tracks(root, LABELS_V2, False)
    )
    monkeypatch.setitem(datasets.DATASETS, "fmakv2", unverified)
    root = tmp_path / "fmak"
    (root / "000").mkdir(parents=True)
    rows: list[tuple[object, ...]] = [("track_id", "spotify_uri", "key_and_mode")]
    for number, key in zip((10, 141, 5000), KEYS, strict=False):
        rows.append((number, "", key))
        if number < 1000:
            music(root / "000" / f"{number:06d}.wav", key, SECONDS)
    table(root / "fmakv2.csv", rows)
    other = table(tmp_path / "madmom.csv", [("path", "key"), ("fma/000/000141.mp3", "D major")])
    done = run("table_signatures", "--dataset", "fmakv2", "--root", root, "-o", tmp_path / "out",
               "--supervised", other)  # fmt: skip
    assert done.exit_code == 1, done.output  # one track without a prediction
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["scored"] == 2
    assert report["data"]["missing_ids"] == ["5000"]
    assert "12759100" in report["labels"]
    _, supervised = report["systems"]
    assert (supervised["signatures"]["correct"], supervised["signatures"]["no_answer"]) == (1, 1)


def test_label_efficiency_figure(manifest: Path, tmp_path: Path) -> None:
    wrong = predictions(tmp_path / "p.csv", *["C major"] * 5)
    folder = tmp_path / "out"
    done = run(
        "label_efficiency", "--manifest", manifest, "-o", folder, "--semi", f"1={wrong}",
        "--semi", "100%=template", "--sup", f"10={wrong}", "--self-supervised", "template",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (folder / "label_efficiency.png").read_bytes().startswith(PNG)
    assert (folder / "label_efficiency.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "label_efficiency.svg").is_file()
    report = json.loads((folder / "label_efficiency.json").read_text("utf-8"))
    scores = {system["name"]: system["keys"]["mirex"]["value"] for system in report["systems"]}
    assert scores == {
        "Semi-TONE, 1 %": 0.2,
        "Semi-TONE, 100 %": 1.0,
        "Sup-TONE, 10 %": 0.2,
        "self-supervised, no labels": 1.0,
    }
    assert "| Sup-TONE, 10 % | 5 | 20.0 [" in (folder / "label_efficiency.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--semi", "template"], "SHARE=MODEL"),
        (["--semi", "200=template"], "SHARE=MODEL"),
        ([], "give models or predictions"),
        (["--semi", "1=template12"], "needs 24 keys"),
    ],
)
def test_label_efficiency_refuses_what_it_cannot_draw(
    arguments: list[str], message: str, manifest: Path, tmp_path: Path
) -> None:
    done = run("label_efficiency", "--manifest", manifest, "-o", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()


def test_confusion_matrices(manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = run(
        "confusion", "template", "signatures=template12", "--manifest", manifest, "-o", folder
    )
    assert done.exit_code == 0, done.output
    for name in ("keys_template", "signatures_template", "signatures_signatures"):
        assert (folder / f"confusion_{name}.png").read_bytes().startswith(PNG)
    assert not (folder / "confusion_keys_signatures.png").exists()
    report = json.loads((folder / "report.json").read_text("utf-8"))
    matrix = report["systems"][0]["key_confusion"]
    for key in KEYS:
        i = matrix["labels"].index(key)
        assert matrix["counts"][i][i] == 1
    done = run("confusion", "template", "--manifest", manifest, "-o", folder)
    assert done.exit_code == 2
    assert "not empty" in done.output
