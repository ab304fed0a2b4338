"""Configuration of a run: the only module that knows gin.

A gin file binds the short names below, ``VQT.fmin = 27.5`` for example. A setting that it leaves
out keeps its default; an unknown name or parameter is an error.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, TextIO

import gin

from stonekey.data.augment import check_names
from stonekey.data.segments import window_frames
from stonekey.model.settings import Architecture, FrontEnd, Norm
from stonekey.training.losses import Weights
from stonekey.training.options import ConfigError as ConfigError
from stonekey.training.options import TrainType as TrainType

Mode = Literal["selfsupervised", "supervised", "mix"]
Labels = Literal["cpsd", "cross_entropy"]

# The published configuration files say "unsupervised" for what the paper calls
# self-supervised.
_MODE_NAMES = {"unsupervised": "selfsupervised", "mixed": "mix"}
MODES = ("selfsupervised", "supervised", "mix")
OBJECTIVES = ("stone", "skey")


@dataclass(frozen=True)
class DataConfig:
    """Batches: their size and kind, and the loaders of users who bring their own.

    ``dataset_type_train`` and ``dataset_type_test`` are of `MODES`; ``duration`` is that of a
    segment in seconds. ``augment`` and ``sampler``: see `stonekey.data.loaders.CachedLoader`.
    """

    sample_rate: int = 22050
    duration: float = 15.0
    batch_size: int = 128
    dataset_type_train: str = "selfsupervised"
    dataset_type_test: str = "selfsupervised"
    train_loader: Callable[[], Any] | None = None
    test_loader: Callable[[], Any] | None = None
    holdout_percent: float = 3.0
    augment: tuple[str | Callable[..., Any], ...] = ()
    detune_variants: int = 1
    window_seconds: float | None = None
    shares: dict[str, float] | None = None
    sampler: Callable[..., tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        _check_types("data", DataConfig, vars(self))
        object.__setattr__(self, "augment", tuple(self.augment))
        for name in ("dataset_type_train", "dataset_type_test"):
            kind = _MODE_NAMES.get(getattr(self, name), getattr(self, name))
            _one_of("a data set's type", kind, MODES)
            object.__setattr__(self, name, kind)
        for name in ("train_loader", "test_loader", "sampler"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise ConfigError(f"data.{name} must be a function: write @my_{name}, without ()")
        try:
            check_names(self.augment)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"data.augment: {error}") from error
        if self.batch_size < 1:
            raise ConfigError(f"data.batch_size must be at least 1, got {self.batch_size}")
        shares = self.shares
        if shares is not None and not (
            isinstance(shares, dict)
            and all(isinstance(v, (int, float)) and v >= 0 for v in shares.values())
            and any(shares.values())
        ):
            raise ConfigError(f"data.shares must give groups a share each, got {shares!r}")


@dataclass(frozen=True)
class LossConfig:
    """Objective and weights of its terms.

    ``objective``: "stone", "skey" or `stonekey.training.objective.OwnObjective`.
    ``labels``: what labelled batches minimise. "cpsd" compares as the self-supervised objective
    does, with the label in place of a view; "cross_entropy" compares outputs with the labels'
    probabilities, of which ``smoothing`` is spread over all outputs.
    """

    objective: str | Callable[..., Any] = "stone"
    key_weight: float = 1.0
    mode_weight: float = 1.5
    balance_weight: float = 15.0
    flat_weight: float = 1.0
    half: bool = True
    labels: Labels = "cpsd"
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        own = callable(self.objective)
        _check_types("loss", LossConfig, {k: v for k, v in vars(self).items() if k != "objective"})
        if not own:
            _one_of("loss.objective", self.objective, (*OBJECTIVES, "@module.objective"))
        _one_of("loss.labels", self.labels, ("cpsd", "cross_entropy"))
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"loss.smoothing must be 0 to 1, got {self.smoothing}")

    @property
    def weights(self) -> Weights:
        """The weights as the losses take them."""
        return Weights(self.key_weight, self.mode_weight, self.balance_weight, self.flat_weight)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, its schedules, clipping, early stopping, and averaging.

    ``average``: decay of the exponential moving average of the weights that is kept as the model;
    0 keeps the trained weights themselves.
    """

    final_learning_rate: float = 5e-8
    n_epochs_cosine: int | None = None
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.04
    final_weight_decay: float = 0.4
    clip: float = 3.0
    patience: int | None = None
    average: float = 0.0

    def __post_init__(self) -> None:
        _check_types("optimizer", OptimizerConfig, vars(self))
        object.__setattr__(self, "betas", tuple(self.betas))
        if not 0 <= self.average < 1:
            raise ConfigError(f"optimizer.average must be 0 to 1, got {self.average}")


