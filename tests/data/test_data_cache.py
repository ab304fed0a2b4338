"""The disk cache of transforms."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from data_music import SHORT, tones, write_tracks

from stonekey.data import cache as cache_module
from stonekey.data import transform
from stonekey.data.cache import (
    CacheError,
    build_cache,
    front_end_folder,
    pack_cache,
    read_frames,
    read_track,
)
from stonekey.data.loaders import CachedLoader, scale
from stonekey.data.manifest import Track
from stonekey.model.settings import FrontEnd
from stonekey.network.vqt import VQT, log_vqt


def build(tracks, folder, **options):
    return build_cache(tracks, folder, SHORT, **{"workers": 1, "progress": False, **options})


def test_segment_equals_the_direct_computation_away_from_its_borders(tmp_path: Path) -> None:
    front_end = FrontEnd()
    samples = tones(40)
    samples /= np.abs(samples).max()
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 22050, subtype="FLOAT")
    report = build_cache([path], tmp_path / "cache", front_end, workers=1, progress=False)
    start = 400
    raw = np.empty((646, 99), np.float16)
    read_frames(report.tracks[0], start, raw)
    cached = scale(torch.from_numpy(raw)[None])
    segment = torch.from_numpy(samples[None, start * 512 : start * 512 + 330_750])
    direct = log_vqt(VQT(front_end)(segment))
    assert cached.shape == direct.shape == (1, 1, 99, 646)
    # Half precision of numbers below 1.25 in size is 4.9e-4; frames 2 s from the borders.
    inside = (cached - direct).abs()[..., 87:-87]
    assert inside.max() < 6e-4
    # Near the borders the direct computation mirrors the segment: different, by design.
    assert (cached - direct).abs()[..., :20].max() > 6e-4


def test_pieces_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """In noise as loud as the tones no bin is so quiet that rounding in float32 shows."""
    vqt = VQT(SHORT)
    noise = np.random.default_rng(0).standard_normal(round(31.3 * SHORT.sample_rate))
    samples = tones(31.3)
    samples = (samples + 0.3 * noise).astype(np.float32)
    whole = transform.log_transform(samples, vqt)
    monkeypatch.setattr(transform, "PIECE_SECONDS", 7)
    pieces = transform.log_transform(samples, vqt)
    assert whole.shape == pieces.shape == (SHORT.frames(len(samples)), 99)
    # Neighbours in half precision, of numbers below 1 in size, are 2**-11 apart.
    assert np.abs(whole.astype(float) - pieces).max() <= 2**-11


def test_volume_of_the_file_does_not_matter(tmp_path: Path) -> None:
    samples = tones(5)
    for name, gain in (("loud", 1.9), ("soft", 0.1)):
        soundfile.write(tmp_path / f"{name}.wav", samples * gain, 22050, subtype="FLOAT")
    tracks = build([tmp_path / "loud.wav", tmp_path / "soft.wav"], tmp_path / "c").tracks
    loud, soft = (read_track(track, 99).astype(np.float32) for track in tracks)
    np.testing.assert_allclose(loud, soft, atol=2e-3)


def test_build_is_resumed_and_reused(tmp_path: Path) -> None:
    tracks = write_tracks(tmp_path, [5, 6, 4], labelled=1)
    first = build(tracks[:2], tmp_path / "c")
    assert (first.built, first.reused, len(first.tracks)) == (2, 0, 2)
    # A kill in the middle of a line of the index, and of an array.
    index = first.folder / "index.jsonl"
    with index.open("a") as stream:
        stream.write('{"id": "cut sho')
    Path(first.tracks[1].file).write_bytes(b"\x93NUMPY")
    second = build(tracks, tmp_path / "c")
    assert (second.built, second.reused) == (2, 1)
    third = build(tracks, tmp_path / "c")
    assert (third.built, third.reused) == (0, 3)
    assert third.tracks == second.tracks
    assert [track.key for track in third.tracks] == [track.key for track in tracks]
    assert [track.samples for track in third.tracks] == [5 * 22050, 6 * 22050, 4 * 22050]


def test_changed_file_or_front_end_is_transformed_anew(tmp_path: Path) -> None:
    tracks = write_tracks(tmp_path, [5])
    old = build(tracks, tmp_path / "c").tracks[0]
    assert tracks[0].path is not None
    soundfile.write(tracks[0].path, tones(6, seed=9), 22050)
    report = build(tracks, tmp_path / "c")
    assert report.built == 1
    assert report.tracks[0].frames != old.frames
    lower = FrontEnd(fmin=26.0, segment_seconds=4.0)
    other = build_cache(tracks, tmp_path / "c", lower, workers=1, progress=False)
    assert other.built == 1
    assert other.folder != report.folder
    # How segments are cut does not change the transform.
    assert front_end_folder("c", FrontEnd()) == front_end_folder("c", SHORT)


def test_unusable_files_are_listed_and_the_rest_is_cached(tmp_path: Path) -> None:
    tracks = write_tracks(tmp_path, [5])
    bad = {
        "text.mp3": b"this is not audio at all" * 50,
        "empty.wav": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "silent.wav", np.zeros(22050 * 5), 22050)
    soundfile.write(tmp_path / "blip.wav", tones(0.5), 22050)
    soundfile.write(tmp_path / "nan.wav", np.full(22050 * 5, np.nan), 22050, subtype="FLOAT")
    names = ["silent.wav", "text.mp3", "empty.wav", "blip.wav", "nan.wav", "missing.wav"]
    report = build([*(tmp_path / n for n in names), *tracks], tmp_path / "c")
    assert [track.path for track in report.tracks] == [str(tracks[0].path)]
    reasons = {Path(path).name: reason for path, reason in report.failed}
    assert sorted(reasons) == sorted(names)
    assert reasons["silent.wav"] == "is silent"
    assert reasons["blip.wav"].startswith("too short: 0.5 s")
    assert reasons["nan.wav"] == "is silent"  # Decoding sets what is not finite to 0.
    listed = (report.folder / "skipped.tsv").read_text()
    assert all(name in listed for name in names)
    assert "6 skipped" in report.summary()


def test_processes_give_the_same_arrays(tmp_path: Path) -> None:
    tracks = write_tracks(tmp_path, [4, 5, 4.5])
    one = build(tracks, tmp_path / "one")
    two = build(tracks, tmp_path / "two", workers=2)
    assert two.built == 3
    for a, b in zip(one.tracks, two.tracks, strict=True):
        np.testing.assert_allclose(
            read_track(a, 99).astype(float), read_track(b, 99).astype(float), atol=2e-3
        )


def _processes_with(variable: str) -> list[str]:
    """Processes that run with a variable of the environment, where the system tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_killed_build_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    tracks = write_tracks(tmp_path, [20.0] * 12)
    script = tmp_path / "build.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from stonekey.data.cache import build_cache\n"
        "if __name__ == '__main__':\n"
        "    build_cache(sorted(Path(sys.argv[1]).glob('*.wav')), sys.argv[2], workers=2,"
        " progress=False)\n"
    )
    root = Path(cache_module.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), str(tmp_path / "c")],
        env={**os.environ, "PYTHONPATH": str(root), "BUILD_OF": str(tmp_path)},
    )
    index = front_end_folder(tmp_path / "c", SHORT) / "index.jsonl"
    for _ in range(12_000):
        if index.exists() and index.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = index.read_bytes().count(b"\n")
    assert done >= 2
    for _ in range(2_000):
        if not _processes_with(f"BUILD_OF={tmp_path}"):
            break
        time.sleep(0.05)
    assert _processes_with(f"BUILD_OF={tmp_path}") == []
    report = build(tracks, tmp_path / "c")
    assert len(report.tracks) == 12
    assert report.reused >= 2
    assert report.built == 12 - report.reused


