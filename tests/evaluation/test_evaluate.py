from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_tools import call, music
from evaluation_data import KEYS, SECONDS, published_counts, table

from stonekey.data.manifest import Track
from stonekey.evaluation.datasets import DATASETS
from stonekey.evaluation.predictions import (
    Answer,
    System,
)
from stonekey.evaluation.report import build_report
from stonekey.evaluation.run import evaluate, load_data, named
from stonekey.evaluation.tables import key_rows, write_report
from stonekey.keys import Key


def run(*arguments: str | Path) -> int:
    return call("evaluate", *arguments)


def tracks_of(*names: str, key: str = "C major") -> list[Track]:
    return [Track(id=name, path=Path("/music") / name, key=Key.parse(key)) for name in names]


# Reports


@pytest.mark.parametrize(("correct", "fifth", "ksea"), [(3587, 1225, 76.5), (3883, 920, 79.1)])
def test_published_counts_reproduce_their_ksea_without_audio(
    correct: int, fifth: int, ksea: float, tmp_path: Path
) -> None:
    manifest, predictions = published_counts(tmp_path, correct, fifth, 5489)
    report = evaluate(load_data(manifest=manifest), [str(predictions)])
    (system,) = report.systems
    scores = system.signatures
    assert (scores.n, scores.correct, scores.fifth) == (5489, correct, fifth)
    assert round(100 * scores.ksea.value, 1) == ksea
    assert system.keys is None
    assert report.baseline is None
    assert key_rows(report) == []


def test_scores_by_hand_and_24_keys_as_signatures(tmp_path: Path) -> None:
    references = ["C major"] * 6
    answers = ["C major", "G major", "F major", "A minor", "C minor", ""]
    rows = [(f"{i}.wav", key) for i, key in enumerate(references)]
    manifest = table(tmp_path / "m.csv", [("path", "key"), *rows])
    rows = [(f"{i}.wav", key) for i, key in enumerate(answers)]
    other = table(tmp_path / "other.csv", [("path", "key"), *rows[:1]])
    report = evaluate(
        load_data(manifest=manifest),
        [str(table(tmp_path / "tool.csv", [("path", "key"), *rows])), str(other)],
    )
    scores = report["tool"].keys
    assert scores is not None
    assert scores.mirex.value == pytest.approx((1 + 0.5 + 0.5 + 0.3 + 0.2) / 6)
    assert scores.mirex_ascending.value == pytest.approx((1 + 0.5 + 0.3 + 0.2) / 6)
    assert report["tool"].signatures.ksea.value == pytest.approx((1 + 0.5 + 0.5 + 1 + 0) / 6)
    # Tracks that the other tool does not mention stay in its N, as wrong.
    assert report["other"].signatures.n == 6
    assert report.failed == {"other": 5}
    against = report["other"].keys_against
    assert against is not None
    assert against.difference.value == pytest.approx((1 - 2.5) / 6)
    assert report["tool"].keys_against is None


def test_baseline_names_and_columns_are_checked() -> None:
    tracks = tracks_of("a.wav", "b.wav")
    manifest = read_manifest_of(tracks)
    system = System("one", 24, {"a.wav": Answer(Key.parse("C"))}, "")
    two = replace(system, name="two")
    assert build_report(manifest, tracks, [system, two], baseline="two").baseline == "two"
    with pytest.raises(ValueError, match="no system is named 'three'; there are one, two"):
        build_report(manifest, tracks, [system, two], baseline="three")
    with pytest.raises(ValueError, match="two systems are named 'one'"):
        build_report(manifest, tracks, [system, system])
    with pytest.raises(ValueError, match="no column 'genre'"):
        build_report(manifest, tracks, [system], by=["genre"])
    with pytest.raises(ValueError, match="no track can be scored"):
        build_report(manifest, [], [system])


def read_manifest_of(tracks: Sequence[Track]) -> Any:
    from stonekey.data.manifest import build_manifest

    return build_manifest("test", tracks)


def test_groups_add_up_and_rare_values_are_put_together() -> None:
    tracks = [
        replace(track, metadata={"genre": f"g{i // 2}" if i < 80 else ""})
        for i, track in enumerate(tracks_of(*(f"{i}.wav" for i in range(84))))
    ]
    answers = {track.id: Answer(Key.parse("C" if i % 2 else "G")) for i, track in enumerate(tracks)}
    system = System("s", 24, answers, "")
    report = build_report(read_manifest_of(tracks), tracks, [system], by=["Genre", "mode"])
    groups = report.by["Genre"]
    assert groups[0].value == "(none)"
    assert groups[-1].value == "(18 others)"
    assert len(groups) == 24
    assert sum(group.n for group in groups) == 84
    assert {group.keys["s"].mirex.value for group in groups} == {0.75}
    assert [group.value for group in report.by["mode"]] == ["major"]


