"""``stonekey data``: prepare data sets for training."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import Engine, exit_on_error, fail, needs_extra, output_kept
from stonekey.cli.help import Command
from stonekey.files import core_count
from stonekey.text import address, counted, echo, log

data = typer.Typer(help="Prepare data sets for training.", rich_markup_mode=None)


GinFile = Annotated[
    str | None, typer.Option("--gin-file", "-g", help="Gin file that configures the front end.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes; by default one per core.")
]


@data.command("shard", cls=Command)
def shard(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folder of music, or a manifest.")
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="Folder for the shards, or an address such as s3://bucket/name."
        ),
    ],
    size: Annotated[int, typer.Option(min=1, help="Approximate megabytes per shard.")] = 1000,
    name: Annotated[str, typer.Option(help="Prefix of the shards' file names.")] = "shard",
    seed: Annotated[int, typer.Option(help="Seed of the order of the tracks.")] = 0,
    transforms: Annotated[
        bool, typer.Option("--transforms", help="Store each track's log-VQT instead of its file.")
    ] = False,
    gin_file: GinFile = None,
    workers: Workers = None,
    engine: Engine = "local",
) -> None:
    """Pack tracks into tar files in WebDataset's layout, to train on.

    Stores each track as its file, unchanged, or with --transforms as what training reads: 8.5 kB a
    second, with a checksum. Such shards are read in sequence, from a disk, HTTP or an object
    store. Each has a JSON record of path and key. If interrupted, run it again to resume.

    Examples:

      stonekey data shard ~/Music shards/

      stonekey data shard tracks.csv s3://bucket/shards --transforms --engine ray
    """
    with needs_extra("train") if transforms else nullcontext():
        from stonekey.data.manifest import read_manifest
        from stonekey.data.shards import ShardError, write_shards
        from stonekey.library.cluster import ClusterError

        if transforms:
            from stonekey.training.config import load_config
    with exit_on_error():
        manifest = read_manifest(source)
        for track in manifest.missing:
            log(f"{track.path}: missing")
        if not manifest.present:
            fail(f"{source}: no audio file found")
        try:
            with output_kept(engine):
                report = write_shards(
                    manifest.present,
                    output,
                    front_end=load_config(gin_file, "ks").front_end if transforms else None,
                    transforms=transforms,
                    size=size * 1_000_000,
                    name=name,
                    seed=seed,
                    workers=workers,
                    engine=engine,
                )
        except (ShardError, ClusterError) as error:
            fail(str(error))
        for path, reason in report.failed:
            log(f"{path}: {reason}")
        kept = f", {report.kept} of them already there" if report.kept else ""
        made = f"{counted(report.tracks, 'track')} in {counted(len(report.shards), 'shard')}"
        echo(f"{made} in {address(output)}{kept}")
        if report.failed or manifest.missing:
            raise typer.Exit(1)


@data.command("cache", cls=Command)
def cache(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folder of music, or a manifest.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Folder of the cache.")],
    gin_file: GinFile = None,
    workers: Workers = None,
    pack: Annotated[
        bool, typer.Option("--pack", help="Finally join the arrays into a few large files.")
    ] = False,
) -> None:
    """Compute the log-VQT of a data set's tracks ahead of training.

    If interrupted, run it again to resume. Pass the folder to "stonekey train" as --cache.

    Examples:

      stonekey data cache ~/Music runs/cache
    """
    with needs_extra("train"):
        from stonekey.data.cache import CacheError, build_cache, pack_cache
        from stonekey.data.manifest import read_manifest
        from stonekey.training.config import load_config
    with exit_on_error():
        front_end = load_config(gin_file, "ks").front_end
        manifest = read_manifest(source)
        try:
            report = build_cache(manifest.present, output, front_end, workers=workers)
            moved = pack_cache(output, front_end) if pack else 0
        except CacheError as error:
            fail(str(error))
        for path, reason in report.failed:
            log(f"{path}: {reason}")
        echo(f"{report.summary()}{f', {moved} packed' if pack else ''}: {report.folder}")
        if report.failed:
            raise typer.Exit(1)


@data.command("render", cls=Command)
def render(
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES",
            help="Folder of MIDI, MusicXML and chord charts; a CSV (path, key); or a chart file.",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Folder for the audio and its manifest.")
    ],
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(
            help="Soundfont to use, may be repeated; by default all that are installed.",
            metavar="FILE",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=5, help="Maximum length of a rendering.")] = 50.0,
    versions: Annotated[int, typer.Option(min=1, help="Renderings of each score.")] = 1,
    transpose: Annotated[
        bool, typer.Option("--transpose/--keep-key", help="Transpose each to a random key.")
    ] = True,
    styles: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            help="Style in which a band plays the charts, may be repeated; by default all but "
            "the held-out styles.",
            metavar="NAME",
        ),
    ] = None,
    balanced: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Render N charts in total, spread evenly over styles and about evenly over modes.",
            metavar="N",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Number of processes; by default one per core."),
    ] = None,
) -> None:
    """Render scores as audio to train on, each in a random arrangement.

    Randomises the excerpt, key, tempo, instruments, bass line, drums, room, equaliser,
    loudness, tuning, soundfont and lossy codec. Writes a manifest with the sounding keys,
    where they are known, and splits the songs into train, valid and test. If interrupted, run
    it again to resume.

    Bands play chord charts (.jsonl, .chart) in styles from ballad to metal. Most charts are in
    major, so --balanced also composes loops and moves charts to the other mode.

    Needs the extra "render", FluidSynth and soundfonts. On Debian: apt-get
    install fluidsynth fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont-small

    Examples:

      stonekey data render scores/ rendered/

      stonekey data render keys.csv rendered/ --versions 2 --seconds 30

      stonekey data render charts.jsonl rendered/ --balanced 2000 --seconds 25
    """
    with needs_extra("render"):
        import music21  # noqa: F401
        import pretty_midi  # noqa: F401
    with exit_on_error():
        from stonekey.data.render.balance import draw
        from stonekey.data.render.run import RenderSettings
        from stonekey.data.render.run import render as run
        from stonekey.data.render.scores import list_scores
        from stonekey.data.render.sound import RenderError, find_soundfonts
        from stonekey.data.render.styles import TRAINED, check_styles
        from stonekey.output.progress import counted

        drawn = check_styles(styles or ())
        entries = list_scores(scores)
        if balanced is not None:
            entries = draw(entries, balanced, drawn or TRAINED, seed)
        try:
            fonts = find_soundfonts(soundfont or ())
        except RenderError as error:
            fail(str(error))
        settings = RenderSettings(tuple(fonts), seconds, versions, transpose, seed, drawn)
        with counted("rendering") as watch:
            report = run(entries, output, settings, jobs or core_count(), watch)
        for name, reason in report.failed:
            log(f"{name}: {reason}")
        echo(f"{report.made} rendered, {report.kept} already there: {report.manifest}")
        if report.failed:
            raise typer.Exit(1)


@data.command("subset", cls=Command)
def subset(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="Manifest (path, key, split).")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Folder for the manifests.")],
    share: Annotated[
        list[float] | None,
        typer.Option(help="Percent of the labels to keep; may be repeated.", metavar="PERCENT"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 0,
) -> None:
    """Write manifests that keep 1, 10 and 100 % of the labels, or other shares.

    Only labels to train with are taken away, not those of valid or test. Unlabelled tracks stay:
    mixed training uses them, supervised training does not. A smaller share is part of a larger.

    Examples:

      stonekey data subset tracks.csv subsets/

      stonekey data subset tracks.csv subsets/ --share 5 --share 50
    """
    with exit_on_error():
        from stonekey.data.manifest import read_manifest
        from stonekey.data.subsets import keep_labels, write_manifest

        given = read_manifest(manifest)
        made = {
            output / f"labels-{percent:g}.csv": keep_labels(given, percent, seed)
            for percent in share or (1.0, 10.0, 100.0)
        }
        for path in made:
            if path.exists():
                fail(f"{path} is there already")
        for path, tracks in made.items():
            write_manifest(tracks, path)
            echo(f"{sum(track.key is not None for track in tracks)} labels: {path}")