def test_full_disk_ends_the_build_and_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = write_tracks(tmp_path, [4, 4, 4])
    real, calls = transform._save, []

    def full(array: np.ndarray, path: Path) -> None:
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(array, path)

    monkeypatch.setattr(transform, "_save", full)
    with pytest.raises(OSError, match="No space"):
        build(tracks, tmp_path / "c")
    monkeypatch.undo()
    report = build(tracks, tmp_path / "c")
    assert (report.built, report.reused) == (1, 2)
    arrays = [p for p in report.folder.rglob("*") if p.is_file() and p.parent != report.folder]
    assert sorted(map(str, arrays)) == sorted(track.file for track in report.tracks)


def test_packing_changes_places_not_contents(tmp_path: Path) -> None:
    tracks = write_tracks(tmp_path, [4, 5, 4.5, 6])
    loose = build(tracks, tmp_path / "c")
    arrays = [read_track(track, 99) for track in loose.tracks]
    assert pack_cache(tmp_path / "c", SHORT, size=60_000) == 4
    packed = build(tracks, tmp_path / "c")
    assert (packed.built, packed.reused) == (0, 4)
    for track, array in zip(packed.tracks, arrays, strict=True):
        np.testing.assert_array_equal(read_track(track, 99), array)
    assert 1 < len({track.file for track in packed.tracks}) < 4
    assert not any(Path(track.file).exists() for track in loose.tracks)
    assert pack_cache(tmp_path / "c", SHORT) == 0
    packs = sorted(packed.folder.glob("pack-*.npy"))
    assert np.load(packs[0], mmap_mode="r").shape[1] == 99


