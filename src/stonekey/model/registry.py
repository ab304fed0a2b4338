"""Model names and files: what ships with the package, what is fetched, what lies on disk."""

from __future__ import annotations

import csv
import difflib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from stonekey.files import cache_folder, sha256, write_atomically
from stonekey.model.checkpoint import CheckpointError
from stonekey.model.published import PUBLISHED, PublishedModel
from stonekey.text import shown

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "stone24"
_WEIGHTS = Path(__file__).parent / "weights"
SUFFIXES = (".onnx", ".safetensors", ".pt")


class ModelNotFoundError(CheckpointError):
    """No model of that name, or its file cannot be had; the message says what to do."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model inside the package."""

    name: str
    file: str
    classes: int
    description: str

    @property
    def path(self) -> Path:
        """The file in the installed package."""
        return _WEIGHTS / self.file


EMBEDDED = (
    EmbeddedModel(
        "stone24",
        "stone24.onnx",
        24,
        "for most uses: major and minor keys, fitted confidence, no key for drums and speech; "
        "learnt from chord charts and other estimators' answers",
    ),
    EmbeddedModel(
        "stone12",
        "stone12.onnx",
        12,
        "key signatures, where the mode does not matter or must not be guessed; learnt without "
        "any key label",
    ),
    EmbeddedModel(
        "template",
        "template.onnx",
        24,
        "classical baseline, 24 keys: mean chroma against key profiles; nothing is learnt",
    ),
    EmbeddedModel(
        "template12",
        "template12.onnx",
        12,
        "classical baseline, 12 key signatures: the sum over relative keys of the same",
    ),
)


@dataclass(frozen=True)
class Score:
    """A score in percent with its 95 % interval; as text ``92.5 [87.9, 96.5]``."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def scores() -> dict[str, dict[str, Score]]:
    """By model: MIREX (both fifths) and KSEA (12 signatures) on the 84 recordings of the dev set.

    ``weights/scores.csv`` is the one place of these figures; the README, the cards and
    docs/results.md repeat them, and a test holds them to it.
    """
    text = (_WEIGHTS / "scores.csv").read_text(encoding="utf-8")
    found: dict[str, dict[str, Score]] = {}
    for row in csv.DictReader(text.splitlines()):
        found[row["model"]] = {
            name: Score(*(float(row[f"{column}{part}"]) for part in ("", "_low", "_high")))
            for name, column in (("MIREX", "mirex"), ("KSEA", "ksea"))
            if row[column]
        }
    return found


def model_names() -> list[str]:
    """Every name that `find_model` knows."""
    return [m.name for m in EMBEDDED] + [m.name for m in PUBLISHED]


def find_model(name: str | os.PathLike[str]) -> Path:
    """The file of a model, fetched when it is a published one not seen before.

    Args:
        name: a known name, or a path: a model file, the same without its suffix, or a
            folder that holds ``model.onnx`` or another ``model`` file.

    Raises:
        ModelNotFoundError: when there is none, or it cannot be fetched.
    """
    text = os.fspath(name)
    for published in PUBLISHED:
        if published.name == text:
            return fetch(published, cache_folder())
    if path := local_model(name):
        return path
    short = {name.rpartition("/")[2]: name for name in reversed(model_names())}
    near = difflib.get_close_matches(text, [*model_names(), *short], n=1)
    hint = (
        f"did you mean {short.get(near[0], near[0])}?"
        if near
        else f"known names: {', '.join(model_names())}"
    )
    raise ModelNotFoundError(
        f"{text}: no such model, and no such .onnx, .safetensors or .pt file; {hint}"
    )


def local_model(name: str | os.PathLike[str]) -> Path | None:
    """The file of a model that ships with the package or lies at a path, as in `find_model`."""
    text = os.fspath(name)
    for embedded in EMBEDDED:
        if embedded.name == text:
            return embedded.path
    path = Path(text).expanduser()
    stem = path / "model" if os.path.isdir(path) else path
    candidates = (stem, *(Path(f"{stem}{suffix}") for suffix in SUFFIXES))
    return next(filter(os.path.isfile, candidates), None)


def fetch(model: PublishedModel, folder: Path) -> Path:
    """A published checkpoint's file, from the cache or its authors' repository.

    The checksum is verified, also of a file already there; a broken or altered transfer
    leaves nothing behind. A download is announced as a warning of this module's logger, which
    Python prints unless the program says otherwise.

    Raises:
        ModelNotFoundError: with no network, a wrong checksum or an incomplete transfer; says
            which file to put where.
    """
    import pooch
    import requests

    path = folder / model.file
    if os.path.isfile(path) and sha256(path) == model.sha256:
        return path
    download = pooch.HTTPDownloader(timeout=30)
    source = "/".join(re.split("/+", model.url)[1:4])  # host, owner and repository
    logger.warning(
        "stonekey: downloading %s once: %.1f MB from %s to %s (licence: %s)",
        model.name, model.size / 1e6, source, shown(folder), model.licence,
    )  # fmt: skip

    def fill(temporary: Path) -> None:
        download(model.url, str(temporary), None)
        if sha256(temporary) != model.sha256:
            raise ModelNotFoundError("its checksum is not the expected one")

    try:
        write_atomically(path, fill)
    except (requests.RequestException, OSError, ValueError, ModelNotFoundError) as error:
        lost = isinstance(error, requests.ConnectionError)
        reason = "no connection to the server" if lost else str(error)
        raise ModelNotFoundError(
            f"{model.name}: cannot be fetched: {reason}.\n"
            f"Download {model.url}\nand save it as {path} (sha256 {model.sha256})."
        ) from error
    return path
