"""The training loop, on Lightning Fabric."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from stonekey.data.batch import TrainingBatch
from stonekey.data.batch_loader import DataError
from stonekey.model.checkpoint import NETWORK, Checkpoint, CheckpointError, save_checkpoint
from stonekey.network.stone import Stone, lowest_crop
from stonekey.training.config import Config
from stonekey.training.logs import Logs
from stonekey.training.objective import Objective, Probabilities, Terms, profile_on_circle
from stonekey.training.schedule import clip_each, cosine, parameter_groups
from stonekey.training.state import LAST, Plan, load_state, save_state, settings_of
from stonekey.training.views import fixed_crops, random_crops

# A run whose loss is not finite goes back to its last checkpoint this often before it stops.
MAX_RESTORES = 3
TERMS = ("key", "mode", "balance", "total", "flat", "divergence")  # in the order printed
# Steps in a row whose gradient is not finite before the same is done.
MAX_SKIPPED = 20


class DivergedError(RuntimeError):
    """The loss stayed non-finite although the run was restored and tried again."""


@dataclass
class Progress:
    """Where a run is; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0
    best_loss: float = math.inf
    epochs_without_gain: int = 0
    skipped: int = 0
    restores: int = 0
    scores: dict[str, float] = field(default_factory=dict)


Report = Callable[[Progress, dict[str, float]], None]


