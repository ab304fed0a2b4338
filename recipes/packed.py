"""Training music as one small file: for a GPU, or a machine that does not have the music.

A byte for each bin of each averaged frame of the log-VQT, in dB, stored as its change from the
frame before and compressed: 1.6 MB an hour. All of it lies in the device's memory, where batches
are cut and augmented. They are as `stonekey.data.loaders.CachedLoader` makes them, except that
frames are averaged before the floor is applied, not after. `loader` and `validation` are for
gin's ``data.train_loader`` and ``data.test_loader``.
"""

from __future__ import annotations

import io
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gin
import numpy as np
import torch
from torch import Tensor

from stonekey.data.augment import EQUALISER_DB, EQUALISER_TERMS, REPEAT_CHANCE, REPEAT_SHARE
from stonekey.data.cache import CachedTrack, read_track
from stonekey.files import write_atomically
from stonekey.keys import Key
from stonekey.model.checkpoint import load_checkpoint
from stonekey.model.settings import FrontEnd
from stonekey.network.stone import Stone

# The unit of a log-VQT is 80 dB. What lies 100 dB below a track's maximum is as good as silence.
DB = 1 / 80
SPAN = 1.25
STRATA = ("major", "minor", "none")
# A masked run of frames is at most this share of a segment.
MASKED = 1 / 3
# How far below the music a sound without a key is mixed in, at most.
DISTURBED_DB = 25.0

_Made = TypeVar("_Made", bound=Callable[..., Any])


def _configurable(function: _Made) -> _Made:
    with gin.unlock_config():  # where an earlier run in this process has read its settings
        made: _Made = gin.configurable(function)
    return made


