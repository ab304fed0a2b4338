"""TensorBoard: losses, schedules, scores, profiles and a few recordings to listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Logs:
    """Writes a run's TensorBoard events; without a folder (ranks above 0), nothing."""

    def __init__(self, folder: Path | None, purge_step: int | None = None) -> None:
        self._writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            # What a killed run wrote after its last checkpoint is written again.
            self._writer = SummaryWriter(str(folder), purge_step=purge_step)

    def scalars(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Write ``prefix/name`` for each value."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{prefix}/{name}", value, step)

    def text(self, name: str, text: str) -> None:
        """Write a text, as code."""
        if self._writer is not None:
            self._writer.add_text(name, "    " + text.replace("\n", "\n    "), 0)

    def audio(self, tracks: Sequence[Path], sample_rate: int, seconds: float = 15.0) -> None:
        """Write the first seconds of a few recordings; skip unreadable ones."""
        if self._writer is None:
            return
        from stonekey.audio import AudioError, load_audio

        for number, path in enumerate(tracks):
            try:
                samples = load_audio(path, sample_rate).samples[: round(seconds * sample_rate)]
            except AudioError:
                continue
            sound = torch.from_numpy(samples)[None] / max(1e-9, float(abs(samples).max()))
            self._writer.add_audio(f"audio/{number}", sound, 0, sample_rate=sample_rate)

    def profile(self, name: str, profile: Tensor, step: int) -> None:
        """Draw a key signature profile (12,) on the circle of fifths."""
        if self._writer is not None:
            self._writer.add_figure(name, circle_figure(profile), step, close=True)

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()


def circle_figure(profile: Tensor) -> Figure:
    """A key signature profile (12,), in the order of fifths, as a polar bar chart."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot(projection="polar")
    angles = np.arange(12) * 2 * np.pi / 12
    axes.bar(angles, profile.cpu().numpy(), width=0.45)
    axes.set_theta_zero_location("N")  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.set_xticks(angles, [str(7 * i % 12) for i in range(12)])
    axes.set_yticklabels([])
    axes.set_title("mean profile, outputs in the order of fifths", fontsize=9)
    return figure
