"""Disk cache of the tracks' transforms: the front end is frozen, so training need not decode.

What is stored: for each track, scaled to a peak of 1, float16 (frames, bins) of
10 log10(max(magnitude, 1e-10)) / 80, 8.5 kB a second. The log scaling of the network's input has
its floor 80 dB below the maximum of each *segment*, so floor and offset are applied to what is
cut (`stonekey.data.loaders`), and a segment equals the direct computation to half precision
(5e-4), except within 2 s of its borders: there the cache holds what the music does, the direct
computation a mirror image of the segment.

Layout: ``<folder>/<front end>/ab/<file>.npy``, one array a track, or a few large files after
`pack_cache`, and ``index.jsonl`` that says where each array lies. A file is known by path, size,
time of change and detuning, a front end by the settings that change the transform: after a change
of either, the track is transformed again and old arrays stay unused.

Arrays are read by position, with no map or open file kept, for one page-cached read of 128 kB a
segment; 50 000 maps would meet the limits of the system.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stonekey.data.cached import CachedTrack as CachedTrack
from stonekey.data.cached import CachedTracks, CachedTracksBuilder
from stonekey.data.manifest import Track
from stonekey.files import write_atomically, write_text
from stonekey.model.settings import FrontEnd
from stonekey.text import counted, json_text

VERSION = 1
INDEX = "index.jsonl"
# Settings of a front end that say what is done with the transform.
NOT_OF_THE_TRANSFORM = frozenset({"crop_bins", "segment_seconds", "average", "harmonics"})


@dataclass
class CacheReport:
    """The outcome of a build.

    ``tracks``: the cached ones in the order given, variants of a track side by side; ``failed``:
    the others, with the reason; ``warnings``: oddities of some that were cached.
    """

    folder: Path
    tracks: CachedTracks = field(default_factory=lambda: CachedTracks.of(()))
    failed: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    built: int = 0
    reused: int = 0

    def summary(self) -> str:
        """One line for people."""
        text = f"{counted(self.built, 'track')} transformed, {self.reused} already cached"
        return f"{text}, {len(self.failed)} skipped" if self.failed else text


class CacheError(Exception):
    """A cache that cannot be used; the message names the file."""


def front_end_folder(folder: Path | str, front_end: FrontEnd) -> Path:
    """The part of a cache that belongs to a front end."""
    settings = {
        name: value
        for name, value in front_end.as_dict().items()
        if name not in NOT_OF_THE_TRANSFORM
    }
    text = json_text({"version": VERSION, **settings}, ascii=True, sort_keys=True)
    return Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]


def track_id(path: Path | str, cents: float = 0.0) -> str:
    """Name of a file's array: changes with its path, size, time of change, and the detuning."""
    status = os.stat(path)
    text = f"{os.path.realpath(path)}\0{status.st_size}\0{status.st_mtime_ns}\0{cents:g}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:32]


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of a front end's index by track id; skips a line that a kill cut short."""
    entries = {}
    try:
        text = (folder / INDEX).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return {}
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            entries[entry["id"]] = entry
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return entries


def read_frames(track: CachedTrack, start: int, out: np.ndarray) -> None:
    """Read frames from ``start`` on into ``out``, C-contiguous float16 (frames, bins).

    Raises:
        CacheError: when the file is gone or too short.
    """
    try:
        with open(track.file, "rb", buffering=0) as stream:
            stream.seek(track.offset + start * out.shape[1] * out.itemsize)
            read = stream.readinto(out.view(np.uint8).data)
    except OSError as error:
        raise CacheError(f"{track.file}: {error.strerror}; build the cache again") from error
    if read != out.nbytes:
        raise CacheError(f"{track.file}: shorter than its index says; build the cache again")


def read_track(track: CachedTrack, bins: int) -> np.ndarray:
    """The whole transform of a track, float16 (frames, bins); CacheError as `read_frames`."""
    out = np.empty((track.frames, bins), np.float16)
    read_frames(track, 0, out)
    return out


def build_cache(
    tracks: Iterable[Track | Path | str],
    folder: Path | str,
    front_end: FrontEnd | None = None,
    *,
    workers: int | None = None,
    cents: Sequence[float] = (0.0,),
    progress: bool = True,
) -> CacheReport:
    """Transform the tracks that are not in the cache yet.

    A killed build resumes when run again. Files that cannot be read, silent ones, and ones
    too short for the transform (0.8 s) are reported, listed in ``skipped.tsv`` and tried again at
    the next build. Build in one process before training starts in several.

    Args:
        tracks: of a manifest, or paths.
        folder: of the cache; made when missing. 50 000 tracks of 4 minutes take 100 GB.
        front_end: the settings of the transform.
        workers: processes of one thread each (default: one per core); 1 works in this one. They are
            spawned: a script that builds must guard its main part as usual with
            ``if __name__ == "__main__"``.
        cents: a variant of each track is cached for each of these detunings
            (see `stonekey.data.augment.variant_cents`).
        progress: show a bar.

    Raises:
        OSError: when the cache cannot be written.
        CacheError: when a worker process dies.
    """
    from concurrent.futures.process import BrokenProcessPool

    from stonekey.data.transform import Job, run_jobs

    front_end = front_end or FrontEnd()
    target = front_end_folder(folder, front_end)
    report = CacheReport(target)
    index = _prepare(target, front_end)
    _sweep(target)
    wanted: list[tuple[Track, list[str]]] = []
    jobs: list[Job] = []
    for track in tracks:
        if not isinstance(track, Track):
            track = Track(os.fspath(track), Path(track))
        path = str(track.path)
        try:
            ids = [track_id(path, value) for value in cents]
        except OSError as error:
            report.failed.append((path, error.strerror or "cannot be read"))
            continue
        wanted.append((track, ids))
        todo = [(i, c) for i, c in zip(ids, cents, strict=True) if not _present(target, index, i)]
        if todo:
            jobs.append(Job(path, str(target), tuple(todo)))
    failed = {}
    try:
        with _Appender(target / INDEX) as appender:
            for result in run_jobs(jobs, front_end, workers, progress):
                if result.reason:
                    failed[result.path] = result.reason
                for entry in result.entries:
                    appender.write(entry)
                    index[entry["id"]] = entry
                report.warnings += [(result.path, text) for text in result.warnings]
                report.built += not result.reason
    except BrokenProcessPool as error:
        raise CacheError(
            "a worker process died, perhaps for lack of memory: build again with fewer workers; "
            "what is done is kept"
        ) from error
    cached = CachedTracksBuilder()
    for track, ids in wanted:
        if (path := str(track.path)) in failed:
            report.failed.append((path, failed[path]))
            continue
        for name in ids:
            cached.append(_cached(target, index[name], track))
    report.tracks = cached.build()
    report.reused = len(wanted) - len(jobs)
    text = "".join(f"{path}\t{reason}\n" for path, reason in report.failed)
    data = text.encode("utf-8", errors="surrogateescape")
    write_atomically(target / "skipped.tsv", lambda temporary: temporary.write_bytes(data))
    return report


