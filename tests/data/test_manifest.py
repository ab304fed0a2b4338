from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stonekey.data.manifest import Manifest, ManifestError, read_manifest
from stonekey.data.subsets import keep_labels, write_manifest
from stonekey.keys import Key


def write(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_every_track_is_kept_with_what_it_lacks(folder: Path) -> None:
    manifest = read_manifest(
        write(
            folder,
            "path,key,split,genre\n"
            "a.wav,C# minor,train,rock\n"
            "\n"
            'b.wav,,train,"jazz, blues"\n'
            "gone.wav,Eb:maj,test,folk\n"
            "sub/c.wav,unknown,test\n",
        )
    )
    assert manifest.counts() == {
        "tracks": 4,
        "usable": 1,
        "missing": 1,
        "unlabelled": 2,
        "unusable_labels": 0,
        "keyless": 0,
        "duplicates": 0,
    }
    first = manifest.tracks[0]
    assert (first.id, first.path, first.key) == ("a.wav", folder / "a.wav", Key(1, "minor"))
    assert str(first.signature) == "E major / C# minor"
    assert dict(manifest.tracks[1].metadata) == {"genre": "jazz, blues"}
    assert [track.id for track in manifest.missing] == ["gone.wav"]
    assert [track.line for track in manifest] == [2, 4, 5, 6]
    assert [track.id for track in manifest.unlabelled] == ["b.wav", "sub/c.wav"]
    assert [track.id for track in manifest.usable] == ["a.wav"]
    listed = json.loads(json.dumps(manifest.as_dict()))
    assert listed["missing_ids"] == ["gone.wav"]
    assert manifest.splits == ("test", "train")
    assert [track.id for track in manifest.select("test")] == ["gone.wav", "sub/c.wav"]
    with pytest.raises(ManifestError, match=r"'dev'.*splits: test, train"):
        manifest.select("dev")


def test_key_column_is_optional_and_root_can_be_given(folder: Path) -> None:
    (folder / "lists").mkdir()
    path = write(folder / "lists", "\ufeffFile\tseconds\na.wav\t3.5\n", "list.tsv")
    assert read_manifest(path).missing
    manifest = read_manifest(path, root=folder)
    assert manifest.tracks[0].present
    assert manifest.tracks[0].key is None
    assert dict(manifest.tracks[0].metadata) == {"seconds": "3.5"}
    absolute = write(folder / "lists", f"path,key\n{folder / 'b.wav'},12A\n")
    assert str(read_manifest(absolute).usable[0].key) == "C# minor"


def test_jsonl_keeps_types_of_metadata(folder: Path) -> None:
    rows = [
        {"path": "a.wav", "key": "F# major", "seconds": 12.5, "tags": ["x"]},
        {"path": "b.wav", "key": None, "split": "dev"},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    manifest = read_manifest(write(folder, text, "tracks.jsonl"))
    assert [track.key for track in manifest] == [Key(6, "major"), None]
    assert dict(manifest.tracks[0].metadata) == {"seconds": 12.5, "tags": ["x"]}
    assert manifest.tracks[1].split == "dev"


def test_labels_that_are_not_sure(folder: Path) -> None:
    rows = [
        {"path": "a.wav", "probabilities": {"C major": 0.76, "Am": 0.25}, "group": "songs"},
        {"path": "b.wav", "key": "no key"},
    ]
    tracks = read_manifest(write(folder, "\n".join(map(json.dumps, rows)), "t.jsonl")).tracks
    assert tracks[0].probabilities is not None
    assert tracks[0].probabilities[0] == pytest.approx(0.76 / 1.01)
    assert tracks[0].probabilities[21] == pytest.approx(0.25 / 1.01)
    assert sum(tracks[0].probabilities) == pytest.approx(1)
    assert (tracks[0].key, tracks[0].group) == (None, "songs")
    assert (tracks[1].probabilities, tracks[1].group) == (None, "")
    cell = json.dumps(rows[0]["probabilities"]).replace('"', '""')
    text = f'path,probabilities,group\na.wav,"{cell}",songs\n'
    assert read_manifest(write(folder, text, "t.csv")).tracks[0] == replace(tracks[0], line=2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", 'path,probabilities\na.wav,"{""C"": 0.5}"\n', "a.wav: .* add up to 0.5"),
        ("m.csv", "path,probabilities\na.wav,0.5\n", "a.wav: .* expected an object"),
        ("m.csv", 'path,probabilities\na.wav,"{""Q"": 1}"\n', "a.wav: .*Q"),
        ("m.csv", 'path,probabilities\na.wav,"{""C"": -1}"\n', "C: must be 0 to 1, got -1"),
        ("m.csv", "path,probabilities\na.wav,{\n", "a.wav: probabilities"),
        ("m.csv", "path,key\na.wav,C major\nb.wav,Z dur\n", r"m\.csv, line 3: b\.wav: .*Z dur"),
        ("m.csv", 'path,key\n"a\nb.wav",C\nb.wav,Q\n', r"m\.csv, line 4"),
        ("m.csv", "path,key\n,C major\n", r"m\.csv, line 2: no path"),
        ("m.csv", "song,key\na.wav,C major\n", r"no column path"),
        ("m.csv", "path,key\na.wav,C,D,E\n", r"m\.csv, line 2: 4 cells for 2 columns"),
        ("m.csv", "path,key,key\na.wav,C,D\n", r"named twice"),
        ("m.csv", "", r"m\.csv: empty file"),
        ("m.csv", 'path,key\n"a"x,C\n', r"m\.csv, line 2: not CSV"),
        ("m.jsonl", '{"path": "a.wav"}\n{"path": \n', r"m\.jsonl, line 2: not JSON"),
        ("m.jsonl", '["a.wav"]\n', r"m\.jsonl, line 1: not a JSON object"),
        ("m.jsonl", '{"path": "a.wav", "key": 3}\n', r"m\.jsonl, line 1: a\.wav"),
    ],
)
def test_bad_rows_are_named_with_their_line(
    folder: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(folder, text, name))


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_other_separators_than_commas(folder: Path, separator: str) -> None:
    rows = [["path", "key", "genre"], ["a.wav", "C# minor", "rock"], ["b.wav", "", "pop"]]
    lines = "".join(f"{separator.join(row)}\n" for row in rows)
    tracks = read_manifest(write(folder, lines)).tracks
    assert [(t.id, t.key, t.metadata["genre"]) for t in tracks] == [
        ("a.wav", Key(1, "minor"), "rock"),
        ("b.wav", None, "pop"),
    ]


def test_labels_that_are_no_key_can_be_kept_apart(folder: Path) -> None:
    labels = ("X major", "E other", "Eb major | C minor", "off-key", "silence", "C", "")
    names = [f"{number}.wav" for number in range(len(labels))]
    text = "".join(f"{name},{label}\n" for name, label in zip(names, labels, strict=True))
    path = write(folder, f"path,key\n{text}")
    with pytest.raises(ManifestError, match="line 2"):
        read_manifest(path)
    manifest = read_manifest(path, unusable=True)
    assert [t.id for t in manifest.unusable] == names[:3]
    assert manifest.unusable[1].problem == f"{path}, line 3: not one major or minor key: 'E other'"
    assert [t.id for t in manifest.keyless] == names[3:5]
    assert [t.id for t in manifest.labelled] == names[5:6]
    assert [t.id for t in manifest.unlabelled] == names[6:]
    assert manifest.as_dict()["unusable_label_ids"] == names[:3]


def test_shares_of_the_labels(folder: Path) -> None:
    label, split = {7: "no key"}, ["test"] * 5 + [""] * 60
    rows = [f"{i}.wav,{label.get(i, 'Db')},{split[i]},g,rock" for i in range(65)]
    text = "path,key,split,group,genre\n" + "\n".join([*rows, "u.wav,,,,"])
    manifest = read_manifest(write(folder, text))
    kept = {}
    for percent in (1, 10, 100):
        path = folder / "subsets" / f"{percent}.csv"
        write_manifest(keep_labels(manifest, percent), path)
        read = read_manifest(path)
        assert [t.path for t in read] == [folder / "subsets" / ".." / t.id for t in manifest]
        assert [(t.split, t.group, t.metadata) for t in read] == [
            (t.split, t.group, t.metadata) for t in manifest
        ]
        labelled = [t.id for t in read if (t.key or t.keyless) and t.split != "test"]
        assert len([t for t in read.labelled if t.split == "test"]) == 5
        kept[percent] = set(labelled)
    assert [len(kept[percent]) for percent in (1, 10, 100)] == [1, 6, 60]
    assert kept[1] < kept[10] < kept[100]
    assert keep_labels(manifest, 10) == keep_labels(manifest, 10)
    assert keep_labels(manifest, 10) != keep_labels(manifest, 10, seed=1)
    sure = read_manifest(write(folder, 'path,probabilities\na,"{""C"": 1}"\n')).tracks
    write_manifest(sure, folder / "sure.csv")
    assert read_manifest(folder / "sure.csv").tracks[0].probabilities == sure[0].probabilities
    with pytest.raises(ValueError, match="share of labels"):
        keep_labels(manifest, 0)
    with pytest.raises(ManifestError, match="no label to train with"):
        keep_labels(read_manifest(write(folder, "path,key\na,\n")), 10)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.csv: cannot be read"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"path\ncaf\xe9.wav\n")
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(tmp_path / "latin.csv")


def test_repeated_tracks_are_set_aside_and_counted(folder: Path) -> None:
    manifest = read_manifest(
        write(folder, "path,key\na.wav,C\nb.wav,D\n./a.wav,C major\nsub/../b.wav,D\n")
    )
    assert [track.id for track in manifest] == ["a.wav", "b.wav"]
    assert [d.track.id for d in manifest.duplicates] == ["./a.wav", "sub/../b.wav"]
    assert manifest.counts()["duplicates"] == 2


def test_contradictions_are_errors(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"line 3: a\.wav is also on line 2, with another key"):
        read_manifest(write(folder, "path,key\na.wav,C major\na.wav,C minor\n"))
    with pytest.raises(ManifestError, match="in another split"):
        read_manifest(write(folder, "path,split\na.wav,train\na.wav,test\n"))


def test_a_folder_is_an_unlabelled_manifest(folder: Path) -> None:
    (folder / "notes.txt").touch()
    manifest = read_manifest(folder)
    assert [track.id for track in manifest] == ["a.wav", "b.wav", "sub/c.wav"]
    assert len(manifest.unlabelled) == 3


def test_empty_manifest(folder: Path) -> None:
    manifest = read_manifest(write(folder, "path,key\n"))
    assert manifest == Manifest(str(folder / "manifest.csv"), ())
    assert len(manifest) == 0


@pytest.mark.parametrize(("name", "tracks", "usable"), [("train", 679, 0), ("dev", 84, 84)])
def test_reads_the_manifests_of_the_shared_recordings(
    shared: Path, name: str, tracks: int, usable: int
) -> None:
    manifest = read_manifest(shared / "audio" / name / "manifest.csv")
    assert len(manifest) == tracks
    assert len(manifest.usable) == usable
    assert not manifest.missing
    assert set(manifest.tracks[0].metadata) == {"seconds", "source", "licence"}


@pytest.mark.parametrize(
    ("cell", "keyless"),
    [("", False), ("unknown", False), ("N/A", False), ("-", False), ("no key", True), ("X", True)],
)
def test_unlabelled_is_not_keyless(tmp_path: Path, cell: str, keyless: bool) -> None:
    path = tmp_path / "keys.csv"
    path.write_text(f"path,key\na.wav,{cell}\n")
    (track,) = read_manifest(path).tracks
    assert (track.key, track.keyless) == (None, keyless)
