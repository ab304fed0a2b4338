"""Make the figures of the documentation: ``python docs/make.py [NAME ...]``.

Everything is synthesised and computed here, from the models in the package, so the figures say
what the program says. ``tests/docs/test_site_figures.py`` makes them again and compares.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stonekey import KeyEstimator
from stonekey.keys import Key
from stonekey.model.checkpoint import load_checkpoint
from stonekey.model.registry import find_model
from stonekey.synthesis import piece, write_wav

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent / "figures"
ROOT = Path(__file__).resolve().parents[1]
# Pieces of the pictures: file name -> keys and seconds.
SONGS: dict[str, tuple[tuple[str, float], ...]] = {
    "music/Harbour.wav": (("A minor", 45),),
    "music/Lantern.wav": (("E minor", 50),),
    "music/Quarry.wav": (("Bb major", 40),),
    "music/Thaw.wav": (("C major", 40),),
    "evening.wav": (("A minor", 40), ("C# minor", 30), ("F major", 35)),
}
SESSION = (
    "stonekey music/",
    "stonekey timeline evening.wav",
    "stonekey tag music/ --for traktor",
)
COLUMNS = 88
NAMES = ("C", "D♭", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"  # Okabe and Ito


def write_songs(folder: Path) -> None:
    """Synthesise the pieces of the pictures into ``folder``."""
    for seed, (name, parts) in enumerate(SONGS.items()):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        sound = [piece(Key.parse(k), s, seed=3 * seed + i) for i, (k, s) in enumerate(parts)]
        write_wav(path, np.concatenate(sound))


@contextmanager
def desk() -> Iterator[Path]:
    """A temporary folder with the pieces."""
    with tempfile.TemporaryDirectory() as folder:
        write_songs(Path(folder))
        yield Path(folder)


def on_terminal(command: str, folder: Path) -> str:
    """What a command prints to a terminal of ``COLUMNS`` columns, with its colours."""
    import fcntl
    import struct
    import termios

    screen, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    left_out = ("COLUMNS", "TERMINAL_WIDTH", "NO_COLOR")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    path = os.pathsep.join([str(ROOT / "src"), environment.get("PYTHONPATH", "")])
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE,
        env={**environment, "TERM": "xterm-256color", "PYTHONPATH": path},
    ) as process:  # fmt: skip
        os.close(terminal)
        while True:
            try:
                part = os.read(screen, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not part:
                break
            shown += part
        assert process.stderr is not None
        said = process.stderr.read().decode()
    os.close(screen)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}: {said}")
    return shown.decode().replace("\r\n", "\n").strip("\n")


def terminal() -> str:
    """A session in a terminal, as SVG without fonts from elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with desk() as folder:
        for number, command in enumerate(SESSION):
            if number:
                console.print()
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            for row in on_terminal(command, folder).splitlines():
                console.print(Text.from_ansi(row.rstrip(), no_wrap=True))
    svg = console.export_svg(title="stonekey", unique_id="stonekey")
    svg = re.sub(r"\s*@font-face \{.*?\n    \}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "Fira Code, Menlo, Consolas, monospace")


def plot() -> bytes:
    """The picture that ``stonekey plot evening.wav`` draws, as PNG."""
    from stonekey.output.plots import plot_recording

    with desk() as folder:
        figure = plot_recording(folder / "evening.wav")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()


def _svg(figure: Figure) -> str:
    """A figure as SVG that is the same each time, with its text as text."""
    import matplotlib

    style = {"svg.fonttype": "none", "svg.hashsalt": "stonekey"}
    with matplotlib.rc_context(style):
        text = io.StringIO()
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    return re.sub(r"<!DOCTYPE.*?>\n", "", text.getvalue(), count=1, flags=re.DOTALL)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), facecolor="white")


def _profile(estimator: KeyEstimator, samples: np.ndarray) -> np.ndarray:
    """The network's mean outputs (12,), by pitch class of the major tonic."""
    mean = np.mean([s.probabilities for s in estimator(samples, 22050).segments], axis=0)
    order = np.argsort([label.signature.tonic for label in estimator.class_table])
    return np.asarray(mean[order])