def pack(
    tracks: Sequence[CachedTrack],
    valid: Sequence[bool],
    front_end: FrontEnd,
    path: Path,
    **targets: Sequence[Sequence[float]],
) -> None:
    """Write tracks to a file for `Packed`.

    Args:
        tracks: labelled, from `stonekey.data.cache.build_cache`.
        valid: which of them are held out to validate with.
        front_end: the settings that the cache was built with.
        path: of the file.
        targets: other labels than the tracks' own, by name: 24 probabilities for each track.
    """
    average, bins = front_end.average, front_end.n_bins
    parts = []
    for track in tracks:
        x = read_track(track, bins).astype(np.float32)
        x = np.maximum(x - x.max(), -SPAN)
        x = x[: len(x) // average * average].reshape(-1, average, bins).mean(axis=1)
        parts.append(np.round((x + SPAN) / DB).astype(np.uint8))
    frames = np.concatenate(parts)
    changes = np.diff(frames, axis=0, prepend=np.zeros_like(frames[:1]))  # modulo 256
    about = io.BytesIO()
    np.savez(
        about,
        length=np.array([len(part) for part in parts], np.int64),
        group=np.array([track.group for track in tracks]),
        stratum=np.array([_stratum(track) for track in tracks], np.int8),
        valid=np.array(valid, bool),
        target=np.array([track.target for track in tracks], np.float32),
        **{name: np.array(values, np.float32) for name, values in targets.items()},
    )

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez(
                stream,
                bins=bins,
                frames=np.frombuffer(lzma.compress(changes.tobytes(), preset=4), np.uint8),
                about=np.frombuffer(about.getvalue(), np.uint8),
            )

    write_atomically(path, write)


def _stratum(track: CachedTrack) -> int:
    assert track.target is not None
    mode = "none" if track.keyless else Key.from_index(int(np.argmax(track.target))).mode
    return STRATA.index(mode)


def unpack(path: Path | str) -> dict[str, np.ndarray]:
    """What `pack` wrote: ``frames`` uint8 (frames, bins), dB above the lowest, and the rest."""
    with np.load(path) as stored:
        data = lzma.decompress(stored["frames"].tobytes())
        changes = np.frombuffer(data, np.uint8).reshape(-1, int(stored["bins"]))
        with np.load(io.BytesIO(stored["about"].tobytes())) as about:
            return {"frames": np.cumsum(changes, axis=0, dtype=np.uint8), **about}


class Packed:
    """Tracks of packed files on a device.

    Args:
        paths: of the files.
        device: where the frames are kept.
        segment: frames of a segment; shorter tracks are left out.
        valid: take those held out, or the others.
        targets: which labels to take: "target", or the name of other ones.
    """

    def __init__(
        self, paths: Sequence[str], device: str, segment: int, valid: bool, targets: str = "target"
    ) -> None:
        files = [unpack(path) for path in paths]
        for file in files:
            file["target"] = file.get(targets, file["target"])
        names = ("frames", "length", "group", "stratum", "valid", "target")
        data = {name: np.concatenate([file[name] for file in files]) for name in names}
        first = np.cumsum(data["length"]) - data["length"]
        used = (data["valid"] == valid) & (data["length"] >= segment)
        self.device, self.segment = device, segment
        self.frames = torch.from_numpy(data["frames"]).to(device)
        self.first = torch.from_numpy(first[used]).to(device)
        self.starts = torch.from_numpy(data["length"][used] - segment + 1).to(device)
        self.target = torch.from_numpy(data["target"][used]).to(device)
        self.group, self.stratum = data["group"][used], data["stratum"][used]

    def __len__(self) -> int:
        return len(self.first)

    def cut(self, tracks: Tensor, place: Tensor) -> Tensor:
        """A segment of each track: log-VQT (n, frames, bins), at most 0.

        Args:
            tracks: (n,) numbers of tracks.
            place: (n,) from 0, the start, to 1.
        """
        start = self.first[tracks] + (place * (self.starts[tracks] - 1)).round().long()
        rows = start[:, None] + torch.arange(self.segment, device=self.device)
        return self.frames[rows].float() * DB - SPAN


def network_input(x: Tensor) -> Tensor:
    """Segments (n, frames, bins) as the network takes them: (n, 1, bins, frames), from 0 to 1."""
    floor = x.amax(dim=(1, 2), keepdim=True) - 1
    return (torch.maximum(x, floor) - floor).transpose(1, 2)[:, None].contiguous()


class Loader:
    """Endless labelled batches; batch number ``step`` follows from the seed and that number.

    Args:
        data: tracks to train on.
        batch_size: segments in a batch.
        shares: how often each group of tracks comes; of a group, major and minor equally often.
        seed: of all draws.
        mask: share of segments in which a run of frames is silenced.
        noise: share of segments into which a sound without a key is mixed.
        teachers: models whose mean answer to a segment, before masking, is its label ...
        trust: ... by this share; the rest is the track's own.
    """

    def __init__(
        self,
        data: Packed,
        batch_size: int,
        shares: Mapping[str, float],
        seed: int,
        mask: float = 0.0,
        noise: float = 0.0,
        teachers: Sequence[Stone] = (),
        trust: float = 1.0,
    ) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.mask, self.noise = mask, noise
        self.teachers, self.trust = teachers, trust
        self._step = 0
        chance = np.zeros(len(data))
        for group, share in shares.items():
            of_group = [
                np.flatnonzero((data.group == group) & (data.stratum == stratum))
                for stratum in range(len(STRATA))
            ]
            strata = [members for members in of_group if len(members)]
            for members in strata:
                chance[members] = share / len(strata) / len(members)
        self._chance = torch.from_numpy(chance).to(data.device)
        keyless = (data.stratum == STRATA.index("none")).astype(float)
        self._keyless = torch.from_numpy(keyless).to(data.device)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self

    def __next__(self) -> dict[str, Tensor]:
        generator = torch.Generator(self.data.device).manual_seed(
            1_000_003 * self.seed + self._step
        )
        self._step += 1
        tracks, x = self._segments(self._chance, generator)
        x = _repeated(x, generator) + _curve(x, generator)
        if self.noise:
            x = self._disturbed(x, generator)
        segments, label = network_input(x), self.data.target[tracks]
        if self.teachers:
            taught = torch.stack([answers(stone, segments) for stone in self.teachers]).mean(0)
            label = torch.lerp(label, taught, self.trust)
        if self.mask:
            segments = _masked(segments, self.mask, generator)
        return {"a": segments, "label": label}

    def _segments(self, chance: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        tracks = chance.multinomial(self.batch_size, replacement=True, generator=generator)
        (place,) = _uniform(1, tracks, generator)
        return tracks, self.data.cut(tracks, place)

    def _disturbed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Powers add; phases are ignored. A log-VQT's power is 10 ** (16 x)."""
        music, other = 10 ** (16 * x), 10 ** (16 * self._segments(self._keyless, generator)[1])
        level, chosen = _uniform(2, x, generator)
        gain = 10 ** (-DISTURBED_DB / 10 * level) * (chosen < self.noise)
        gain = gain * music.mean(dim=(1, 2)) / other.mean(dim=(1, 2))
        return torch.log10(music + gain[:, None, None] * other) / 16

    def state_dict(self) -> dict[str, Any]:
        """The number of the next batch."""
        return {"step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._step = state["step"]


def _uniform(rows: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """(rows, n) draws from 0 to 1 for the n items of x."""
    return torch.rand(rows, len(x), device=x.device, generator=generator)


def _repeated(x: Tensor, generator: torch.Generator) -> Tensor:
    """As `stonekey.data.augment.repeat`."""
    frames = x.shape[1]
    chosen, share = _uniform(2, x, generator)
    low, high = REPEAT_SHARE
    period = ((low + (high - low) * share) * frames).round().long()
    period = torch.where(chosen < REPEAT_CHANCE, period, frames)
    rows = torch.arange(frames, device=x.device) % period[:, None]
    return x.gather(1, rows[:, :, None].expand_as(x))


def _curve(x: Tensor, generator: torch.Generator) -> Tensor:
    """(n, 1, bins) to add to a log-VQT; as `stonekey.data.augment.equaliser`."""
    weights = 2 * _uniform(EQUALISER_TERMS, x, generator).T - 1
    terms = torch.arange(1, EQUALISER_TERMS + 1, device=x.device)[:, None]
    waves = torch.cos(torch.pi * terms * torch.linspace(0, 1, x.shape[2], device=x.device))
    return (weights * (EQUALISER_DB / EQUALISER_TERMS) @ waves / 160)[:, None]


def _masked(x: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Network inputs (n, 1, bins, frames), a run of frames of some set to silence."""
    frames = x.shape[3]
    chosen, length, place = _uniform(3, x, generator)
    length = length * frames * MASKED * (chosen < chance)
    first = (place * (frames - length))[:, None]
    at = torch.arange(frames, device=x.device)
    silent = (at >= first) & (at < first + length[:, None])
    return x * ~silent[:, None, None]


@torch.no_grad()
def answers(stone: Stone, x: Tensor) -> Tensor:
    """Probabilities (n, 24) by `Key.index` for network inputs before the crop."""
    assert stone.class_table is not None
    order = [stone.class_table.index(Key.from_index(i)) for i in range(24)]
    network = stone.chromanet
    return network.probabilities(network(x[:, :, : stone.front_end.crop_bins]))[:, order]


@_configurable
def loader(
    paths: Sequence[str],
    batch_size: int,
    shares: Mapping[str, float],
    segment: int,
    device: str,
    seed: int = 0,
    mask: float = 0.0,
    noise: float = 0.0,
    teachers: Sequence[str] = (),
    trust: float = 1.0,
    targets: str = "target",
) -> Loader:
    """See `Packed` and `Loader`; ``teachers`` are checkpoints."""
    data = Packed(paths, device, segment, valid=False, targets=targets)
    stones = [Stone.from_checkpoint(load_checkpoint(Path(path))).to(device) for path in teachers]
    return Loader(data, batch_size, shares, seed, mask, noise, stones, trust)


@_configurable
def validation(
    paths: Sequence[str], batch_size: int, segment: int, device: str
) -> Iterator[dict[str, Tensor]]:
    """Every track held out once, at a place that follows from its number."""
    data = Packed(paths, device, segment, valid=True)
    for items in torch.arange(len(data), device=device).split(batch_size):
        x = data.cut(items, items * 0.618 % 1)
        yield {"a": network_input(x), "label": data.target[items], "items": items}
