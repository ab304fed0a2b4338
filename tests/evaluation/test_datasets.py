from __future__ import annotations

import json
from pathlib import Path

import pytest

from stonekey.data.manifest import ManifestError
from stonekey.evaluation.datasets import DATASETS, DatasetError, load_dataset
from stonekey.evaluation.datasets.gtzan import label_text
from stonekey.keys import Key


def put(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_says_where_it_comes_from(name: str, tmp_path: Path) -> None:
    dataset = DATASETS[name]
    assert dataset.name == name
    assert dataset.tracks > 500
    assert dataset.label_licence
    assert dataset.audio_licence
    assert all(source.url.startswith("https://") for source in dataset.labels)
    assert any(source.md5 for source in dataset.labels) == (name not in ("gtzan", "giantsteps"))
    with pytest.raises(DatasetError, match="https://"):  # no labels: says where to get them
        dataset.load(tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        dataset.load(tmp_path / "nowhere")


def test_unknown_data_set_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'fma'.*fmakv2"):
        load_dataset("fma", tmp_path)


@pytest.mark.parametrize(
    ("name", "labels"), [("fmakv2", "fmakv2.csv"), ("fmak", "fma_keys_metadata.csv")]
)
def test_fmak_finds_audio_by_track_number(name: str, labels: str, tmp_path: Path) -> None:
    put(
        tmp_path,
        f"labels/{labels}",
        "track_id,spotify_uri,key_and_mode\n10,spotify:1,C Major\n141,,Bb minor\n124911,,F# Major\n"
        "203,,G# minor\n204,,mixolydian\n",
    )
    for file in ("000/000010.mp3", "124/124911.mp3", "000/000204.mp3", "000/000999.mp3"):
        put(tmp_path, f"fma_large/{file}")
    put(tmp_path, "000203.txt")
    manifest = load_dataset(name, tmp_path, verify=False)
    assert {track.id: str(track.key) for track in manifest} == {
        "10": "C major",
        "141": "Bb minor",
        "124911": "F# major",
        "203": "G# minor",
        "204": "None",
    }
    assert manifest.tracks[0].path == tmp_path / "fma_large/000/000010.mp3"
    assert manifest.tracks[0].metadata["spotify_uri"] == "spotify:1"
    assert [track.id for track in manifest.missing] == ["141", "203"]
    assert [track.id for track in manifest.usable] == ["10", "124911"]
    problem = manifest.tracks[4].problem
    assert problem is not None
    assert f"{labels}, line 6: not one major or minor key: 'mixolydian'" in problem
    with pytest.raises(DatasetError, match="md5"):
        load_dataset(name, tmp_path)


def test_fmak_refuses_other_columns(tmp_path: Path) -> None:
    put(tmp_path, "fmakv2.csv", "id,key\n10,C Major\n")
    with pytest.raises(ManifestError, match="track_id and key_and_mode"):
        load_dataset("fmakv2", tmp_path, verify=False)
    put(tmp_path, "fmakv2.csv", "track_id,key_and_mode\nten,C Major\n")
    with pytest.raises(ManifestError, match="line 2: not an FMA track number: 'ten'"):
        load_dataset("fmakv2", tmp_path, verify=False)


def test_a_label_file_with_the_published_md5_is_accepted(tmp_path: Path) -> None:
    import dataclasses
    import hashlib

    from stonekey.evaluation.datasets.fmakv2 import LABELS_V2, read_tracks

    text = "track_id,key_and_mode\n10,C Major\n"
    put(tmp_path, "fmakv2.csv", text)
    source = dataclasses.replace(LABELS_V2, md5=hashlib.md5(text.encode()).hexdigest())
    assert [track.id for track in read_tracks(tmp_path, source, True)] == ["10"]
    put(tmp_path, "fmakv2.csv", text + "\n")
    with pytest.raises(DatasetError, match="is the published file"):
        list(read_tracks(tmp_path, source, True))


def test_giantsteps_ignores_padding_and_the_other_label_format(tmp_path: Path) -> None:
    repository = "giantsteps-key-dataset"
    put(tmp_path, f"{repository}/annotations/key/10089.LOFI.key", "Bb major")
    put(tmp_path, f"{repository}/annotations/key/1234749.LOFI.key", "D minor\n")
    put(tmp_path, f"{repository}/annotations/genre/10089.LOFI.genre", "house\n")
    put(
        tmp_path,
        f"{repository}/annotations/giantsteps/10089.LOFI.key",
        "#@format: key\ttimestamp(float)\tkey(string)\nkey 0 C major\n",
    )
    put(tmp_path, "audio/0010089.LOFI.mp3")
    manifest = load_dataset("giantsteps", tmp_path)
    assert [(track.id, str(track.key)) for track in manifest] == [
        ("10089", "Bb major"),
        ("1234749", "D minor"),
    ]
    assert manifest.tracks[0].path == tmp_path / "audio/0010089.LOFI.mp3"
    assert manifest.tracks[0].metadata == {"genre": "house"}
    assert [track.id for track in manifest.missing] == ["1234749"]


@pytest.mark.parametrize(
    ("name", "folder"), [("giantsteps-plus", "keys_gs+"), ("beatport", "keys")]
)
def test_edm_excerpts_with_several_keys_or_none_are_listed(
    name: str, folder: str, tmp_path: Path
) -> None:
    labels = {
        "100066 Lindstrom - Monsteer (Original Mix)": "D minor",
        "1000700 A - B": "C minor | Eb major",
        "10089 C - D": "X",
        "20 E - F": "Unknown",
        "21 G - H": "E other\nnote",
        "22 I - J": "F#\tminor",
    }
    for title, label in labels.items():
        put(tmp_path, f"{folder}/{title}.txt", label)
        put(tmp_path, f"audio/{title}.mp3")
    put(tmp_path, "readme.txt", "C major")
    genres = '{"bpm": nan, "genres": [{"name": "techno"}, {"name": "dub"}]}'
    put(tmp_path, f"meta/{next(iter(labels))}.json", genres)
    put(tmp_path, "meta/10089 C - D.json", '{"genres": ')
    manifest = load_dataset(name, tmp_path)
    keys = {track.id: str(track.key) for track in manifest.labelled}
    assert keys == {"100066": "D minor", "22": "F# minor"}
    assert [track.id for track in manifest.keyless] == ["10089"]
    assert {track.id: (track.problem or "").split(": ", 1)[1] for track in manifest.unusable} == {
        "1000700": "not one major or minor key: 'C minor | Eb major'",
        "21": "not one major or minor key: 'E other'",
    }
    assert [track.id for track in manifest.unlabelled] == ["20"]
    assert not manifest.missing
    lindstrom = next(track for track in manifest if track.id == "100066")
    assert lindstrom.metadata["genre"] == "techno, dub"


def test_gtzan_labels_count_from_a(tmp_path: Path) -> None:
    # The enumeration published with the labels.
    majors = ["A", "A#", "B", "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#"]
    for i, tonic in enumerate(majors):
        assert Key.parse(label_text(str(i))) == Key.parse(f"{tonic} major")
        assert Key.parse(label_text(str(i + 12))) == Key.parse(f"{tonic} minor")
    genres = tmp_path / "gtzan_key/genres"
    put(genres, "blues/blues.00000.lerch.txt", "3\n")
    put(genres, "blues/blues.00001.lerch.txt", "-1")
    put(genres, "jazz/jazz.00002.lerch.txt", "12\r\n")
    put(genres, "jazz/jazz.00003.lerch.txt", "24")
    put(genres, "jazz/jazz.00004.lerch.txt", "")
    put(tmp_path, "genres_original/blues/blues.00000.wav")
    put(tmp_path, "genres_original/jazz/jazz.00002.au")
    manifest = load_dataset("gtzan", tmp_path)
    assert {track.id: str(track.key) for track in manifest.labelled} == {
        "blues.00000": "C major",
        "jazz.00002": "A minor",
    }
    assert [track.metadata["genre"] for track in manifest.usable] == ["blues", "jazz"]
    assert [track.id for track in manifest.unlabelled] == ["blues.00001"]
    problems = [(track.problem or "").split("line 1: ")[1] for track in manifest.unusable]
    assert problems == [
        "not one major or minor key: 'label 24'",
        "not one major or minor key: 'label'",
    ]


def test_data_sets_without_a_mirdata_loader_say_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mirdata has no loader"):
        load_dataset("fmakv2", tmp_path, through="mirdata")
    with pytest.raises(ValueError, match="one of files, mirdata"):
        load_dataset("fmakv2", tmp_path, through="magic")


@pytest.mark.filterwarnings("default")  # mirdata's own dependencies warn on import
def test_mirdata_gives_the_same_tracks_as_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = pytest.importorskip("mirdata.core", reason="needs mirdata (extra mirdata)")
    indexes = tmp_path / "indexes"
    monkeypatch.setattr(core.Index, "get_path", lambda self: str(indexes / self.filename))

    fmak, plus, beatport = (tmp_path / name for name in ("fmak", "plus", "beatport"))
    put(
        fmak,
        "fma_keys_metadata.csv",
        "track_id,spotify_uri,key_and_mode\n10,,C Major\n141,,Bb minor\n",
    )
    put(fmak, "000/000010.mp3")
    title = "10089 Jason Sparks - Close My Eyes"
    for root, folder, label in ((plus, "keys_gs+", "D minor"), (beatport, "keys", "X|A minor")):
        put(root, f"{folder}/{title}.txt", label)
        put(root, f"meta/{title}.json", '{"genres": [{"name": "house"}], "sub_genres": []}')
        put(root, f"audio/{title}.mp3")

    def index(tracks: dict[str, dict[str, str]]) -> str:
        listed = {n: {k: [v, "0"] for k, v in files.items()} for n, files in tracks.items()}
        return json.dumps({"version": "1", "tracks": listed})

    def edm(folder: str) -> str:
        files = {"audio": "audio", "key": folder, "meta": "meta"}
        ends = {"audio": "mp3", "key": "txt", "meta": "json"}
        return index({"3": {k: f"{v}/{title}.{ends[k]}" for k, v in files.items()}})

    with pytest.raises(DatasetError, match=r"download\(\)"):
        load_dataset("fmak", fmak, through="mirdata")
    put(
        indexes,
        "fma_keys_index_1.0.json",
        index({"10": {"audio": "000/000010.mp3"}, "141": {"audio": "000/000141.mp3"}}),
    )
    put(indexes, "giantsteps_key_index_+.json", edm("keys_gs+"))
    put(indexes, "beatport_key_index_1.0.0.json", edm("keys"))
    for name, root in (("fmak", fmak), ("giantsteps-plus", plus), ("beatport", beatport)):
        ours = load_dataset(name, root, verify=False)
        theirs = load_dataset(name, root, through="mirdata")
        for get in (
            lambda t: t.id,
            lambda t: t.key,
            lambda t: t.present,
            lambda t: t.metadata.get("genre"),
        ):
            assert [get(track) for track in ours] == [get(track) for track in theirs]
        assert [t.path for t in ours.present] == [t.path for t in theirs.present]
    assert [track.id for track in theirs.keyless] == ["10089"]
