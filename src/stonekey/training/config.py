"""Configuration of a run: the only module that knows gin.

A gin file binds the short names below, ``VQT.fmin = 27.5`` say. What it leaves out keeps the
default here; a name or parameter that does not exist is an error.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import gin

from stonekey.data.segments import window_frames
from stonekey.model.settings import Architecture, FrontEnd, Norm
from stonekey.training.options import ConfigError as ConfigError
from stonekey.training.options import TrainType as TrainType

Mode = Literal["selfsupervised", "supervised", "mix"]
Objective = Literal["stone", "skey"]
Labels = Literal["cpsd", "cross_entropy"]

# The published configuration files say "unsupervised" for what the paper calls
# self-supervised.
_MODE_NAMES = {"unsupervised": "selfsupervised"}
MODES = ("selfsupervised", "supervised", "mix")


@dataclass(frozen=True)
class DataConfig:
    """Batches: their size, kind and, instead of ours, a user's own loaders."""

    batch_size: int
    train_mode: Mode
    test_mode: Mode
    train_loader: Callable[[], Any] | None
    test_loader: Callable[[], Any] | None
    holdout_percent: float
    augment: tuple[str, ...]
    detune_variants: int
    window_seconds: float | None
    shares: dict[str, float] | None


@dataclass(frozen=True)
class LossConfig:
    """Objective and weights of its terms.

    ``labels``: what labelled batches minimise. "cpsd" compares as the self-supervised objective
    does, with the label in place of a view; "cross_entropy" compares outputs with the labels'
    probabilities, of which ``smoothing`` is spread over all outputs.
    """

    objective: Objective
    key_weight: float
    mode_weight: float
    balance_weight: float
    half: bool
    flat_weight: float = 1.0
    labels: Labels = "cpsd"
    smoothing: float = 0.0


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, its schedules, clipping, early stopping, and averaging.

    ``average``: how much the model that is kept holds on to its weights at each step, while a
    share of ``1 - average`` comes from those just trained; 0 keeps these.
    """

    final_learning_rate: float
    n_epochs_cosine: int | None
    betas: tuple[float, float]
    weight_decay: float
    final_weight_decay: float
    clip: float
    patience: int | None
    average: float


@dataclass(frozen=True)
class Config:
    """All settings of a run but the command's own."""

    front_end: FrontEnd
    architecture: Architecture
    data: DataConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    text: str


def _vqt(
    harmonics: Sequence[int] = (1,),
    fmin: float = 27.5,
    n_bins: int = 99,
    bins_per_octave: int = 12,
    hop: int = 512,
    average: int = 1,
) -> dict[str, Any]:
    if list(harmonics) != [1]:
        raise ConfigError(f"VQT.harmonics: only [1] is supported, got {list(harmonics)}")
    if bins_per_octave != 12:  # the network pools octaves of 12
        raise ConfigError(f"VQT.bins_per_octave: only 12 is supported, got {bins_per_octave}")
    return {
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
) -> dict[str, Any]:
    return locals()


def _data(
    sample_rate: int = 22050,
    duration: float = 15.0,
    batch_size: int = 128,
    dataset_type_train: str = "selfsupervised",
    dataset_type_test: str = "selfsupervised",
    train_loader: Callable[[], Any] | None = None,
    test_loader: Callable[[], Any] | None = None,
    holdout_percent: float = 3.0,
    augment: Sequence[str] = (),
    detune_variants: int = 1,
    window_seconds: float | None = None,
    shares: dict[str, float] | None = None,
) -> dict[str, Any]:
    return locals()


def _loss(
    objective: Objective = "stone",
    key_weight: float = 1.0,
    mode_weight: float = 1.5,
    balance_weight: float = 15.0,
    flat_weight: float = 1.0,
    half: bool = True,
    labels: Labels = "cpsd",
    smoothing: float = 0.0,
) -> dict[str, Any]:
    return locals()


def _optimizer(
    final_learning_rate: float = 5e-8,
    n_epochs_cosine: int | None = None,
    betas: Sequence[float] = (0.9, 0.98),
    weight_decay: float = 0.04,
    final_weight_decay: float = 0.4,
    clip: float = 3.0,
    patience: int | None = None,
    average: float = 0.0,
) -> dict[str, Any]:
    return locals()


_FUNCTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "VQT": _vqt,
    "ChromaNet": _chromanet,
    "data": _data,
    "loss": _loss,
    "optimizer": _optimizer,
}
_SECTIONS = {
    name: gin.external_configurable(function, name=name) for name, function in _FUNCTIONS.items()
}