class Trainer:
    """Trains a `Stone` with batches from a resumable loader.

    Everything random in a step follows from the seed, the step's number, the rank and the
    number of restores, so a run that was killed and resumed equals one left alone.

    Args:
        fabric: launched; it sets devices, precision and processes.
        config: of the run.
        plan: lengths, seed and folder.
        batches: endless iterator of training batches on the device; `state_dict` and
            `load_state_dict`, where it has them, are saved and restored.
        validation: returns the validation batches, the same each time.
        score: called with the model's checkpoint every few epochs; returns scores to log.
        compiled: run the network through ``torch.compile``.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: Config,
        plan: Plan,
        batches: Iterator[TrainingBatch],
        validation: Callable[[], Iterator[TrainingBatch]],
        score: Callable[[Checkpoint], dict[str, float]] | None = None,
        logs: Logs | None = None,
        compiled: bool = False,
    ) -> None:
        self.fabric = fabric
        self.config = config
        self.plan = plan
        self.batches = batches
        self.validation = validation
        self.score = score
        self.logs = logs or Logs(None)
        self.progress = Progress()
        torch.manual_seed(plan.seed)
        self.stone = Stone(config.front_end, config.architecture, network=config.network)
        module = Probabilities(self.stone)
        settings = config.optimizer
        optimizer = torch.optim.AdamW(
            parameter_groups(module), lr=plan.learning_rate, betas=settings.betas
        )
        self.network, self.optimizer = fabric.setup(module, optimizer)
        # What is validated and kept: these weights, or their running mean.
        self.kept = copy.deepcopy(self.stone).eval() if settings.average else self.stone
        self._forward = torch.compile(self.network) if compiled else self.network
        self.objective = Objective(
            config.loss, plan.omega, config.front_end, config.architecture.outputs
        )
        front_end = config.front_end
        self._bins = (
            front_end.n_bins - front_end.harmonic_bins[-1],  # of the lowest harmonic
            front_end.crop_bins,
            front_end.bins_per_semitone,
        )
        self._crops = torch.Generator()
        self._consecutive_skips = 0

    # --- one step ---------------------------------------------------------------------------

    def _seed_step(self) -> None:
        """Make the draws of this step a function of seed, step, rank and restores."""
        place = (
            self.plan.seed,
            self.progress.step,
            self.fabric.global_rank,
            self.progress.restores,
        )
        seed = 0
        for part in place:
            seed = (seed * 1_000_003 + part + 1) % 2**63
        torch.manual_seed(seed)
        self._crops.manual_seed(seed)

    def _schedule(self) -> tuple[float, float]:
        """Set and return learning rate and weight decay of this step."""
        settings, plan = self.config.optimizer, self.plan
        total = (settings.n_epochs_cosine or plan.epochs) * plan.train_steps
        step = self.progress.step
        rate = cosine(plan.learning_rate, settings.final_learning_rate, step, total)
        decay = cosine(settings.weight_decay, settings.final_weight_decay, step, total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
            group["weight_decay"] = decay if group["decayed"] else 0.0
        return rate, decay

    def train_step(self, batch: TrainingBatch) -> dict[str, float]:
        """One optimiser step; returns the loss terms and what is logged beside them.

        A step whose gradient is not finite is skipped and counted. The loss itself is returned
        even when it is not finite, with no step taken.
        """
        self._seed_step()
        self.network.train()
        rate, decay = self._schedule()
        crops = random_crops(len(batch), self._crops, *self._bins)
        self.optimizer.zero_grad(set_to_none=True)
        terms: Terms = self.objective(self._forward, batch, crops)
        values = self._reduced(terms)
        if math.isfinite(values["total"]):
            self.fabric.backward(terms["total"])
            self._unscale()
            norm = float(clip_each(self.network.parameters(), self.config.optimizer.clip))
            if math.isfinite(norm):
                self._consecutive_skips = 0
                self.optimizer.step()
                self._average()
            else:
                self._consecutive_skips += 1
                self.progress.skipped += 1
                self._update_scaler()
            values["gradient_norm"] = norm
        values |= {"learning_rate": rate, "weight_decay": decay}
        return values

    def _average(self) -> None:
        if self.kept is self.stone:
            return
        # From a mean over few steps to the full one: the first weights must not linger.
        hold = min(
            self.config.optimizer.average, (self.progress.step + 1) / (self.progress.step + 10)
        )
        trained = self.stone.chromanet.state_dict()
        for name, value in self.kept.chromanet.state_dict().items():
            if value.is_floating_point():
                value.lerp_(trained[name], 1 - hold)
            else:
                value.copy_(trained[name])

    def _scaler(self) -> Any:
        return getattr(self.fabric._precision, "scaler", None)

    def _unscale(self) -> None:
        if (scaler := self._scaler()) is not None:
            scaler.unscale_(self.optimizer.optimizer)

    def _update_scaler(self) -> None:
        if (scaler := self._scaler()) is not None:
            scaler.update()

    def _reduced(self, terms: Terms) -> dict[str, float]:
        """Loss terms as numbers, averaged over the processes."""
        stacked = self._over_ranks(
            torch.stack([value.detach().float() for value in terms.values()]), "mean"
        )
        return dict(zip(terms, stacked.tolist(), strict=True))

    def _over_ranks(self, values: Tensor, how: str) -> Tensor:
        if self.fabric.world_size == 1:
            return values
        reduced = self.fabric.all_reduce(values, reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    # --- epochs -----------------------------------------------------------------------------

    def fit(self, report: Report | None = None) -> Progress:
        """Train to the last epoch, or until early stopping.

        Args:
            report: called after every step with the loss terms.

        Raises:
            DivergedError: when the loss stays non-finite.
        """
        plan = self.plan
        if self.fabric.is_global_zero and not (plan.folder / "last.pt").exists():
            self._save()  # what a first epoch that fails goes back to
        self.fabric.barrier()
        while self.progress.epoch < plan.epochs and not self._stopped_early():
            if self._train_epoch(report):
                self.progress.epoch += 1
                self._end_epoch()
        return self.progress

    def _stopped_early(self) -> bool:
        patience = self.config.optimizer.patience
        return patience is not None and self.progress.epochs_without_gain >= patience

    def _train_epoch(self, report: Report | None) -> bool:
        """Steps to the end of the epoch; False when the run had to go back instead."""
        end = (self.progress.epoch + 1) * self.plan.train_steps
        while self.progress.step < end:
            values = self.train_step(next(self.batches))
            if not math.isfinite(values["total"]) or self._consecutive_skips >= MAX_SKIPPED:
                self._restore()
                return False
            self.progress.step += 1
            self.logs.scalars("train", values, self.progress.step)
            if report is not None:
                report(self.progress, values)
        self.logs.scalars("train", {"skipped_steps": self.progress.skipped}, self.progress.step)
        return True

    def _restore(self) -> None:
        """Go back to the last checkpoint and on with other draws and the next batches."""
        restores = self.progress.restores + 1
        what = f"the loss is not finite at step {self.progress.step}"
        if restores > MAX_RESTORES:
            raise DivergedError(f"{what}, after going back {MAX_RESTORES} times; giving up")
        self.resume(loader=False)
        self.progress.restores = restores
        self._consecutive_skips = 0
        self.fabric.print(
            f"{what}: going back to the checkpoint of epoch {self.progress.epoch} "
            f"({restores} of {MAX_RESTORES} tries)"
        )

    def validate(self) -> dict[str, float]:
        """Mean loss terms over the validation batches: fixed segments and transpositions."""
        # Not the data-parallel wrapper, which talks to the other processes at each call: the
        # processes may have different numbers of batches.
        network = self.network.module.eval()
        if self.kept is not self.stone:
            network = Probabilities(self.kept)
        front_end = self.config.front_end
        sums: dict[str, float] = defaultdict(float)
        counts: dict[str, float] = defaultdict(float)
        profile: Tensor | None = None
        with torch.no_grad(), self.fabric.autocast():
            for number, batch in enumerate(self.validation()):
                if number >= self.plan.val_steps:
                    break
                items = batch.items if batch.items is not None else torch.arange(len(batch))
                crops = fixed_crops(items.cpu(), *self._bins)
                terms = self.objective(network, batch, crops, joined=False)
                for name, value in terms.items():
                    sums[name] += float(value) * len(batch)
                    counts[name] += len(batch)
                if profile is None:
                    profile = profile_on_circle(network(lowest_crop(batch.a, front_end)))
        # Every rank holds a share of the tracks: add up, then divide.
        names = self._names(sums)
        own = torch.tensor(
            [[of[name] for name in names] for of in (sums, counts)], device=self.fabric.device
        )
        total, count = self._over_ranks(own, "sum").cpu()
        if not count.any():
            raise DataError("there is no batch to validate on: the loader for it gives none")
        if profile is not None:
            self.logs.profile("profile", profile, self.progress.step)
        return {name: float(total[i] / count[i]) for i, name in enumerate(names) if count[i] > 0}

    def _names(self, own: Iterable[str]) -> list[str]:
        """The names of the terms of any process, in one order on all."""
        every = [self.fabric.broadcast(list(own), rank) for rank in range(self.fabric.world_size)]
        found = {name: None for names in every for name in names}
        return sorted(found, key=lambda name: TERMS.index(name) if name in TERMS else len(TERMS))

    def _end_epoch(self) -> None:
        progress, plan = self.progress, self.plan
        losses = self.validate()
        self.logs.scalars("validation", losses, progress.step)
        better = losses["total"] < progress.best_loss
        progress.epochs_without_gain = 0 if better else progress.epochs_without_gain + 1
        if better:
            progress.best_loss = losses["total"]
        progress.restores = 0  # the tries are for one stretch that fails, not for a whole run
        if self.fabric.is_global_zero:
            model = self.checkpoint(losses)
            chosen = plan.keep_epochs and progress.epoch % plan.keep_epochs == 0
            if chosen and self.score is not None:
                progress.scores = self.score(model)
                self.logs.scalars("score", progress.scores, progress.step)
            if better:
                save_checkpoint(model, plan.folder / "best.safetensors")
            if chosen:
                save_checkpoint(model, plan.folder / f"epoch_{progress.epoch}.safetensors")
            self._save()
        text = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        scores = "".join(f", {name} {value:.3f}" for name, value in progress.scores.items())
        mark = " (best)" if better else ""
        self.fabric.print(f"epoch {progress.epoch}/{plan.epochs}: validation {text}{mark}{scores}")
        self.fabric.barrier()

    # --- state ------------------------------------------------------------------------------

    def checkpoint(self, losses: dict[str, float] | None = None) -> Checkpoint:
        """The model as it is now, with a record of its training."""
        record = {
            "epoch": self.progress.epoch,
            "steps": self.progress.step,
            "seed": self.plan.seed,
            "processes": self.fabric.world_size,
            "learning_rate": self.plan.learning_rate,
            "validation": {
                name: value if math.isfinite(value) else None
                for name, value in (losses or {}).items()
            },
            "config": self.config.text,
        }
        if (network := self.config.network) is not None:
            record[NETWORK] = f"{network.__module__}.{network.__qualname__}"
        return self.kept.to_checkpoint(self.plan.name, omega=self.plan.omega, training=record)

    def _save(self) -> None:
        scaler = self._scaler()
        loader = getattr(self.batches, "state_dict", None)
        save_state(
            self.plan.folder,
            {
                "progress": vars(self.progress),
                "network": self.stone.chromanet.state_dict(),
                "kept": self.kept.chromanet.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else None,
                "loader": loader() if loader is not None else None,
                "settings": settings_of(self.plan, self.config, self.fabric.world_size),
            },
        )

    def resume(self, loader: bool = True) -> bool:
        """Go on from ``last.pt``; False when there is none.

        Args:
            loader: also put the batches back to where they were.

        Raises:
            CheckpointError: when it is broken, or of a run with another network.
        """
        state = load_state(self.plan.folder)
        if state is None:
            return False
        self.progress = Progress(**state["progress"])
        try:
            self.stone.chromanet.load_state_dict(state["network"])
            self.kept.chromanet.load_state_dict(state["kept"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.plan.folder / LAST}: of a run with another network; start anew with "
                f"--fresh, or under another name"
            ) from error
        if (scaler := self._scaler()) is not None and state["scaler"] is not None:
            scaler.load_state_dict(state["scaler"])
        if loader and state["loader"] is not None:
            self.batches.load_state_dict(state["loader"])  # type: ignore[attr-defined]
        return True