def test_detuned_variants(tmp_path: Path) -> None:
    time = np.arange(22050 * 6) / 22050
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * 2 ** (0.5 / 12) * time), 22050)
    report = build([Track(id="a", path=path)], tmp_path / "c", cents=(0.0, -50.0, 50.0))
    assert [track.cents for track in report.tracks] == [0.0, -50.0, 50.0]
    # 50 cents above A4 (bin 48): raised or lowered to the middle of a bin.
    peaks = [int(read_track(track, 99)[100].argmax()) for track in report.tracks]
    assert peaks[1:] == [48, 49]
    lengths = [track.samples for track in report.tracks]
    assert lengths[1] / lengths[0] == pytest.approx(2 ** (0.5 / 12), abs=1e-4)
    assert build([path], tmp_path / "c", cents=(0.0, -50.0, 50.0)).reused == 1
    assert build([path], tmp_path / "c", cents=(0.0, 25.0)).built == 1


def test_missing_array_is_said_while_training(tmp_path: Path) -> None:
    tracks = build(write_tracks(tmp_path, [9]), tmp_path / "c").tracks
    array = Path(tracks[0].file)
    array.rename(tmp_path / "away")
    with CachedLoader(tracks, batch_size=1, front_end=SHORT) as loader:
        with pytest.raises(CacheError, match="build the cache again"):
            next(loader)
        (tmp_path / "away").rename(array)
        assert next(loader)["a"].shape[0] == 1
        assert loader.state_dict()["step"] == 1


def test_old_remains_of_killed_builds_are_removed(tmp_path: Path) -> None:
    report = build(write_tracks(tmp_path, [4]), tmp_path / "c")
    folder = Path(report.tracks[0].file).parent
    old, new = folder / ".a.npy.x1", folder / ".b.npy.x2"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    build([], tmp_path / "c")
    assert (old.exists(), new.exists()) == (False, True)


def test_progress_is_shown_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = write_tracks(tmp_path, [4, 4])
    build(tracks, tmp_path / "c", progress=True)
    shown = capsys.readouterr()
    assert "Caching" in shown.err
    assert shown.out == ""
    build(tracks, tmp_path / "c", progress=True)
    assert capsys.readouterr().err == ""  # Nothing to do, nothing to show.