def load_config(
    gin_file: str | None, train_type: TrainType, bindings: Sequence[str] = ()
) -> Config:
    """Read a gin file and bindings into a `Config`.

    Args:
        gin_file: path, or None for the defaults.
        train_type: "ks" (12 signatures) or "ks_mode" (24 keys); chooses the outputs and,
            unless ``ChromaNet.norm`` says otherwise, the norm of the published model.
        bindings: further gin lines, which win over the file.

    Raises:
        ConfigError: when a name, a parameter or a value is not possible.
    """
    gin.clear_config()
    if gin_file:  # so that a file may include one beside it
        gin.add_config_file_search_path(os.path.dirname(os.path.abspath(gin_file)))
    try:
        with _quiet():
            gin.parse_config_files_and_bindings([gin_file] if gin_file else [], list(bindings))
        values = {name: section() for name, section in _SECTIONS.items()}
    except ConfigError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(f"no such gin file: {gin_file}") from error
    except OSError as error:
        raise ConfigError(f"{gin_file}: {error}") from error
    except (ValueError, TypeError, AttributeError, SyntaxError, ImportError, NameError) as error:
        raise ConfigError(f"{gin_file or 'configuration'}: {error}") from error
    for name, section in values.items():
        _check_types(name, section)
    text = gin.operative_config_str()
    net, data = values["ChromaNet"], values["data"]
    try:
        front_end = FrontEnd(
            **values["VQT"],
            sample_rate=data["sample_rate"],
            segment_seconds=float(data["duration"]),
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
    try:
        window_frames(data["window_seconds"], front_end)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"data.window_seconds: {error}") from error
    frames = front_end.network_frames(front_end.segment_samples)
    if frames < architecture.min_frames:
        raise ConfigError(
            f"data.duration = {data['duration']} gives {frames} frames; the network needs "
            f"{architecture.min_frames}"
        )
    optimizer = values["optimizer"]
    optimizer["betas"] = tuple(optimizer["betas"])
    if not 0 <= optimizer["average"] < 1:
        raise ConfigError(f"optimizer.average must be 0 to 1, got {optimizer['average']}")
    return Config(
        front_end,
        architecture,
        _data_config(data),
        _loss_config(values["loss"], train_type),
        OptimizerConfig(**optimizer),
        text,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep gin from logging an error for each folder where an included file is not."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _check_types(section: str, values: dict[str, Any]) -> None:
    """ConfigError for a value of another type than the parameter's default, named."""
    for name, parameter in inspect.signature(_FUNCTIONS[section]).parameters.items():
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


def _mode(name: str) -> Mode:
    mode = _MODE_NAMES.get(name, name)
    if mode not in MODES:
        raise ConfigError(f"a data set's type must be one of {', '.join(MODES)}, got {name!r}")
    return mode  # type: ignore[return-value]


def _data_config(values: dict[str, Any]) -> DataConfig:
    if values["batch_size"] < 1:
        raise ConfigError(f"data.batch_size must be at least 1, got {values['batch_size']}")
    shares = values["shares"]
    if shares is not None and not (
        isinstance(shares, dict)
        and all(isinstance(v, (int, float)) and v >= 0 for v in shares.values())
        and any(shares.values())
    ):
        raise ConfigError(f"data.shares must give groups a share each, got {shares!r}")
    return DataConfig(
        batch_size=values["batch_size"],
        train_mode=_mode(values["dataset_type_train"]),
        test_mode=_mode(values["dataset_type_test"]),
        train_loader=values["train_loader"],
        test_loader=values["test_loader"],
        holdout_percent=values["holdout_percent"],
        augment=tuple(values["augment"]),
        detune_variants=values["detune_variants"],
        window_seconds=values["window_seconds"],
        shares=values["shares"],
    )


def _loss_config(values: dict[str, Any], train_type: TrainType) -> LossConfig:
    if values["objective"] not in ("stone", "skey"):
        raise ConfigError(f"loss.objective must be stone or skey, got {values['objective']!r}")
    if values["labels"] not in ("cpsd", "cross_entropy"):
        raise ConfigError(f"loss.labels must be cpsd or cross_entropy, got {values['labels']!r}")
    if not 0 <= values["smoothing"] < 1:
        raise ConfigError(f"loss.smoothing must be 0 to 1, got {values['smoothing']}")
    if values["objective"] == "skey" and train_type == "ks":
        raise ConfigError("loss.objective = 'skey' learns 24 keys: it needs -tt ks_mode")
    return LossConfig(**values)