def test_names_of_systems() -> None:
    assert named("mine=a/b.onnx") == ("mine", "a/b.onnx")
    assert named("a/b.onnx") == (None, "a/b.onnx")


def test_the_same_name_twice_is_told_apart(manifest: Path, tmp_path: Path) -> None:
    rows = [("path", "key"), ("0.wav", "C")]
    (tmp_path / "x").mkdir()
    files = [table(tmp_path / "p.csv", rows), table(tmp_path / "x" / "p.csv", rows)]
    report = evaluate(load_data(manifest=manifest), [str(file) for file in files])
    assert [system.name for system in report.systems] == ["p", "p (2)"]


def test_what_is_wrong_is_told_before_models_are_run(manifest: Path, tmp_path: Path) -> None:
    data = load_data(manifest=manifest)
    wrong = table(tmp_path / "p.csv", [("path", "key"), ("0.wav", "Q")])
    for arguments, message in (
        ({"by": ["mood"]}, "no column 'mood'"),
        ({"baseline": "mine"}, "no system is named 'mine'; there are template, template \\(2"),
        ({}, "line 2: 0.wav"),
    ):
        systems = ["template", "template", *([] if arguments else [str(wrong)])]
        with pytest.raises(ValueError, match=message):
            evaluate(data, systems, cache=tmp_path / "cache", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "cache").exists()


# The command


