"""Transform tracks for the cache, in this process or in several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stonekey.audio import AudioError, load_audio
from stonekey.data.augment import shift_cents
from stonekey.data.pool import worker_pool
from stonekey.files import core_count, write_atomically
from stonekey.model.settings import FrontEnd

if TYPE_CHECKING:
    from stonekey.network.vqt import VQT

# A recording is transformed in pieces of this length: memory does not grow with it further.
PIECE_SECONDS = 60


@dataclass(frozen=True)
class Job:
    """A file to transform into ``folder``, once for each (track id, cents)."""

    path: str
    folder: str
    variants: tuple[tuple[str, float], ...]


@dataclass
class Result:
    """Index entries of a job, or the reason why there are none."""

    path: str
    entries: list[dict[str, Any]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    reason: str = ""


def log_transform(samples: np.ndarray, vqt: VQT) -> np.ndarray:
    """Transform a recording as the cache stores it.

    Pieces overlap by more than the transform reaches, so their joins do not show.

    Args:
        samples: (n,) float32 with a peak of 1, n at least ``vqt.min_samples``.
        vqt: the front end.

    Returns:
        float16 (frames, bins), 10 log10(max(magnitude, 1e-10)) / 80.
    """
    import torch

    from stonekey.network.vqt import DYNAMIC_RANGE_DB, LOG_FLOOR

    front_end = vqt.front_end
    hop, frames = front_end.hop, front_end.frames(len(samples))
    margin = -(-4 * vqt.min_samples // hop)
    piece = round(PIECE_SECONDS * front_end.sample_rate / hop)
    out = np.empty((frames, front_end.n_bins), np.float16)
    waveform = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    with torch.inference_mode():
        for start in range(0, frames, piece):
            stop = min(start + piece, frames)
            first = max(0, start - margin)
            magnitude = vqt(waveform[None, first * hop : (stop + margin) * hop])[0]
            part = magnitude[:, start - first : stop - first]
            x = torch.log10(part.clamp(min=LOG_FLOOR)) * (10 / DYNAMIC_RANGE_DB)
            out[start:stop] = x.T.half().numpy()
    return out


def read_recording(path: str, rate: int) -> tuple[np.ndarray | None, tuple[str, ...], str]:
    """A recording scaled to a peak of 1, warnings, and the reason when there is none."""
    try:
        audio = load_audio(path, rate)
        peak = float(np.max(np.abs(audio.samples)))
    except AudioError as error:
        return None, (), error.reason
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        # Whatever a decoder does with a broken file, the others go on.
        return None, (), f"{type(error).__name__}: {error}"
    if peak == 0:
        return None, (), "is silent"
    return audio.samples / np.float32(peak), audio.warnings, ""


def shifted_transform(
    samples: np.ndarray, cents: float, vqt: VQT
) -> tuple[np.ndarray | None, int, str]:
    """The transform of a recording raised by ``cents``, its samples; or why it has none."""
    rate = vqt.front_end.sample_rate
    samples = shift_cents(samples, rate, cents)
    if len(samples) < vqt.min_samples:
        seconds = f"{len(samples) / rate:.1f} s long, {vqt.min_samples / rate:.1f} s needed"
        return None, len(samples), f"too short: {seconds}"
    return log_transform(samples, vqt), len(samples), ""


def transformed(path: str, cents: float, vqt: VQT) -> tuple[np.ndarray | None, int, str]:
    """As `shifted_transform`, of a file."""
    samples, _, reason = read_recording(path, vqt.front_end.sample_rate)
    return (None, 0, reason) if samples is None else shifted_transform(samples, cents, vqt)


def transform_file(job: Job, vqt: VQT) -> Result:
    """Decode, transform and store one file.

    Raises:
        OSError: when the array cannot be written. A file that cannot be read is a result.
    """
    recording, warnings, reason = read_recording(job.path, vqt.front_end.sample_rate)
    if recording is None:
        return Result(job.path, reason=reason)
    result = Result(job.path, warnings=warnings)
    for name, cents in job.variants:
        array, samples, reason = shifted_transform(recording, cents, vqt)
        if array is None:
            return Result(job.path, reason=reason)
        file = f"{name[:2]}/{name}.npy"
        target = Path(job.folder, file)
        write_atomically(target, partial(_save, array))
        result.entries.append(
            {
                "id": name,
                "file": file,
                "offset": target.stat().st_size - array.nbytes,
                "bytes": array.nbytes,
                "frames": len(array),
                "samples": samples,
                "cents": cents,
                "path": job.path,
            }
        )
    return result


def _save(array: np.ndarray, path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


_worker_vqt: VQT | None = None


def _start_worker(front_end: FrontEnd) -> None:
    global _worker_vqt
    import torch

    from stonekey.network.vqt import VQT

    torch.set_num_threads(1)
    _worker_vqt = VQT(front_end)


def _work(job: Job) -> Result:
    assert _worker_vqt is not None
    return transform_file(job, _worker_vqt)


def run_jobs(
    jobs: Sequence[Job], front_end: FrontEnd, workers: int | None = None, progress: bool = True
) -> Iterator[Result]:
    """Transform files, giving each result as it comes; see `stonekey.data.cache.build_cache`.

    Raises:
        BrokenProcessPool: a worker process died.
    """
    workers = min(workers or core_count(), len(jobs))
    results = _here(jobs, front_end) if workers <= 1 else _in_processes(jobs, front_end, workers)
    if not (progress and jobs):
        yield from results
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(results, "Caching", len(jobs), console=Console(stderr=True))


def _here(jobs: Sequence[Job], front_end: FrontEnd) -> Iterator[Result]:
    if not jobs:
        return
    from stonekey.network.vqt import VQT

    vqt = VQT(front_end)
    for job in jobs:
        yield transform_file(job, vqt)


def _in_processes(jobs: Sequence[Job], front_end: FrontEnd, workers: int) -> Iterator[Result]:
    pool = worker_pool(workers, _start_worker, front_end)
    try:
        futures: list[Future[Result]] = [pool.submit(_work, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