@dataclass(frozen=True)
class Config:
    """All settings of a run except the options of the command."""

    front_end: FrontEnd
    architecture: Architecture
    data: DataConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    text: str
    network: Callable[..., Any] | None = None


def _vqt(
    harmonics: Sequence[int] = (1,),
    fmin: float = 27.5,
    n_bins: int = 99,
    bins_per_octave: int = 12,
    hop: int = 512,
    average: int = 1,
) -> dict[str, Any]:
    return {
        "harmonics": tuple(harmonics),
        "fmin": fmin,
        "n_bins": n_bins,
        "bins_per_octave": bins_per_octave,
        "hop": hop,
        "average": average,
    }


def _chromanet(
    n_bins: int = 84,
    out_channels: Sequence[int] = (2, 3, 40, 40, 30, 10, 3),
    kernels: Sequence[int] = (7, 7, 7, 7, 7, 5, 5),
    temperature: float = 1.0,
    norm: Norm | None = None,
    drop_path: float = 0.1,
    network: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    if network is not None and not callable(network):
        raise ConfigError("ChromaNet.network must be a class: write @module.MyNetwork, without ()")
    return locals()


_SECTIONS = {
    name: gin.external_configurable(section, name=name)
    for name, section in {
        "VQT": _vqt,
        "ChromaNet": _chromanet,
        "data": DataConfig,
        "loss": LossConfig,
        "optimizer": OptimizerConfig,
    }.items()
}


_folder = ""  # of the gin file that is read: files that it includes may lie beside it


def _open_beside(path: str) -> TextIO:
    return open(os.path.join(_folder, path), encoding="utf-8")


def _is_beside(path: str) -> bool:
    return os.path.isfile(os.path.join(_folder, path))


# gin's own search path keeps the folders of all files read before.
gin.config.register_file_reader(_open_beside, _is_beside)


def load_config(
    gin_file: str | None, train_type: TrainType, bindings: Sequence[str] = ()
) -> Config:
    """Read a gin file and bindings into a `Config`.

    Args:
        gin_file: path, or None for the defaults.
        train_type: "ks" (12 signatures) or "ks_mode" (24 keys); chooses the outputs and,
            unless ``ChromaNet.norm`` is bound, the norm of the published model.
        bindings: further gin lines, which override the file.

    Raises:
        ConfigError: when a name, a parameter or a value is not possible.
    """
    global _folder
    _folder = os.path.dirname(os.path.abspath(gin_file)) if gin_file else ""
    try:
        with _quiet():
            _parse([gin_file] if gin_file else [], list(bindings))
        values = {name: section() for name, section in _SECTIONS.items()}
    except ConfigError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(f"no such gin file: {gin_file}") from error
    except OSError as error:
        raise ConfigError(f"{gin_file}: {error}") from error
    except KeyError as error:  # a short name of several things, or a macro that is not set
        raise ConfigError(f"{gin_file or 'configuration'}: {error.args[0]}") from error
    except (ValueError, TypeError, AttributeError, SyntaxError, ImportError, NameError) as error:
        raise ConfigError(f"{gin_file or 'configuration'}: {error}{_known(str(error))}") from error
    _check_types("VQT", _vqt, values["VQT"])
    _check_types("ChromaNet", _chromanet, values["ChromaNet"])
    text = _text()
    net, data, loss = values["ChromaNet"], values["data"], values["loss"]
    if loss.objective == "skey" and train_type == "ks":
        raise ConfigError("loss.objective = 'skey' learns 24 keys: it needs -tt ks_mode")
    try:
        front_end = FrontEnd(
            **values["VQT"],
            sample_rate=data.sample_rate,
            segment_seconds=float(data.duration),
            crop_bins=net["n_bins"],
        )
        architecture = Architecture(
            outputs=12 if train_type == "ks" else 24,
            norm=net["norm"] or ("frame" if train_type == "ks" else "joint"),
            channels=tuple(net["out_channels"]),
            kernels=tuple(net["kernels"]),
            temperature=float(net["temperature"]),
            drop_path=net["drop_path"],
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error
    if front_end.transpositions < 2:
        raise ConfigError(
            f"VQT.n_bins = {front_end.n_bins} and ChromaNet.n_bins = {front_end.crop_bins}: no "
            "crop transposes; VQT.n_bins needs more: "
            f"{front_end.bins_per_semitone} for each semitone"
        )
    try:
        window_frames(data.window_seconds, front_end)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"data.window_seconds: {error}") from error
    frames = front_end.network_frames(front_end.segment_samples)
    if frames < architecture.min_frames:
        raise ConfigError(
            f"data.duration = {data.duration} gives {frames} frames; the network needs "
            f"{architecture.min_frames}"
        )
    return Config(front_end, architecture, data, loss, values["optimizer"], text, net["network"])


# What gin says of a name that it does not know.
_UNKNOWN = re.compile(r"No configurable matching (?:reference )?'@?([\w.]+)")
_UNKNOWN_PARAMETER = re.compile(r"Configurable '(\w+)' doesn't have a parameter named")
# Name as gin writes it -> import path, of what was named by its import path.
_by_path: dict[str, str] = {}


def _parse(files: list[str], bindings: list[str]) -> None:
    """Read files and bindings; a name such as ``@module.thing`` is imported, if gin lacks it."""
    while True:
        gin.clear_config()
        try:
            # Not finalised, which would keep modules that are imported later from registering.
            gin.parse_config_files_and_bindings(files, bindings, finalize_config=False)
            return
        except ValueError as error:
            unknown = _UNKNOWN.search(str(error))
            if not (unknown and _import(unknown[1])):
                raise


def _import(path: str) -> bool:
    """Make ``module.thing`` known to gin; False when it is no such path, or was made known before.

    Raises:
        ImportError: there is the module, but not the thing, or its own imports fail.
    """
    module, _, name = path.rpartition(".")
    if not module or path in _by_path.values():
        return False
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            return False
        raise
    if not hasattr(found, name):
        raise ImportError(f"{module} has no {name}")
    with suppress(ValueError):  # it says @gin.configurable itself
        gin.external_configurable(getattr(found, name), name=name, module=module)
    _by_path[name] = path
    return True


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters of a function or class, which gin may have wrapped."""
    own = function.__init__ if inspect.isclass(function) else function
    return tuple(name for name in inspect.signature(own).parameters if name != "self")


def _known(message: str) -> str:
    """What there is instead of an unknown name."""
    if found := _UNKNOWN_PARAMETER.search(message):
        names = parameters(_SECTIONS[found[1]]) if found[1] in _SECTIONS else ()
        return f"\n  {found[1]} has {', '.join(names)}" if names else ""
    if _UNKNOWN.search(message):
        return (
            f"\n  there are {', '.join(_SECTIONS)}, what you import, and what you name by its "
            "import path (@module.name)"
        )
    return ""


def _text() -> str:
    """All settings as gin: ours with their defaults, and what is bound of the user's own."""
    text = str(gin.operative_config_str())
    blocks = re.split(r"^(?=# .+:\n# =+$)", str(gin.config_str()), flags=re.MULTILINE)[1:]
    more = [block for block in blocks if block.partition("\n")[0] not in text]
    text = "\n\n".join(part.strip("\n") for part in [text, *more]) + "\n"
    for name, path in _by_path.items():  # for whoever reads it and has not imported them
        text = re.sub(rf"^{name}\.(?=\w+ = )", f"{path}.", text, flags=re.MULTILINE)
    return text


def bindings_of(text: str) -> dict[str, str]:
    """The values in `Config.text` by name, as gin writes them."""
    found = re.findall(r"^([\w./]+) = (.*(?:\n[ ].*)*)", text, re.MULTILINE)
    return {name: " ".join(value.replace("\\\n", "").split()) for name, value in found}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep gin from logging an error for each folder where an included file is not."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _check_types(section: str, made_by: Callable[..., Any], values: dict[str, Any]) -> None:
    """ConfigError for a value of another type than the parameter's default, named."""
    for name, parameter in inspect.signature(made_by).parameters.items():
        default, value = parameter.default, values.get(name)
        if name not in values or default is None:
            continue
        wanted: tuple[type, ...] = (type(default),)
        if isinstance(default, float):
            wanted = (int, float)
        elif isinstance(default, tuple):
            wanted = (tuple, list)
        if not isinstance(value, wanted) or isinstance(value, bool) != isinstance(default, bool):
            raise ConfigError(f"{section}.{name}: {value!r} is not a {wanted[-1].__name__}")
