"""What the command line says of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stonekey.training.config import ConfigError, TrainType

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
    """What the command line says; see ``stonekey train --help``."""

    exp_name: str
    train_type: TrainType = "ks"
    circle_type: int = 7
    save_dir: Path = Path("runs")
    n_epochs: int = 100
    train_steps: int = 512
    val_steps: int = 256
    learning_rate: float = 1e-3
    gin_file: str | None = None
    bindings: tuple[str, ...] = ()
    data: Path | None = None
    labels: Path | None = None
    valid: Path | None = None
    cache: Path | None = None
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str | None = None
    compile: bool = False
    seed: int = 0
    resume: bool = True
    init: str | None = None

    def __post_init__(self) -> None:
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
