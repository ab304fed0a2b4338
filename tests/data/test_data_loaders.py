"""Loaders: shapes, modes, determinism, resumption; and the conversion of batches."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from data_music import SHORT, tones, write_tracks

from stonekey.data.audio_loader import AudioLoader
from stonekey.data.augment import LOG_VQT
from stonekey.data.batch import TrainingBatch, key_targets, training_batch
from stonekey.data.batch_loader import DataError
from stonekey.data.cache import CachedTrack, build_cache, read_track
from stonekey.data.loaders import CachedLoader, fixed_batches, scale
from stonekey.data.manifest import Track
from stonekey.data.segments import n_starts, segment_frames
from stonekey.keys import Key
from stonekey.model.settings import FrontEnd
from stonekey.network.vqt import VQT, log_vqt

FRAMES = segment_frames(SHORT)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[Track]:
    folder = tmp_path_factory.mktemp("music")
    return write_tracks(folder, [9, 12, 10, 8.5, 6, 4, 3], labelled=3)


@pytest.fixture(scope="module")
def cached(tracks: list[Track], tmp_path_factory: pytest.TempPathFactory) -> list[CachedTrack]:
    folder = tmp_path_factory.mktemp("cache")
    return build_cache(tracks, folder, SHORT, workers=1, progress=False).tracks


def take(loader, count: int) -> list[dict]:
    with loader:
        return list(islice(loader, count))


def same(a: list[dict], b: list[dict]) -> bool:
    return all(
        x.keys() == y.keys()
        and all(
            torch.equal(x[k], y[k]) if isinstance(x[k], torch.Tensor) else x[k] == y[k] for k in x
        )
        for x, y in zip(a, b, strict=True)
    )


def test_default_front_end_gives_the_documented_shape(tmp_path: Path) -> None:
    recordings = write_tracks(tmp_path, [31, 16])
    entries = build_cache(recordings, tmp_path / "c", workers=1, progress=False).tracks
    batch = take(CachedLoader(entries, batch_size=3), 1)[0]
    assert batch["a"].shape == batch["b"].shape == (3, 1, 99, 646)
    assert batch["a"].dtype == torch.float32
    # Each segment is scaled by its own maximum.
    span = batch["a"].amax(dim=(1, 2, 3)) - batch["a"].amin(dim=(1, 2, 3))
    assert (span <= 1.0).all()


def test_segments_are_of_one_track_and_disjoint(cached: list[CachedTrack]) -> None:
    arrays = {t.path: torch.from_numpy(read_track(t, 99)) for t in cached}
    every = {
        (path, start): scale(x[None, start : start + FRAMES])[0]
        for path, x in arrays.items()
        for start in range(max(0, len(x) - FRAMES + 1))
    }

    def find(segment: torch.Tensor) -> tuple[str, int]:
        return next(place for place, x in every.items() if torch.equal(x, segment))

    batch = take(CachedLoader(cached, batch_size=6, front_end=SHORT), 1)[0]
    seen = set()
    for a, b in zip(batch["a"], batch["b"], strict=True):
        (path_a, start_a), (path_b, start_b) = find(a), find(b)
        assert path_a == path_b
        starts = n_starts(next(t.samples for t in cached if t.path == path_a), SHORT)
        apart = abs(start_a - start_b)
        assert apart >= FRAMES or apart == starts - 1 < FRAMES
        seen.add(path_a)
    assert seen == {t.path for t in cached if t.samples >= SHORT.segment_samples}


def test_segments_within_a_window(cached: list[CachedTrack]) -> None:
    plain = CachedLoader(cached, batch_size=6, front_end=SHORT)
    near = CachedLoader(
        cached, batch_size=6, front_end=SHORT, window_seconds=2 * SHORT.segment_seconds
    )
    assert not torch.equal(take(plain, 1)[0]["b"], take(near, 1)[0]["b"])
    with pytest.raises(ValueError, match="another run"):
        near.load_state_dict(plain.state_dict())


def test_segments_for_a_gpu_travel_in_half_precision(cached: list[CachedTrack]) -> None:
    # What the thread makes for a device other than the CPU, finished here by hand.
    raw = CachedLoader(cached, batch_size=4, front_end=SHORT, device="meta").make(0)
    whole = CachedLoader(cached, batch_size=4, front_end=SHORT).make(0)
    for name in ("a", "b"):
        assert raw[name].dtype == torch.float16
        assert torch.equal(scale(raw[name]), whole[name])


def test_short_tracks_are_counted(cached: list[CachedTrack]) -> None:
    loader = CachedLoader(cached, batch_size=1, front_end=SHORT)
    assert loader.skipped_short == 1
    assert loader.streams[False].tracks == 6


@pytest.mark.parametrize("mode", ["selfsupervised", "supervised", "mix"])
def test_modes(cached: list[CachedTrack], mode) -> None:
    batches = take(CachedLoader(cached, mode, batch_size=2, front_end=SHORT), 6)
    kinds = [training_batch(batch, VQT(SHORT)).supervised for batch in batches]
    expected = {"selfsupervised": [False], "supervised": [True], "mix": [False, True]}[mode]
    assert kinds == (expected * 6)[:6]
    for batch in batches:
        if "label" in batch:
            assert set(batch["label"].argmax(dim=1).tolist()) <= {0, 1, 2}
    if mode == "supervised":
        assert sum(b["label"].sum(dim=0) for b in batches[:3])[:3].tolist() == [2, 2, 2]


def test_a_file_too_short_for_some_detuning_is_passed_over_whatever_is_drawn(
    tracks, tmp_path: Path
) -> None:
    """Else the first draws would decide whether it is, and a resumed run could differ."""
    barely = tmp_path / "barely.wav"
    samples = np.random.default_rng(0).standard_normal(SHORT.segment_samples + 100)
    soundfile.write(barely, 0.1 * samples, SHORT.sample_rate)
    for seed in range(4):
        few = [Track("barely", barely), tracks[0]]
        with AudioLoader(few, batch_size=8, front_end=SHORT, seed=seed, augment=["detune"]) as own:
            next(own)
            assert str(barely) in own.failed


@pytest.mark.parametrize("kind", ["cached", "audio"])
@pytest.mark.parametrize("mode", ["selfsupervised", "mix"])
def test_resumed_run_continues_bit_identically(tracks, cached, kind: str, mode) -> None:
    def loader(**options):
        options = {"batch_size": 4, "front_end": SHORT, "seed": 5, **options}
        if kind == "cached":
            return CachedLoader(cached, mode, augment=["equaliser", "noise"], **options)
        return AudioLoader(tracks, mode, augment=["detune", "noise"], **options)

    whole = take(loader(), 6)
    with loader() as first:
        before = list(islice(first, 2))
        state = first.state_dict()
        next(first)  # Work done after the checkpoint is lost, and done again.
    with loader() as second:
        second.load_state_dict(state)
        after = list(islice(second, 4))
        assert second.state_dict()["step"] == 6
        second.load_state_dict(state)  # Also from where it has moved on to.
        assert same([next(second)], after[:1])
    assert same(before + after, whole)
    assert not same(take(loader(seed=6), 2), whole[:2])


def test_state_of_other_data_is_refused(cached: list[CachedTrack]) -> None:
    state = CachedLoader(cached, batch_size=4, front_end=SHORT).state_dict()
    for other in (
        CachedLoader(cached[1:], batch_size=4, front_end=SHORT),
        CachedLoader(cached, batch_size=2, front_end=SHORT),
        CachedLoader(cached, batch_size=4, front_end=SHORT, seed=1),
    ):
        with pytest.raises(ValueError, match="state is of another run"):
            other.load_state_dict(state)


def test_ranks_together_have_the_batch_of_one_process(cached: list[CachedTrack]) -> None:
    whole = take(CachedLoader(cached, "mix", batch_size=6, front_end=SHORT), 4)
    parts = [
        take(CachedLoader(cached, "mix", batch_size=3, front_end=SHORT, rank=r, world=2), 4)
        for r in range(2)
    ]
    for step in range(4):
        for name, value in whole[step].items():
            joined = torch.stack([parts[r][step][name] for r in range(2)], dim=1).flatten(0, 1)
            assert torch.equal(joined, value)


def test_dropped_loader_stops_its_thread(cached: list[CachedTrack]) -> None:
    before = set(threading.enumerate())
    loader = CachedLoader(cached, batch_size=1, front_end=SHORT)
    next(loader)
    (thread,) = set(threading.enumerate()) - before
    del loader
    gc.collect()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_validation_is_the_same_each_time_and_complete(cached: list[CachedTrack]) -> None:
    first = list(fixed_batches(cached, 4, front_end=SHORT))
    assert same(first, list(fixed_batches(cached, 4, front_end=SHORT)))
    assert [len(batch["a"]) for batch in first] == [4, 2]
    assert torch.cat([batch["items"] for batch in first]).tolist() == list(range(6))
    ranks = [list(fixed_batches(cached, 4, front_end=SHORT, rank=r, world=2)) for r in range(2)]
    assert torch.equal(ranks[1][0]["a"], torch.cat([b["a"] for b in first])[1::2])
    labelled = list(fixed_batches(cached, 4, supervised=True, front_end=SHORT))
    assert labelled[0]["label"].argmax(dim=1).tolist() == [0, 1, 2]
    assert training_batch(labelled[0], VQT(SHORT)).items is not None
    limited = list(fixed_batches(cached, 4, front_end=SHORT, limit=3))
    assert [len(batch["a"]) for batch in limited] == [3]


def test_nothing_to_train_on_is_an_error(cached: list[CachedTrack]) -> None:
    unlabelled = cached[3:]
    with pytest.raises(DataError, match="no track has a label"):
        CachedLoader(unlabelled, "mix", front_end=SHORT)
    with pytest.raises(DataError, match="no track is long enough"):
        CachedLoader(cached, front_end=FrontEnd())
    with pytest.raises(DataError, match="no track is long enough"):
        next(fixed_batches([], front_end=SHORT))
    with pytest.raises(ValueError, match="mode must be one of"):
        CachedLoader(cached, "semi", front_end=SHORT)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        CachedLoader(cached, batch_size=0, front_end=SHORT)


def test_augmentations_by_name(cached: list[CachedTrack]) -> None:
    plain = take(CachedLoader(cached, batch_size=4, front_end=SHORT), 1)[0]
    for name in LOG_VQT.keys() - {"repeat"}:  # which is seldom: tests/data/test_data_augment.py
        changed = take(CachedLoader(cached, batch_size=4, front_end=SHORT, augment=[name]), 1)[0]
        assert not torch.equal(changed["a"], plain["a"])
        # Of the same segments still: nearest to its own plain form.
        both = torch.cat([changed["a"], plain["a"]]).flatten(1)
        assert torch.corrcoef(both)[:4, 4:].argmax(dim=1).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="unknown augmentation reverb"):
        CachedLoader(cached, front_end=SHORT, augment=["reverb"])
    with pytest.raises(ValueError, match="detuned variants"):
        CachedLoader(cached, front_end=SHORT, augment=["detune"])


def test_detuned_variants_count_as_one_track(tracks: list[Track], tmp_path: Path) -> None:
    report = build_cache(
        tracks[:2], tmp_path, SHORT, workers=1, progress=False, cents=(0.0, -40.0, 40.0)
    )
    loader = CachedLoader(report.tracks, batch_size=2, front_end=SHORT, augment=["detune"])
    assert loader.streams[False].tracks == 2
    plain = CachedLoader(report.tracks[::3], batch_size=2, front_end=SHORT)
    detuned = torch.cat([batch["a"] for batch in take(loader, 4)])
    assert len({float(x.sum()) for x in detuned}) == 8
    assert same(
        list(fixed_batches(report.tracks, 2, front_end=SHORT)),
        list(fixed_batches(report.tracks[::3], 2, front_end=SHORT)),
    )
    assert plain.streams[False].tracks == 2


def test_audio_loader_shapes_and_content(tracks: list[Track]) -> None:
    batches = take(AudioLoader(tracks, "mix", batch_size=4, front_end=SHORT), 2)
    samples = SHORT.segment_samples
    assert batches[0]["audio"].shape == (4, samples, 2)
    assert batches[1]["audio"].shape == (4, samples, 1)
    assert set(batches[1]["keymode"]) <= {"C major", "Db major", "D major"}
    whole = {
        t.path: tones(s, seed=i)
        for i, (t, s) in enumerate(zip(tracks, [9, 12, 10, 8.5, 6, 4, 3], strict=True))
    }
    segment = batches[0]["audio"][0, :, 0].numpy()
    distances = [
        np.abs(x[start : start + samples] / np.abs(x).max() - segment).max()
        for x in whole.values()
        for start in range(0, len(x) - samples + 1, 512)
    ]
    assert min(distances) < 1e-3


def test_audio_loader_replaces_bad_files(tracks: list[Track], tmp_path: Path, caplog) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"nothing" * 100)
    listed = [*tracks, Track(id="bad", path=bad)]
    loader = AudioLoader(listed, batch_size=8, front_end=SHORT)
    batch = take(loader, 1)[0]
    assert batch["audio"].shape[0] == 8
    assert set(loader.failed) == {str(bad), str(tracks[-1].path)}
    assert "shorter than a segment" in loader.failed[str(tracks[-1].path)]
    assert sum("bad.wav" in record.message for record in caplog.records) == 1
    # Never tried again, and the batches do not depend on when it failed: a loader that has
    # known of it for a while gives what a new one gives.
    bad.write_bytes(tracks[0].path.read_bytes())
    state = loader.state_dict()
    second = take(loader, 1)[0]["audio"]
    bad.write_bytes(b"nothing" * 100)
    fresh = AudioLoader(listed, batch_size=8, front_end=SHORT)
    fresh.load_state_dict(state)
    assert torch.equal(take(fresh, 1)[0]["audio"], second)
    with pytest.raises(RuntimeError, match="give no segment"):
        take(AudioLoader(listed[-1:], batch_size=1, front_end=SHORT), 1)


def test_batches_of_a_users_own_loader() -> None:
    vqt = VQT(SHORT)
    audio = torch.from_numpy(np.stack([tones(8, seed=i) for i in range(3)]))
    pair = audio.reshape(3, 2, -1).transpose(1, 2)
    batch = training_batch(pair, vqt)
    assert not batch.supervised
    assert batch.b is not None
    torch.testing.assert_close(batch.a, log_vqt(vqt(pair[..., 0])))
    torch.testing.assert_close(batch.b, log_vqt(vqt(pair[..., 1])))
    torch.testing.assert_close(training_batch({"audio": pair.numpy()}, vqt).a, batch.a)

    labels = ["C# minor", "D♭ maj", "12A"]
    expected = [Key(1, "minor").index, Key(1, "major").index, Key(1, "minor").index]
    for form in (
        {"audio": pair[..., :1], "keymode": labels},
        {"audio": pair[..., 0].double(), "keymode": torch.tensor(expected)},
        (pair[..., :1], tuple(labels)),
    ):
        batch = training_batch(form, vqt)
        assert batch.labels is not None
        assert batch.labels.argmax(dim=1).tolist() == expected
        assert batch.labels.sum() == batch.labels.amax(dim=1).sum() == 3
        torch.testing.assert_close(batch.a, log_vqt(vqt(pair[..., 0])))
    assert training_batch(batch, vqt).labels is not None
    assert len(training_batch(pair[:1], vqt)) == 1
    labelled = training_batch({"audio": pair[..., :1], "keymode": (labels,)}, vqt)
    assert labelled.labels is not None
    assert labelled.labels.argmax(dim=1).tolist() == expected


@pytest.mark.parametrize(
    "unlabelled",
    [
        ("-1",) * 3,
        ["-1"] * 3,
        (["-1"] * 3,),
        [-1, "", None],
        torch.tensor([-1] * 3),
        np.full(3, -1),
    ],
)
def test_pairs_of_segments_whose_labels_say_nothing(unlabelled: object) -> None:
    """As a loader gives them that gives both kinds of batches."""
    vqt = VQT(SHORT)
    pair = torch.from_numpy(np.stack([tones(8, seed=i) for i in range(3)]))
    pair = pair.reshape(3, 2, -1).transpose(1, 2)
    batch = training_batch({"audio": pair, "keymode": unlabelled}, vqt)
    assert not batch.supervised
    torch.testing.assert_close(batch.a, training_batch(pair, vqt).a)
    with pytest.raises(ValueError, match=r"without labels must be float \(batch, samples, 2\)"):
        training_batch({"audio": pair[..., :1], "keymode": unlabelled}, vqt)


def test_segments_of_another_length_than_the_models_are_refused() -> None:
    vqt, samples = VQT(SHORT), SHORT.segment_samples
    for wrong in (samples + 1, samples // 2, 2 * samples):
        with pytest.raises(ValueError, match=f"of {wrong} samples, but the model's are {samples} "):
            training_batch(torch.zeros(2, wrong, 2), vqt)
    frames = SHORT.network_frames(samples)
    for bad in (
        {"a": torch.zeros(2, 1, 99, frames - 1), "label": ["C", "D"]},
        TrainingBatch(torch.zeros(2, 1, 99, frames - 1), torch.zeros(2, 1, 99, frames - 1)),
        TrainingBatch(torch.zeros(2, 1, 98, frames), torch.zeros(2, 1, 98, frames)),
    ):
        with pytest.raises(ValueError, match=f"but the model's are of 99 and {frames}"):
            training_batch(bad, vqt)


def test_batches_of_other_shapes_are_refused() -> None:
    vqt = VQT(SHORT)
    audio = torch.zeros(2, SHORT.segment_samples, 2)
    for bad, message in (
        (audio[..., :1], r"without labels must be float \(batch, samples, 2\)"),
        ({"audio": audio, "keymode": ["C", "D"]}, r"with labels must be float \(batch, samples, 1"),
        (audio.to(torch.int16), "int16"),
        ({"audio": audio[..., :1], "keymode": ["C", "Q minor"]}, "label 1 of the batch: not a key"),
        ({"audio": audio[..., :1], "keymode": torch.tensor([3, 24])}, "label 1 of the batch"),
        ({"audio": audio[..., :1], "keymode": ["C"]}, "2 segments but labels"),
        ({"audio": audio[..., :1], "keymode": ["C", "-1"]}, "label 1 of the batch is '-1', but"),
        ({"sound": audio}, "needs 'audio'"),
    ):
        with pytest.raises(ValueError, match=message):
            training_batch(bad, vqt)
    with pytest.raises(ValueError, match="either a second segment"):
        TrainingBatch(torch.zeros(1, 1, 99, 8))
    assert key_targets([Key(9, "minor"), "Am", 21]).argmax(dim=1).tolist() == [21, 21, 21]


def test_keyless_tracks_are_labels_and_no_self_supervision(cached: list[CachedTrack]) -> None:
    tracks = [replace(t, key=None, keyless=i == 0) for i, t in enumerate(cached)]
    with CachedLoader(tracks, "supervised", 2, front_end=SHORT) as loader:
        torch.testing.assert_close(next(loader)["label"], torch.full((2, 24), 1 / 24))
    with CachedLoader(tracks, "selfsupervised", 4, front_end=SHORT) as loader:
        plans = [loader.batch_plan(step) for step in range(20)]
    seen = {loader._variants.recordings[d.index][0].path for p in plans for d in p.draws}
    assert seen == {t.path for t in tracks if not t.keyless and n_starts(t.samples, SHORT)}


def test_groups_come_by_their_shares_and_modes_alike(cached: list[CachedTrack]) -> None:
    long = [t for t in cached if n_starts(t.samples, SHORT)]
    keys = [Key(0, "major"), Key(2, "major"), Key(4, "major"), Key(9, "minor")]
    tracks = [replace(t, key=key, group="songs") for t, key in zip(long, keys, strict=False)]
    soft = tuple(0.5 if i in (3, 15) else 0.0 for i in range(24))
    tracks.append(replace(long[0], path="soft", key=None, probabilities=soft, group="heard"))
    tracks.append(replace(long[1], path="noise", key=None, keyless=True, group="noise"))
    shares = {"songs": 2.0, "heard": 1.0, "noise": 1.0}
    with CachedLoader(tracks, "supervised", 200, front_end=SHORT, shares=shares) as loader:
        labels = loader.make(0)["label"]
        assert torch.equal(labels, loader.make(0)["label"])
        assert not torch.equal(labels, loader.make(1)["label"])
    assert labels.shape == (200, 24)
    parts = labels.mean(dim=0)
    noise = (labels == labels[:, :1]).all(dim=1).float().mean()
    assert 0.15 < noise < 0.35
    assert 0.15 < 2 * (parts[3] - noise / 24) < 0.35
    assert 0.15 < parts[21] - noise / 24 < 0.35
    with pytest.raises(ValueError, match="no labelled tracks in group 'jazz'"):
        CachedLoader(tracks, "supervised", front_end=SHORT, shares={"jazz": 1.0})


def test_means_of_frames_are_those_of_the_front_end(cached: list[CachedTrack]) -> None:
    coarse = replace(SHORT, average=4)
    with CachedLoader(cached, "selfsupervised", 2, front_end=coarse) as loader:
        batch = loader.make(0)["a"]
    with CachedLoader(cached, "selfsupervised", 2, front_end=SHORT) as loader:
        fine = loader.make(0)["a"]
    assert batch.shape[3] == fine.shape[3] // 4 == coarse.network_frames(coarse.segment_samples)
    expected = fine[..., : batch.shape[3] * 4].reshape(2, 1, 99, -1, 4).mean(dim=-1)
    torch.testing.assert_close(batch, expected)
    raw = torch.randn(2, 10, 99).half()
    torch.testing.assert_close(scale(raw, 4), scale(raw)[..., :8].unflatten(3, (2, 4)).mean(dim=4))
