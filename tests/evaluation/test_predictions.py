from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_tools import call, music
from evaluation_data import KEYS, SECONDS, recordings, table

from stonekey.data.manifest import ManifestError, Track, read_manifest
from stonekey.estimate.settings import EstimatorSettings
from stonekey.evaluation.other_tools import read_predictions
from stonekey.evaluation.predictions import Answer, predict_tracks
from stonekey.keys import Key, KeySignature


class Seen:
    """Records which tracks a model runs on; can stop early."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.ids: list[str] = []
        self._stop_after = stop_after

    @contextmanager
    def __call__(self, name: str, tracks: Sequence[Track]) -> Iterator[Iterator[Track]]:
        def each() -> Iterator[Track]:
            for i, track in enumerate(tracks):
                if i == self._stop_after:
                    raise KeyboardInterrupt
                self.ids.append(track.id)
                yield track

        yield each()


def tracks_of(*names: str, key: str = "C major") -> list[Track]:
    return [Track(id=name, path=Path("/music") / name, key=Key.parse(key)) for name in names]


# Models over a manifest


def test_an_interrupted_run_goes_on_and_a_finished_one_runs_nothing(
    manifest: Path, tmp_path: Path
) -> None:
    tracks = read_manifest(manifest).usable
    with pytest.raises(KeyboardInterrupt):
        predict_tracks("template", tracks, cache=tmp_path, watch=Seen(2))
    rest = Seen()
    system = predict_tracks("template", tracks, cache=tmp_path, watch=rest)
    assert rest.ids == ["2.wav", "3.wav", "4.wav"]
    assert [str(system.answer(track).label) for track in tracks] == list(KEYS)
    again = Seen()
    assert predict_tracks("template", tracks, cache=tmp_path, watch=again) == system
    assert again.ids == []


def test_what_changes_an_answer_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    manifest = recordings(tmp_path, KEYS[:2])
    tracks = read_manifest(manifest).usable
    kept = tmp_path / "cache"

    def asked(model: str = "template", **settings: Any) -> list[str]:
        seen = Seen()
        predict_tracks(model, tracks, EstimatorSettings(**settings), cache=kept, watch=seen)
        return seen.ids

    assert len(asked()) == 2
    assert asked(threads=1) == []
    assert len(asked(published_segments=True)) == 2
    assert len(asked(overlap=0.5)) == 2
    assert len(asked("template12")) == 2
    music(tmp_path / "0.wav", "E minor", SECONDS + 0.1)
    assert asked() == ["0.wav"]
    os.utime(tmp_path / "1.wav", ns=(1, 1))
    assert asked() == ["1.wav"]
    assert asked() == []


def test_a_line_cut_off_in_the_cache_loses_that_line_only(manifest: Path, tmp_path: Path) -> None:
    tracks = read_manifest(manifest).usable
    whole = predict_tracks("template", tracks, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    for expected in (["4.wav"], []):
        seen = Seen()
        assert predict_tracks("template", tracks, cache=tmp_path, watch=seen) == whole
        assert seen.ids == expected


def test_a_file_that_cannot_be_read_has_an_error_and_is_tried_again(tmp_path: Path) -> None:
    music(tmp_path / "good.wav", "D minor", SECONDS)
    (tmp_path / "bad.wav").write_text("no sound")
    rows = [("path", "key"), ("bad.wav", "C major"), ("good.wav", "D minor")]
    tracks = read_manifest(table(tmp_path / "m.csv", rows)).usable
    for expected in (["bad.wav", "good.wav"], ["bad.wav"]):
        seen = Seen()
        system = predict_tracks("template", tracks, cache=tmp_path / "c", watch=seen)
        assert seen.ids == expected
        bad, good = (system.answer(track) for track in tracks)
        assert (bad.label, bad.confidence) == (None, None)
        assert "not readable" in str(bad.error)
        assert (str(good.label), good.error) == ("D minor", None)


def test_cached_outputs_equal_the_estimator(manifest: Path, cache: Path) -> None:
    from stonekey.estimate.estimator import KeyEstimator

    tracks = read_manifest(manifest).usable[:2]
    predict_tracks("template", tracks, cache=cache)
    system = predict_tracks("template", tracks, cache=cache)
    for track in tracks:
        assert track.path is not None
        estimate = KeyEstimator("template")(track.path)
        assert system.answer(track) == Answer(estimate.key, estimate.confidence)


# Predictions of other tools


@pytest.mark.parametrize(
    ("file", "track"),
    [
        ("a/01.wav", "a/01.wav"),
        ("/elsewhere/b/01.wav", "b/01.wav"),
        ("C:\\music\\b\\01.wav", "b/01.wav"),
        ("solo.mp3", "solo.flac"),
        ("/music/solo.flac", "solo.flac"),
        ("000141.mp3", "141"),
    ],
)
def test_predictions_are_found_by_the_end_of_their_path(
    file: str, track: str, tmp_path: Path
) -> None:
    tracks = tracks_of("a/01.wav", "b/01.wav", "solo.flac")
    tracks.append(Track(id="141", path=None, key=Key.parse("C")))
    system = read_predictions(table(tmp_path / "p.csv", [("path", "key"), (file, "G")]), tracks)
    assert list(system.answers) == [track]
    assert system.name == "p"


def test_a_name_that_several_tracks_have_is_no_match(tmp_path: Path) -> None:
    tracks = tracks_of("a/01.wav", "b/01.wav", "solo.flac")
    rows = [("path", "key"), ("01.wav", "G"), ("x/solo.flac", "G"), ("other.wav", "G")]
    system = read_predictions(table(tmp_path / "p.csv", rows), tracks)
    assert list(system.answers) == ["solo.flac"]
    assert system.unmatched == ("01.wav", "other.wav")


def test_the_longer_match_wins_in_either_order(tmp_path: Path) -> None:
    tracks = tracks_of("a/01.wav")
    rows = [("x/01.wav", "D"), ("a/01.wav", "G")]
    for order in (rows, rows[::-1]):
        system = read_predictions(table(tmp_path / "p.csv", [("path", "key"), *order]), tracks)
        assert str(system.answers["a/01.wav"].label) == "G major"
        assert system.unmatched == ("x/01.wav",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("path", "key"), ("a.wav", "C"), ("b.wav", "H sharp")], r"p\.csv, line 3: b\.wav.*sharp"),
        ([("path", "key", "confidence"), ("a.wav", "C", "1.5")], r"line 2: a\.wav: confidence 1"),
        ([("path", "key", "confidence"), ("a.wav", "C", "high")], r"line 2: a\.wav: could not"),
        ([("path", "key"), ("a.wav", "C"), ("a.wav", "D")], r"line 3: a\.wav has another answer"),
        ([("path", "tonic"), ("a.wav", "C")], "no column key"),
        ([("song", "key"), ("a.wav", "C")], "no column path"),
        ([("path", "key"), ("", "C")], "line 2: no path"),
        ([("path", "key"), ("z.wav", "C")], "none of its files"),
    ],
)
def test_bad_predictions_are_named_with_their_line(
    rows: list[tuple[str, ...]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_predictions(table(tmp_path / "p.csv", rows), tracks_of("a.wav", "b.wav"))


def test_predictions_of_signatures_and_of_no_key(tmp_path: Path) -> None:
    tracks = tracks_of("a.wav", "b.wav", "c.wav")
    rows = [("file", "key", "confidence"), ("a.wav", "3 flats", "0.5"), ("b.wav", "no key", "0"),
            ("b.wav", "no key", "0")]  # fmt: skip
    system = read_predictions(table(tmp_path / "p.csv", rows), tracks)
    assert system.outputs == 12
    assert system.answer(tracks[0]) == Answer(KeySignature.parse("Eb major"), 0.5)
    assert system.answer(tracks[1]) == Answer(None, 0.0)
    assert system.answer(tracks[2]).error == "no prediction"


def test_what_predict_writes_is_read(manifest: Path, tmp_path: Path) -> None:
    tracks = read_manifest(manifest).usable
    for model, outputs in (("template", 24), ("template12", 12)):
        path = tmp_path / f"{model}.csv"
        assert call("predict", manifest.parent, "-m", model, "-e", "wav", "-o", path) == 0
        system = read_predictions(path, tracks)
        direct = predict_tracks(model, tracks)
        assert system.outputs == outputs
        for track in tracks:
            assert system.answer(track).label == direct.answer(track).label
            confidence = direct.answer(track).confidence
            assert system.answer(track).confidence == pytest.approx(confidence, abs=1e-4)