def pack_cache(folder: Path | str, front_end: FrontEnd | None = None, size: int = 1 << 30) -> int:
    """Join the arrays of single tracks in files of about ``size`` bytes, for many small tracks.

    A kill at any moment leaves a working cache. Do not pack while something reads or builds.

    Returns:
        How many arrays were moved.
    """
    front_end = front_end or FrontEnd()
    target = front_end_folder(folder, front_end)
    index = _prepare(target, front_end)
    loose = [
        e
        for i, e in index.items()
        if not e["file"].startswith("pack-") and _present(target, index, i)
    ]
    width = front_end.n_bins * 2
    number = len(list(target.glob("pack-*.npy")))
    for group in _groups(loose, size // width):
        name = f"pack-{number:05d}.npy"
        number += 1
        moved: list[dict[str, Any]] = []

        def write(
            temporary: Path, group: list = group, name: str = name, moved: list = moved
        ) -> None:
            shape = (sum(entry["frames"] for entry in group), front_end.n_bins)
            packed = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            row = 0
            for entry in group:
                track = _cached(target, entry, Track("", None))
                stop = row + track.frames
                packed[row:stop] = read_track(track, front_end.n_bins)
                moved.append({**entry, "file": name, "offset": packed.offset + row * width})
                row = stop
            packed.flush()

        write_atomically(target / name, write)
        for entry in moved:
            index[entry["id"]] = entry
        _write_index(target, index)
        for entry in group:
            (target / entry["file"]).unlink()
    return len(loose)


def _groups(entries: list[dict[str, Any]], frames: int) -> Iterator[list[dict[str, Any]]]:
    """Split so that each part but the last has at least so many frames."""
    group: list[dict[str, Any]] = []
    total = 0
    for entry in entries:
        group.append(entry)
        total += entry["frames"]
        if total >= frames:
            yield group
            group, total = [], 0
    if group:
        yield group


def _prepare(target: Path, front_end: FrontEnd) -> dict[str, dict[str, Any]]:
    """Make the folder, say in it what it is for, and read its index."""
    target.mkdir(parents=True, exist_ok=True)
    settings = json_text(front_end.as_dict(), ascii=True, indent=2)
    if not (target / "front_end.json").exists():
        write_text(target / "front_end.json", settings)
    return read_index(target)


def _sweep(target: Path) -> None:
    """Remove what builds killed more than a day ago left half written."""
    for left in target.glob("*/.*.npy.*"):
        try:
            if time.time() - left.stat().st_mtime > 86400:
                left.unlink()
        except OSError:
            continue  # Another build was faster, or is not ours to clean up after.


def _present(target: Path, index: dict[str, dict[str, Any]], name: str) -> bool:
    """Whether the array of an index entry is there and whole."""
    entry = index.get(name)
    if entry is None:
        return False
    try:
        size = (target / entry["file"]).stat().st_size
        return bool(size >= entry["offset"] + entry["bytes"])
    except OSError:
        return False


def _cached(target: Path, entry: dict[str, Any], track: Track) -> CachedTrack:
    return CachedTrack(
        path=str(track.path),
        file=str(target / entry["file"]),
        offset=entry["offset"],
        frames=entry["frames"],
        samples=entry["samples"],
        cents=entry["cents"],
        key=track.key,
        keyless=track.keyless,
        probabilities=track.probabilities,
        group=track.group,
    )


def _write_index(target: Path, index: dict[str, dict[str, Any]]) -> None:
    text = "".join(json_text(entry, ascii=True) + "\n" for entry in index.values())
    write_text(target / INDEX, text)


class _Appender:
    """Adds lines to an index, each on disk at once, after mending a last line cut short."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> _Appender:
        self._stream = open(self.path, "a+b")
        self._stream.seek(0, os.SEEK_END)
        if self._stream.tell():
            self._stream.seek(-1, os.SEEK_END)
            if self._stream.read(1) != b"\n":
                self._stream.write(b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def write(self, entry: dict[str, Any]) -> None:
        self._stream.write(json_text(entry, ascii=True).encode() + b"\n")
        self._stream.flush()
