"""Render many scores in parallel; an interrupted run resumes."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stonekey.data.pool import worker_pool
from stonekey.data.render.arrange import arrange
from stonekey.data.render.band import mix, perform
from stonekey.data.render.compose import compose
from stonekey.data.render.scores import ScoreEntry, file_names, read_score
from stonekey.data.render.sound import SAMPLE_RATE, RenderError, play, process, write_lossy
from stonekey.data.render.styles import TRAINED
from stonekey.files import write_atomically, write_text
from stonekey.text import json_text

MANIFEST = "manifest.csv"
SETTINGS = "settings.json"
COLUMNS = (
    "path", "key", "split", "score", "song", "source", "style", "transposed", "cents", "soundfont",
)  # fmt: skip


@dataclass(frozen=True)
class RenderSettings:
    """What a rendering depends on, beside its score.

    Attributes:
        soundfonts: files, one drawn for each rendering.
        seconds: length of each, at most.
        versions: renderings of each score.
        transpose: draw a key for each rendering.
        seed: of every choice; the same seed gives the same audio with the same FluidSynth.
        styles: of bands for charts, one drawn for each rendering of a chart that has none of its
            own; none for all but those held out.
    """

    soundfonts: tuple[Path, ...]
    seconds: float = 50.0
    versions: int = 1
    transpose: bool = True
    seed: int = 0
    styles: tuple[str, ...] = ()

    def as_json(self) -> str:
        """For comparison with an earlier run."""
        names = [path.name for path in self.soundfonts]
        settings = {**vars(self), "soundfonts": names}
        if not self.styles:  # as folders of earlier versions have it
            del settings["styles"]
        return json_text(settings, ascii=True, indent=1)


@dataclass(frozen=True)
class RenderReport:
    """What a run did: the manifest, renderings made and found there, failures with reasons."""

    manifest: Path
    made: int
    kept: int
    failed: tuple[tuple[str, str], ...]


def render(
    entries: Sequence[ScoreEntry],
    folder: Path,
    settings: RenderSettings,
    jobs: int = 1,
    watch: Callable[[int, int], None] | None = None,
) -> RenderReport:
    """Render scores into a folder, with a manifest of path, key and split.

    Args:
        entries: scores; one that cannot be rendered is reported and the run goes on.
        folder: for the audio; made if need be.
        settings: must be those of an earlier run into the same folder.
        jobs: processes.
        watch: called with renderings done and in all.

    Raises:
        ValueError: when the folder holds other files, or renderings with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder, settings)
    work = [(entry, version) for entry in entries for version in range(settings.versions)]
    rows: dict[tuple[str, int], dict[str, str]] = {}
    failed: list[tuple[str, str]] = []
    kept = 0
    waiting = []
    names = file_names(entries)
    for entry, version in work:
        done = folder / f"{names[entry.name]}_{version}.json"
        if done.is_file():
            rows[entry.name, version] = json.loads(done.read_bytes())
            kept += 1
        else:
            waiting.append((entry, version))
    total = len(work)
    if watch:
        watch(kept, total)
    with worker_pool(jobs) as pool:
        futures = {
            pool.submit(render_one, entry, version, folder / names[entry.name], settings): (
                entry,
                version,
            )
            for entry, version in waiting
        }
        try:
            for number, future in enumerate(as_completed(futures), start=kept + 1):
                entry, version = futures[future]
                try:
                    rows[entry.name, version] = future.result()
                except (RenderError, ValueError, OSError) as error:
                    failed.append((entry.name, str(error)))
                if watch:
                    watch(number, total)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    manifest = folder / MANIFEST

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows[e.name, v] for e, v in work if (e.name, v) in rows)

    write_atomically(manifest, write)
    return RenderReport(manifest, len(rows) - kept, kept, tuple(failed))


def render_one(
    entry: ScoreEntry, version: int, stem: Path, settings: RenderSettings
) -> dict[str, str]:
    """Render one version of one score; returns its row of the manifest.

    Every choice comes from the seed, the score's name and the version, which is added to ``stem``.
    """
    rng = np.random.default_rng([settings.seed, zlib.crc32(entry.name.encode()), version])
    soundfont = settings.soundfonts[int(rng.integers(len(settings.soundfonts)))]
    style = ""
    if entry.chart is not None:
        style = entry.style or str(rng.choice(settings.styles or TRAINED))
        performance = perform(entry.chart, style, rng, settings.seconds, settings.transpose)
        stereo = play(performance.music(), soundfont, None)
        samples = mix(performance, stereo, settings.seconds, SAMPLE_RATE, rng)[:, None]
        transposed = (performance.key.tonic - entry.chart.key.tonic + 6) % 12 - 6
        cents = performance.cents
    else:
        if entry.composed is None:
            score = read_score(entry.path)
        else:
            score = compose(entry.composed, 1.3 * settings.seconds, entry.key, entry.borrowing)
        arrangement = arrange(score, rng, settings.seconds, settings.transpose)
        samples = play(arrangement.music, soundfont, rng)
        transposed, cents = arrangement.transposed, arrangement.cents
    samples = process(samples[: round(settings.seconds * SAMPLE_RATE)], rng)
    suffix = "mp3" if rng.random() < 0.5 else "ogg"
    path = stem.with_name(f"{stem.name}_{version}.{suffix}")
    write_lossy(path, samples, float(rng.uniform(0.1, 0.9)))
    key = entry.key and entry.key.transpose(transposed)
    row = {
        "path": path.name,
        "key": str(key or ""),
        "split": entry.split,
        "score": entry.name,
        "song": entry.song,
        "source": entry.source,
        "style": style,
        "transposed": str(transposed),
        "cents": f"{cents:.1f}",
        "soundfont": soundfont.name,
    }
    text = json_text(row, ascii=True)
    write_text(path.with_suffix(".json"), text)
    return row


def _check_settings(folder: Path, settings: RenderSettings) -> None:
    path = folder / SETTINGS
    text = settings.as_json()
    if not path.is_file() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds other files; give an empty folder, or one of renderings")
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{folder} holds renderings with other settings; give another folder")
    write_text(path, text)