def _drawn(point: complex) -> tuple[float, float]:
    """Where a complex number is drawn: 1 at the top, and turning clockwise, as musicians do."""
    return point.imag, point.real


def fifths() -> str:
    """Two views on the circle of fifths, and the distance that training makes small."""
    down = 3
    tonics = (9, 9 - down)
    estimator = KeyEstimator("stone12", tune="off")
    profiles = [_profile(estimator, piece(Key(t, "major"), 24, seed=4)) for t in tonics]
    circle = np.exp(2j * np.pi * 7 * np.arange(12) / 12)
    z = [complex((profile * circle).sum()) for profile in profiles]
    figure = _figure(10, 4.6)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set_aspect("equal")
        axes.axis("off")
        axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
        turn = np.linspace(0, 2 * np.pi, 200)
        axes.plot(np.cos(turn), np.sin(turn), color="#bbbbbb", lw=1)
    for pitch, name in enumerate(NAMES):
        left.text(*_drawn(1.3 * circle[pitch]), name, ha="center", va="center", size=11)
    for profile, point, colour, name, radius in zip(
        profiles, z, (BLUE, ORANGE), ("A", "C"), (0.97, 1.1), strict=True
    ):
        places = np.array([_drawn(radius * at) for at in circle])
        left.scatter(*places.T, s=400 * profile + 3, color=colour, zorder=3)
        _arrow(left, point, colour)
        x, y = _drawn(0.5 * point)
        left.text(x + 0.06, y - 0.16, f"z({name})", color=colour, size=12)
    left.set_title(f"Profiles of A, and of C, {down} semitones lower", size=12)
    product, target = z[0] * z[1].conjugate(), complex(circle[down])
    x, y = _drawn(target)
    _arrow(right, product, "black")
    right.scatter([x], [y], s=70, facecolor="white", edgecolor=BLUE, zorder=3)
    right.plot(*zip(_drawn(product), (x, y), strict=True), color=ORANGE, lw=3)
    right.text(0.3 * x, 0.12, "z(A) · conj z(C)", size=12, ha="center")
    right.text(x - 0.05, y + 0.35, f"{down} semitones", color=BLUE, size=12, ha="center")
    right.text(x + 0.3, y - 0.35, "the loss shortens this", size=12, color=ORANGE, ha="center")
    right.set_title("Their cross-power, and where it should be", size=12)
    return _svg(figure)


def _arrow(axes: Axes, point: complex, colour: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", _drawn(point), (0, 0), arrowprops=style)


def views() -> str:
    """A segment's log-VQT, and two crops of it: the second sounds lower."""
    from matplotlib.patches import Rectangle

    from stonekey.network.stone import Stone

    checkpoint = load_checkpoint(find_model("stone12").with_suffix(".safetensors"))
    front_end = checkpoint.info.front_end
    samples = piece(Key.parse("D major"), front_end.segment_seconds, seed=1)
    picture = _log_vqt(Stone.from_checkpoint(checkpoint), samples)
    figure = _figure(10, 4.2)
    whole, a, c = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.5, 1, 1]})
    crops = ((2, BLUE, "A"), (9, ORANGE, "C"))
    height = front_end.crop_bins
    whole.imshow(picture, origin="lower", aspect="auto", cmap="Greys", vmin=0.2, vmax=1)
    for first, colour, name in crops:
        inset = 3 if name == "A" else 10
        width = picture.shape[1] - 2 * inset
        whole.add_patch(
            Rectangle((inset, first - 0.5), width, height, fill=False, color=colour, lw=2.5)
        )
    whole.set_title(f"log-VQT of a segment, {front_end.n_bins} bins", size=11)
    whole.set_ylabel("bin, a semitone each, from A0")
    whole.set_xlabel("frame")
    for axes, (first, colour, name) in zip((a, c), crops, strict=True):
        axes.imshow(picture[first : first + height], origin="lower", aspect="auto", cmap="Greys",
                    vmin=0.2, vmax=1)  # fmt: skip
        low = "" if name == "A" else f", {crops[1][0] - crops[0][0]} semitones lower"
        axes.set_title(f"view {name}: bins {first} to {first + height - 1}{low}", size=11)
        for spine in axes.spines.values():
            spine.set(color=colour, linewidth=2.5)
        axes.set_xticks([])
        axes.set_yticks([0, 83])
    figure.tight_layout()
    return _svg(figure)


