"""Tracks on the page: dropped, broken, many, stopped, sorted, saved."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from page_tools import Page

from stonekey.estimate.estimator import KeyEstimator
from stonekey.keys import Key
from stonekey.output.records import FIELDS, FileResult
from stonekey.synthesis import cadence, write_wav

FORMATS = ("wav", "flac", "mp3", "ogg", "m4a")


@pytest.fixture(scope="session")
def encoded(music: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Music in each of five formats, with its key as the page writes it."""
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg, which is not on this machine")
    folder = tmp_path_factory.mktemp("encoded")
    files = {}
    for suffix, (label, path) in zip(FORMATS, music.items(), strict=True):
        file = folder / f"{label[0]} {suffix}.{suffix}"
        options = ["-ar", "44100", "-ac", "2"]
        subprocess.run(
            ["ffmpeg", "-loglevel", "error", "-i", path, *options, file], check=True, timeout=60
        )
        files[file] = label.replace("#", "♯").replace("Eb", "E♭")
    return files


def test_five_formats_and_a_broken_file(
    page: Page, encoded: dict[Path, str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"ID3\x03" + bytes(range(256)) * 20)
    page.drop(*encoded, broken)
    rows = page.done(6)
    assert {name: row["key"] for name, row in rows.items()} == {
        **{file.name: label for file, label in encoded.items()},
        "broken.mp3": "",
    }
    assert rows.pop("broken.mp3")["note"] == "This browser cannot decode this kind of file"
    assert {row["seconds"] for row in rows.values()} == {"0:12"}
    assert all(int(row["sure"].removesuffix(" %")) > 50 for row in rows.values())
    assert page.tab.locator(".status").inner_text() == "5 tracks analysed, 1 could not be read"


def test_saved_files_agree_with_the_rows_and_with_python(
    page: Page, music: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "=broken.wav"
    broken.write_bytes(b"RIFF")
    page.choose(*music.values(), broken)
    rows = page.done(6)
    records = json.loads(page.save("Save the table as JSON"))
    assert [list(record) for record in records] == [list(FIELDS)] * 6
    assert {r["file"]: r["key"] or "" for r in records} == {
        name: row["key"].replace("♯", "#").replace("♭", "b") for name, row in rows.items()
    }
    estimator = KeyEstimator()
    for record in records:
        path = broken if record["file"] == broken.name else music[record["file"][:-4]]
        if path == broken:
            assert record["error"]
            assert rows[broken.name]["note"].lower() == record["error"].lower()
            continue
        expected = FileResult(path, estimator(path)).as_dict("stone24")
        for name in ("key", "tonic", "mode", "signature", "camelot", "open_key", "duration",
                     "segments", "model", "warnings", "error"):  # fmt: skip
            assert record[name] == expected[name]
        assert record["confidence"] == pytest.approx(expected["confidence"], abs=1e-3)
        assert record["tuning"] == pytest.approx(expected["tuning"], abs=0.1)
    table = list(csv.DictReader(io.StringIO(page.save("Save the table as CSV"))))
    assert list(table[0]) == list(FIELDS)
    for row, record in zip(table, records, strict=True):
        # What a spreadsheet would take for a formula is no formula any more.
        assert row["file"] == record["file"].replace("=broken", "./=broken")
        assert row["key"] == (record["key"] or "")
        assert float(row["confidence"] or 0) == (record["confidence"] or 0)
        top = [f"{entry['key']}={entry['probability']}" for entry in record["top"]]
        assert row["top"] == "; ".join(top)
    lines = page.save("Save an M3U playlist, sorted for mixing").splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[1::2] == [f"#EXTINF:{12 if k else -1},{n[:-4]}" for n, k in _mixed(records)]
    assert lines[2::2] == [name for name, _ in _mixed(records)]


def _mixed(records: list[dict]) -> list[tuple[str, str | None]]:
    from stonekey.library.harmony import mix_order

    keys = [record["key"] for record in records]
    order = mix_order([key and Key.parse(key) for key in keys])
    return [(records[i]["file"], keys[i]) for i in order]


def test_copy(new_page: Callable[..., Page], music: dict[str, Path], tmp_path: Path) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    formula = tmp_path / "=1+1.mp3"  # which a spreadsheet would work out
    formula.write_bytes(b"ID3")
    page.choose(music["A minor"], music["C major"], formula)
    page.done(3)
    page.button("Copy").click()
    status = page.tab.locator(".status")
    page.until(lambda: status.inner_text() == "Copied 3 tracks.")
    page.tab.wait_for_timeout(500)  # the keys over time are found meanwhile
    assert status.inner_text() == "Copied 3 tracks."
    copied = page.tab.evaluate("() => navigator.clipboard.readText()")
    cells = [line.split("\t") for line in copied.splitlines()]
    assert [cell[:2] for cell in cells] == [
        ["./=1+1.mp3", "error"], ["A minor.wav", "A minor"], ["C major.wav", "C major"],
    ]  # fmt: skip
    assert all(0.5 < float(sure) <= 1 for *_, sure in cells[1:])


def test_a_folder_of_fifty(page: Page, tmp_path: Path) -> None:
    """All get their own answer; what is no music in a folder is passed over."""
    keys = [Key.from_index(i % 24) for i in range(50)]
    folder = tmp_path / "album"
    for number, key in enumerate(keys):
        inner = folder / f"disc {number % 2}"
        inner.mkdir(parents=True, exist_ok=True)
        write_wav(inner / f"{number:02}.wav", cadence(key, seconds=6, seed=number))
    (folder / "cover.jpg").write_bytes(b"no music")
    page.drop(folder)
    rows = page.done(50)
    found = {name: row["key"].replace("♯", "#").replace("♭", "b") for name, row in rows.items()}
    expected = {f"album/disc {n % 2}/{n:02}.wav": str(key) for n, key in enumerate(keys)}
    assert list(found) == sorted(expected)
    # Six seconds leave some doubt; a mixed-up answer would be wrong nearly always.
    assert sum(found[name] == key for name, key in expected.items()) >= 45
    assert page.tab.locator(".status").inner_text() == "50 tracks analysed"


def test_stop_and_go_on(page: Page, tmp_path: Path) -> None:
    long = cadence(Key.parse("G major"), seconds=100)
    for number in range(4):
        write_wav(tmp_path / f"{number}.wav", long)
    page.choose(*sorted(tmp_path.glob("*.wav")))
    page.until(lambda: any(row["state"] == "estimate" for row in page.rows().values()))
    page.button("Stop").click()
    rows = page.rows()
    assert {row["state"] for row in rows.values()} <= {"stopped", "done"}
    assert rows["3.wav"]["state"] == "stopped"
    assert page.tab.locator(".status").inner_text().startswith("Stopped.")
    assert not page.button("Stop").is_visible()
    page.button("Continue").click()
    assert {row["key"] for row in page.done(4).values()} == {"G major"}


def test_no_clear_key(page: Page, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 22050 * 8).astype(np.float32)
    write_wav(tmp_path / "noise.wav", noise)
    write_wav(tmp_path / "silence.wav", np.zeros(22050 * 3, np.float32))
    page.choose(tmp_path / "noise.wav", tmp_path / "silence.wav")
    rows = page.done(2)
    assert {row["key"] for row in rows.values()} == {"no clear key"}
    assert rows["silence.wav"]["sure"] == "0 %"
    records = {r["file"]: r for r in json.loads(page.save("Save the table as JSON"))}
    assert records["noise.wav"]["key"] is records["silence.wav"]["key"] is None
    assert records["silence.wav"]["top"] == []
    assert records["silence.wav"]["warnings"] == ["silence"]


def test_sort_filter_and_remove(page: Page, music: dict[str, Path]) -> None:
    page.choose(*music.values())
    page.done(5)

    def names() -> list[str]:
        return [name.removesuffix(".wav") for name in page.rows()]

    came = ["A minor", "C major", "D minor", "Eb major", "F# minor"]
    assert names() == came
    page.button("Key").click()
    # 5B, 7A, 8A, 8B, 11A
    wheel = ["Eb major", "D minor", "A minor", "C major", "F# minor"]
    assert names() == wheel
    head = page.tab.get_by_role("columnheader", name="Key", exact=True)
    assert head.get_attribute("aria-sort") == "ascending"
    page.button("Key").click()
    assert names() == wheel[::-1]
    assert head.get_attribute("aria-sort") == "descending"
    page.button("Key").click()
    assert names() == came
    assert head.get_attribute("aria-sort") is None
    filter_ = page.tab.get_by_role("searchbox", name="Filter")
    filter_.fill("min")
    assert names() == ["A minor", "D minor", "F# minor"]
    # What is saved is what is shown.
    assert len(json.loads(page.save("Save the table as JSON"))) == 3
    filter_.fill("nothing")
    assert page.tab.get_by_text("No track matches the filter.").is_visible()
    filter_.fill("")
    page.button("Remove D minor.wav").click()
    assert names() == ["A minor", "C major", "Eb major", "F# minor"]
    page.choose(music["D minor"], music["A minor"])  # one is there already
    assert len(page.done(5)) == 5
    page.button("Remove all").click()
    assert page.rows() == {}
    assert page.tab.get_by_role("heading", name="Drop music here").is_visible()