def test_command_writes_the_report_and_the_second_is_the_same(
    manifest: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = table(
        tmp_path / "tool.csv",
        [("path", "key", "confidence")] + [(f"{i}.wav", "C major", 0.2 * i) for i in range(5)],
    )
    arguments = [
        "--manifest", manifest, "-m", "template", "-m", "chroma=template12", "-p", predictions,
        "--cache", cache, "--by", "genre", "--note", "made in a test",
    ]  # fmt: skip
    folder = tmp_path / "report"
    assert run(*arguments, "-o", folder) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "24 keys" in out
    assert "made in a test" in out
    assert "N 5 of 5 tracks" in out
    for name in ("template", "chroma", "tool", "100.0 [100.0, 100.0]", "ascending only"):
        assert name in out

    report = json.loads((folder / "report.json").read_text("utf-8"))
    first, second, third = report["systems"]
    assert (first["name"], first["outputs"], first["keys"]["mirex"]["value"]) == ("template", 24, 1)
    assert (second["name"], second["keys"]) == ("chroma", None)
    assert third["keys"]["same"] == 1
    assert third["against_baseline"]["mirex"]["difference"]["value"] < 0
    assert second["against_baseline"]["mirex"] is None
    assert {group["value"]: group["n"] for group in report["by"]["genre"]} == {"rock": 3, "jazz": 2}
    assert "made in a test" in report["labels"]
    with (folder / "tracks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == list(KEYS)
    assert [row["template: estimate"] for row in rows] == list(KEYS)
    assert [row["template: category"] for row in rows] == ["same"] * 5
    assert rows[1]["tool: category"] == "other"
    text = (folder / "report.md").read_text("utf-8")
    figures = sorted(path.name for path in folder.glob("*.png"))
    assert figures == sorted(report["figures"])
    assert len(figures) == 2 + 3 + 2 + 2
    assert all(f"]({name})" in text for name in figures)

    assert run(*arguments, "-o", folder) == 2
    assert "not empty" in capsys.readouterr().err
    (folder / "mine.txt").write_text("kept")
    assert run(*arguments, "-o", folder, "--force") == 0
    again = json.loads((folder / "report.json").read_text("utf-8"))
    del again["created"], report["created"]
    assert again == report
    assert (folder / "mine.txt").read_text() == "kept"


def test_command_counts_and_lists_what_it_cannot_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    music(tmp_path / "good.wav", "C major", SECONDS)
    music(tmp_path / "bare.wav", "C major", SECONDS)
    (tmp_path / "bad.wav").write_text("no sound")
    (tmp_path / "drums.wav").write_text("not read")
    rows = [("path", "key"), ("good.wav", "C major"), ("bad.wav", "D minor"), ("bare.wav", ""),
            ("drums.wav", "no key"), ("gone.wav", "E minor"), ("good.wav", "C major"),
            ("modal.wav", "E other")]  # fmt: skip
    manifest = table(tmp_path / "m.csv", rows)
    folder = tmp_path / "report"
    cache = tmp_path / "c"
    command = ("--manifest", manifest, "-m", "template", "--cache", cache, "-o", folder)
    assert run(*command, "--figures", "tiff") == 2
    assert "--figures must be one of png, pdf, svg, got 'tiff'" in capsys.readouterr().err
    assert run(*command, "--figures", "pdf", "--figures", "svg") == 1
    drawn = [{f.stem for f in folder.glob(f"*.{form}")} for form in ("png", "pdf", "svg")]
    assert drawn[0] == drawn[1] == drawn[2] >= {"confusion_keys_template"}
    out, err = capsys.readouterr()
    assert "template: bad.wav: not readable" in err
    skipped = "1 unlabelled, 1 with a label that is no key, 1 keyless, 1 listed twice (of 6"
    assert f"not scored: 2 without audio, {skipped}" in err
    assert f"modal.wav: {manifest}, line 8: not one major or minor key: 'E other'" in err
    kinds = "2 without audio, 1 unlabelled, 1 keyless, 1 with a label that is no key"
    assert f"N 2 of 6 tracks ({kinds}; 1 listed twice)" in out
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["systems"][0]["keys"]["no_answer"] == 1
    assert list(report["systems"][0]["failures"]) == ["bad.wav"]
    assert report["data"]["missing_ids"] == ["gone.wav", "modal.wav"]
    assert report["data"]["unusable_label_ids"] == ["modal.wav"]
    assert report["data"]["unlabelled_ids"] == ["bare.wav"]
    assert report["data"]["keyless_ids"] == ["drums.wav"]
    text = (folder / "report.md").read_text("utf-8")
    for line in (
        "without audio: `gone.wav`",
        "unlabelled: `bare.wav`",
        "keyless: `drums.wav`",
        "listed twice: `good.wav`",
    ):
        assert line in text
    with (folder / "tracks.csv").open(encoding="utf-8", newline="") as file:
        status = {row["id"]: row["status"] for row in csv.DictReader(file)}
    assert status == {
        "good.wav": "scored", "bad.wav": "scored", "bare.wav": "unlabelled", "gone.wav": "missing",
        "drums.wav": "keyless", "modal.wav": "unusable label",
    }  # fmt: skip


def test_an_empty_set_is_told_before_any_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = table(tmp_path / "m.csv", [("path", "key")])
    assert run("--manifest", manifest, "-m", "no such model", "-o", tmp_path / "r") == 1
    assert "no track can be scored (0 tracks" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --dataset"),
        (["--dataset", "fmakv2", "--manifest", "m.csv"], "either --dataset"),
        (["--dataset", "fmakv2"], "root"),
        (["--dataset", "fma", "--root", "."], "no data set 'fma'"),
        (["--manifest", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--manifest", "LABELS", "-m", "nothing"], "nothing: no such model"),
        (["--manifest", "LABELS", "-m", "p.csv"], "not a model: pass it to --predictions"),
        (["--manifest", "LABELS", "-p", "p.onnx"], "predictions must be a .csv"),
        (["--manifest", "LABELS", "-p", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--manifest", "LABELS", "--overlap", "1"], "overlap must be"),
        (["--manifest", "LABELS", "--split", "test"], "no track in split 'test'"),
        (["--manifest", "BROKEN"], "broken.csv, line 2: no path"),
    ],
)
def test_bad_usage_is_exit_code_2(
    arguments: list[str],
    message: str,
    manifest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = table(tmp_path / "broken.csv", [("path", "key"), ("", "C minor")])
    names = {"LABELS": str(manifest), "BROKEN": str(broken)}
    assert run(*(names.get(word, word) for word in arguments)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_another_version_of_a_label_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = DATASETS["fmakv2"].labels
    table(tmp_path / source.name, [("track_id", "key_and_mode"), ("7", "A minor")])
    answers = table(tmp_path / "p.csv", [("path", "key"), ("7", "A minor")])
    command = ("--dataset", "fmakv2", "--root", tmp_path, "-p", answers)
    assert run(*command) == 2
    assert "--allow-other-labels" in capsys.readouterr().err
    assert run(*command, "--allow-other-labels") == 0
    assert "in a version that was not checked" in capsys.readouterr().out


def test_a_system_that_is_scored_as_signatures_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = table(tmp_path / "m.csv", [("path", "key"), ("a", "F# minor"), ("b", "C major")])
    rows = [("path", "key"), ("a", "F#/Gb minor"), ("b", "C major")]
    assert run("--manifest", labels, "-p", table(tmp_path / "one.csv", rows)) == 0
    out, err = capsys.readouterr()
    assert "24 keys" in out
    assert "warning" not in err
    rows[2] = ("b", "3 flats")
    assert run("--manifest", labels, "-p", table(tmp_path / "two.csv", rows)) == 0
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "two: 1 of 2 predictions name a key signature and no key (line 3: 'Eb major" in text
    assert "warning: two" in err


def test_a_report_is_replaced_whole_or_not_at_all(manifest: Path, tmp_path: Path) -> None:
    data = load_data(manifest=manifest)
    predictions = table(tmp_path / "p.csv", [("path", "key"), ("0.wav", "C")])
    report = evaluate(data, [str(predictions)])
    folder = tmp_path / "r"
    written = write_report(report, folder)
    assert sorted(folder.iterdir()) == sorted(written)
