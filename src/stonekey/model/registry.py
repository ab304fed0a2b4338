"""Model names and files: what ships with the package, what is fetched, what lies on disk."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from stonekey.model.checkpoint import CheckpointError, sha256
from stonekey.model.published import PUBLISHED, PublishedModel

DEFAULT_MODEL = "stone24"
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
        return Path(str(resources.files("stonekey.model") / "weights" / self.file))


EMBEDDED = (
    EmbeddedModel(
        "stone24",
        "stone24.onnx",
        24,
        "for most uses: major and minor keys, calibrated confidence, no key for drums and speech; "
        "stone12, and a mode learnt from labelled scores",
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

# On 84 recordings (docs/results.md): MIREX score with both fifths, KSEA of 12 signatures; percent.
SCORES = {
    "stone24": "MIREX 92.5, KSEA 96.4",
    "stone12": "KSEA 96.4",
    "template": "MIREX 78.3, KSEA 80.4",
    "template12": "KSEA 80.4",
    "deezer/stone12": "KSEA 87.5",
    "deezer/stone24": "MIREX 88.7, KSEA 93.5",
    "deezer/skey": "MIREX 95.2, KSEA 96.4",
}


def model_names() -> list[str]:
    """Every name that `find_model` knows."""
    return [m.name for m in EMBEDDED] + [m.name for m in PUBLISHED]


def cache_folder() -> Path:
    """Where fetched models are kept: ``$STONEKEY_HOME``, or the user's cache folder."""
    if home := os.environ.get("STONEKEY_HOME"):
        return Path(home).expanduser()
    import pooch

    return Path(pooch.os_cache("stonekey"))


def find_model(name: str | os.PathLike[str]) -> Path:
    """The file of a model, fetched when it is a published one not seen before.

    Args:
        name: a known name, or a path: a model file, the same without its suffix, or a
            folder that holds ``model.onnx`` or another ``model`` file.

    Raises:
        ModelNotFoundError: when there is none, or it cannot be fetched.
    """
    text = os.fspath(name)
    for embedded in EMBEDDED:
        if embedded.name == text:
            return embedded.path
    for published in PUBLISHED:
        if published.name == text:
            return fetch(published, cache_folder())
    path = Path(text).expanduser()
    stem = path / "model" if os.path.isdir(path) else path
    for candidate in (stem, *(Path(f"{stem}{suffix}") for suffix in SUFFIXES)):
        if os.path.isfile(candidate):
            return candidate
    near = difflib.get_close_matches(text, model_names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(model_names())}"
    raise ModelNotFoundError(
        f"{text}: no such model, and no such .onnx, .safetensors or .pt file; {hint}"
    )


def fetch(model: PublishedModel, folder: Path) -> Path:
    """A published checkpoint's file, from the cache or its authors' repository.

    The checksum is verified, also of a file already there; a broken or altered transfer
    leaves nothing behind.

    Raises:
        ModelNotFoundError: with no network, a wrong checksum or an incomplete transfer; says
            which file to put where.
    """
    import pooch
    import requests

    path = folder / model.file
    if path.is_file() and sha256(path) == model.sha256:
        return path
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            model.url,
            known_hash=f"sha256:{model.sha256}",
            fname=model.file,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=30),
        )
    except (requests.RequestException, OSError, ValueError) as error:
        reason = str(error)
        if isinstance(error, requests.ConnectionError):
            reason = "no connection to the server"
        elif isinstance(error, ValueError) and "hash" in reason.lower():
            reason = "its checksum is not the expected one"
        raise ModelNotFoundError(
            f"{model.name}: cannot be fetched: {reason}.\n"
            f"Download {model.url}\nand save it as {path} (sha256 {model.sha256})."
        ) from error
    return path