def _log_vqt(stone: Any, samples: np.ndarray) -> np.ndarray:
    """(bins, frames) of a waveform at the model's rate."""
    import torch

    with torch.no_grad():
        return np.asarray(stone.log_vqt(torch.from_numpy(samples)[None])[0, 0])


def architecture() -> str:
    """The stages of the default model, with their sizes."""
    info = load_checkpoint(find_model("stone24").with_suffix(".safetensors")).info
    front_end, network = info.front_end, info.architecture
    assert network is not None
    samples = round(front_end.segment_seconds * front_end.sample_rate)
    frames = (samples // front_end.hop + 1) // front_end.average
    octaves = front_end.crop_bins // front_end.bins_per_octave
    rate = f"{front_end.sample_rate:,}".replace(",", " ")
    boxes = [
        ("waveform", f"{samples}", f"{front_end.segment_seconds:g} s at {rate} Hz", GREY),
        ("log-VQT", f"{front_end.n_bins} × {frames}", "bins × frames", BLUE),
        ("crop", f"{front_end.crop_bins} × {frames}", f"{octaves} octaves", BLUE),
    ]
    for number, (channels, kernel) in enumerate(
        zip(network.channels, network.kernels, strict=True), 1
    ):
        frames //= 2
        size = f"{channels} × {front_end.crop_bins} × {frames}"
        boxes.append((f"stage {number}", size, f"kernel {kernel} × {kernel}", ORANGE))
    boxes += [
        ("octave pool", f"{network.channels[-1]} × 12 × {frames}", f"mean of {octaves}", GREY),
        ("time pool", f"{network.channels[-1]} × 12", "mean", GREY),
        ("classifier", f"{network.rows} × 12", "1 × 1 convolution", GREY),
        ("softmax", f"{network.outputs}", "keys", GREY),
    ]
    columns = 6
    figure = _figure(9.6, 3.4)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(-0.55, columns - 0.45), ylim=(-1.6, 0.6))
    for number, (name, size, note, colour) in enumerate(boxes):
        row, column = divmod(number, columns)
        _box(axes, column, -1.08 * row, (name, size, note), colour)
        if column < columns - 1 and number < len(boxes) - 1:
            _link(axes, (column + 0.42, -1.08 * row), (column + 0.58, -1.08 * row))
        elif number < len(boxes) - 1:
            _link(axes, (column, -0.38), (0, -0.7), bend=True)
    return _svg(figure)


def _box(axes: Axes, x: float, y: float, words: tuple[str, str, str], colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch((x - 0.38, y - 0.33), 0.76, 0.66, boxstyle="round,pad=0.03",
                       facecolor="white", edgecolor=colour, linewidth=2)
    )  # fmt: skip
    axes.text(x, y + 0.19, words[0], ha="center", va="center", size=12, weight="bold", color=colour)
    axes.text(x, y - 0.02, words[1], ha="center", va="center", size=11)
    axes.text(x, y - 0.22, words[2], ha="center", va="center", size=9, color=GREY)


def _link(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: bool = False
) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "color": GREY, "lw": 1.5, "shrinkA": 0}
    if bend:
        middle = (start[1] + end[1]) / 2
        axes.plot([start[0], start[0], end[0]], [start[1], middle, middle], color=GREY, lw=1.5)
        start = (end[0], middle)
    axes.annotate("", end, start, arrowprops={**style, "shrinkB": 0})


FIGURES: dict[str, Callable[[], str | bytes]] = {
    "terminal.svg": terminal,
    "plot.png": plot,
    "fifths.svg": fifths,
    "views.svg": views,
    "architecture.svg": architecture,
}


def main() -> None:
    """Write the figures named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FIGURES)}; default: all")
    for name in parser.parse_args().names or FIGURES:
        made = FIGURES[name]()
        (FOLDER / name).write_bytes(made if isinstance(made, bytes) else made.encode())
        print(f"written: {FOLDER / name}")


if __name__ == "__main__":
    main()
