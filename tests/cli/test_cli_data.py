"""``stonekey data``, and training on what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("gin")

from cli_tools import call, music
from toy_music import SMALL, one_thread, write_music  # noqa: F401

from stonekey.data.shards import open_audio_shards
from stonekey.model.checkpoint import load_checkpoint


def test_cache_is_built_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    music(tmp_path / "music.wav", "C major")
    assert call("data", "cache", tmp_path, tmp_path / "cache", "--pack") == 0
    assert "1 track transformed, 0 already cached, 1 packed" in capsys.readouterr().out
    assert call("data", "cache", tmp_path, tmp_path / "cache") == 0
    assert "1 already cached" in capsys.readouterr().out


def test_unreadable_file_is_named_and_the_rest_cached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    music(tmp_path / "good.wav", "C major")
    (tmp_path / "bad.wav").write_text("not audio")
    assert call("data", "cache", tmp_path, tmp_path / "cache") == 1
    told = capsys.readouterr()
    assert "bad.wav" in told.err
    assert "1 track transformed" in told.out


def test_shards_hold_the_labels_and_are_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_music(tmp_path)
    assert call("data", "shard", manifest, tmp_path / "shards", "--seed", "3") == 0
    assert "6 tracks in 1 shard in " in capsys.readouterr().out
    tracks = open_audio_shards(tmp_path / "shards")
    assert len(tracks) == 6
    assert sum(track.key is not None for track in tracks) == 2
    assert call("data", "shard", manifest, tmp_path / "shards") == 2
    assert "shards already" in capsys.readouterr().err


def test_subsets_of_labels_are_written_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_music(tmp_path)
    assert call("data", "subset", manifest, tmp_path / "subsets") == 0
    assert "labels-1.csv" in capsys.readouterr().out
    assert len(list((tmp_path / "subsets").iterdir())) == 3
    assert call("data", "subset", manifest, tmp_path / "subsets", "--share", "10") == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [(), ("--transforms", "--workers", "1")])
def test_training_on_shards(
    flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_music(tmp_path)
    shards = tmp_path / "shards"
    assert call("data", "shard", manifest, shards, *flags) == 0
    assert "6 tracks in 1 shard in " in capsys.readouterr().out
    assert call("data", "shard", manifest, shards, *flags) == 0
    assert "1 of them already there" in capsys.readouterr().out
    options = ["train", "-n", "sharded", "--data", shards, "-s", tmp_path, "-e", "1", "-ts", "2",
               "-vs", "1", "--device", "cpu", *SMALL]  # fmt: skip
    assert call(*options) == 2
    assert "give --valid" in capsys.readouterr().err
    assert call(*options, "--valid", tmp_path / "music", "--cache", tmp_path / "cache") == 0
    kind = "transforms in 1 shard\n" if flags else "recordings in shards"
    assert f"training data: 6 {kind}" in capsys.readouterr().out
    best = tmp_path / "models" / "ks" / "7" / "sharded" / "best.safetensors"
    assert load_checkpoint(best).info.training["steps"] == 2
