"""The options of a training run."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Literal

from stonekey.options import option

TrainType = Literal["ks", "ks_mode"]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says which setting and why."""


DATA_HELP = """\
There is nothing to train on. Give a folder of music, or a manifest:

  --data ~/Music
  --data tracks.csv        with the columns path and, where known, key and split:

    path,key,split
    song.mp3,C# minor,train
    other.flac,,train
    held/out.ogg,Eb major,valid
"""


@dataclass(frozen=True)
class Options:
    """The options of ``stonekey train``.

    Raises:
        ConfigError: for an option out of range.
    """

    exp_name: str = option(MISSING, "Name of the run and of its folders.", "--exp-name", "-n")
    train_type: TrainType = option(
        "ks", "ks (12 signatures) or ks_mode (24 keys).", "--train-type", "-tt", type=str
    )
    circle_type: int = option(7, "1 (semitones) or 7 (fifths).", "--circle-type", "-c")
    save_dir: Path = option(
        Path("runs"), "Folder for models, events and the cache.", "--save-dir", "-s"
    )
    n_epochs: int = option(100, "Epochs.", "--n-epochs", "-e")
    train_steps: int = option(512, "Training steps in an epoch.", "--train-steps", "-ts")
    val_steps: int = option(
        256, "Validation batches after an epoch, at most.", "--val-steps", "-vs"
    )
    learning_rate: float = option(1e-3, "Learning rate at the start.", "--learning-rate", "-lr")
    gin_file: str | None = option(None, "Configuration, such as config/ks.gin.", "--gin-file", "-g")
    bindings: tuple[str, ...] = option(
        (),
        'Gin setting, such as "data.batch_size = 32"; may be repeated.',
        "--binding",
        "-b",
        type=list[str],
    )
    data: Path | None = option(None, "Folder of music, or manifest (path, key, split).")
    labels: Path | None = option(None, "Manifest of labelled recordings, to add to the data.")
    valid: Path | None = option(
        None, "Folder or manifest to validate on; labelled recordings are scored too."
    )
    cache: Path | None = option(None, "Folder for transformed tracks; default: SAVE_DIR/cache.")
    device: str = option("auto", "auto, cpu, cuda or cuda:1.")
    devices: int = option(1, "Devices (processes) on each machine.")
    nodes: int = option(1, "Machines; start each with torchrun.")
    precision: str | None = option(
        None, "32-true, bf16-mixed or 16-mixed; default: bf16-mixed on a GPU."
    )
    compile: bool = option(False, "Run the network through torch.compile.")
    init: str | None = option(None, "Checkpoint of a model whose weights to start from.")
    seed: int = option(0, "Seed of all random choices.")
    resume: bool = option(
        True, "Resume from the run's last checkpoint, or start again.", "--resume/--fresh"
    )
    resume_with: str | None = option(
        None,
        "Where settings differ from those of the run to resume: new takes the ones given now, "
        "saved the run's; by default it stops and lists them.",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "bindings", tuple(self.bindings))
        if self.resume_with not in (None, "new", "saved"):
            raise ConfigError(f"--resume-with must be new or saved, got {self.resume_with!r}")
        if self.train_type not in ("ks", "ks_mode"):
            raise ConfigError(f"train type must be ks or ks_mode, got {self.train_type!r}")
        if self.circle_type not in (1, 7):
            raise ConfigError(f"circle type must be 1 or 7, got {self.circle_type}")
        for name in ("n_epochs", "train_steps", "val_steps", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning rate must be positive, got {self.learning_rate}")

    @property
    def place(self) -> Path:
        """``<train type>/<circle>/<name>``, below the folders of models and of events."""
        return Path(self.train_type) / str(self.circle_type) / self.exp_name

    @property
    def models(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.save_dir / "models" / self.place
