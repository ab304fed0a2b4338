"""``stonekey --version``, and with ``--verbose`` what a bug report needs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stonekey import __version__

# Packages whose version matters; those of extras, and click, which a new typer does not need, are
# listed where they are installed.
PACKAGES = (
    "numpy", "onnxruntime", "onnx", "av", "soundfile", "soxr", "mutagen", "safetensors", "pooch",
    "rich", "typer",
)  # fmt: skip
EXTRAS = (
    "click", "torch", "lightning-fabric", "gin-config", "matplotlib", "pyarrow", "ray", "mirdata",
    "beets", "starlette", "uvicorn", "websockets", "python-multipart", "sounddevice",
)  # fmt: skip
_HASH = 12  # digits of a hash that tell files apart


def short() -> str:
    """``stonekey 1.2.3``."""
    return f"stonekey {__version__}"


def details() -> str:
    """Lines of ``name: value``, without the name of the user's home folder."""
    facts = list(_facts())
    width = max(len(name) for name, _ in facts) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in facts)


def _facts() -> Iterator[tuple[str, str]]:
    from stonekey.files import cache_folder, core_count

    yield "stonekey", f"{__version__}, in {_home_hidden(Path(__file__).parents[1])}"
    bits = 64 if sys.maxsize > 2**32 else 32
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()}, {bits} bits)"
    yield "system", platform.platform()
    yield "processor", f"{_processor()}, {core_count()} cores"
    yield "encodings", f"output {sys.stdout.encoding}, file names {sys.getfilesystemencoding()}"
    for name in (*PACKAGES, *EXTRAS):
        if (found := _package(name)) or name in PACKAGES:
            yield name, found or "not installed"
    folder = cache_folder()
    yield "cache folder", _home_hidden(folder)
    yield from _models(folder)


def _package(name: str) -> str | None:
    try:
        found = version(name)
    except PackageNotFoundError:
        return None
    try:
        more = _inside(name)
    except Exception as error:  # broken, which is what a bug report is to say
        more = f"cannot be imported: {type(error).__name__}: {error}"
    return f"{found} ({more})" if more else found


def _inside(name: str) -> str:
    """What a package brings with it."""
    if name == "av":
        import av

        libraries = {n: ".".join(map(str, v)) for n, v in av.library_versions.items()}
        named = getattr(av, "ffmpeg_version_info", None)
        parts = [f"FFmpeg {named}"] if named else []
        parts += [f"{n} {libraries[n]}" for n in ("libavcodec", "libavformat") if n in libraries]
        return ", ".join(parts)
    if name == "soundfile":
        import soundfile

        return f"libsndfile {soundfile.__libsndfile_version__}"
    if name == "soxr":
        import soxr

        return str(soxr.__libsoxr_version__)
    if name == "onnxruntime":
        import onnxruntime

        return ", ".join(onnxruntime.get_available_providers())
    if name == "numpy":
        import numpy as np

        built = np.show_config(mode="dicts")
        assert built is not None
        simd = built.get("SIMD Extensions", {})
        known = [*simd.get("baseline", []), *simd.get("found", [])]
        return " ".join([built["Build Dependencies"]["blas"]["name"], *known])
    return ""


def _models(folder: Path) -> Iterator[tuple[str, str]]:
    """The models in the package, and those of others in the cache."""
    from datetime import datetime, timezone

    from stonekey.files import sha256
    from stonekey.model.published import PUBLISHED
    from stonekey.model.registry import EMBEDDED

    def state(path: Path, expected: str | None = None) -> str:
        try:
            found = sha256(path)
            day = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).date()
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        altered = "" if expected in (None, found) else ", not the published file"
        dated = "in the package" if expected is None else f"fetched {day}"
        return f"{dated}, sha256 {found[:_HASH]}{altered}"

    for embedded in EMBEDDED:
        yield embedded.name, state(embedded.path)
    for published in PUBLISHED:
        path = folder / published.file
        known = state(path, published.sha256) if os.path.exists(path) else "not fetched"
        yield published.name, known


def _processor() -> str:
    """The name of the processor, as far as it can be had without running a program."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def _home_hidden(path: Path) -> str:
    """A path with ``~`` for the home folder."""
    from stonekey.text import shown

    home = os.path.expanduser("~")
    try:
        return shown(Path("~") / Path(os.path.abspath(path)).relative_to(home))
    except ValueError:
        return shown(path)
