"""An answer as a picture for notebooks: the circle of fifths as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape

from stonekey.keys import NO_KEY, ClassLabel, Key, KeySignature

SIZE = 220
# Radii of the rings: of major keys, within it of minor keys; signatures have one.
MAJOR, MINOR, SIGNATURE = (76.0, 106.0), (46.0, 74.0), (56.0, 106.0)
# What is certain is drawn full, what is impossible so faint.
FAINT = 0.08


def circle_html(
    probabilities: Mapping[ClassLabel, float], answer: ClassLabel | None, lines: Iterable[str]
) -> str:
    """HTML of an answer: the circle of fifths beside text, legible on any ground.

    Args:
        probabilities: of each key or key signature.
        answer: the one that is outlined; None for "no key".
        lines: text to stand below the answer.
    """
    text = "".join(f'<div style="opacity:.8">{escape(line)}</div>' for line in lines)
    return (
        '<div style="display:flex;align-items:center;gap:1.5em;flex-wrap:wrap;'
        'font-family:system-ui,sans-serif;line-height:1.5">'
        f'{circle_svg(probabilities, answer)}<div style="max-width:24em">'
        f'<div style="font-size:1.6em;font-weight:600">{escape(_name(answer))}</div>'
        f"{text}</div></div>"
    )


def circle_svg(probabilities: Mapping[ClassLabel, float], answer: ClassLabel | None) -> str:
    """Probabilities as sectors, C at the top, fifths clockwise, minor keys within."""
    best = sorted(probabilities.items(), key=lambda item: -item[1])[:3]
    said = ", ".join(f"{label} {p:.0%}" for label, p in best) or "nothing heard"
    # The outlined one last, so that no other covers its outline.
    order = sorted(probabilities, key=lambda label: label == answer)
    sectors = "".join(_sector(label, probabilities[label], label == answer) for label in order)
    half = SIZE / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{SIZE}" height="{SIZE}" '
        f'viewBox="{-half:g} {-half:g} {SIZE} {SIZE}" font-family="system-ui,sans-serif" '
        'font-size="11" text-anchor="middle" fill="currentColor">'
        f"<title>{escape(_name(answer))}</title><desc>{escape(said)}</desc>{sectors}</svg>"
    )


def _name(answer: ClassLabel | None) -> str:
    return NO_KEY if answer is None else str(answer)


def _sector(label: ClassLabel, probability: float, chosen: bool) -> str:
    """A sector, its name, and a tooltip with its probability."""
    if isinstance(label, KeySignature):
        inner, outer = SIGNATURE
    else:
        inner, outer = MAJOR if label.mode == "major" else MINOR
    place = label.signature.tonic * 7 % 12
    start, end = ((place + side) * math.pi / 6 for side in (-0.5, 0.5))
    corners = [
        f"{radius * math.sin(angle):.1f} {-radius * math.cos(angle):.1f}"
        for radius, angle in ((outer, start), (outer, end), (inner, end), (inner, start))
    ]
    path = (
        f"M{corners[0]}A{outer:g} {outer:g} 0 0 1 {corners[1]}"
        f"L{corners[2]}A{inner:g} {inner:g} 0 0 0 {corners[3]}Z"
    )
    outline = ' stroke="currentColor" stroke-width="2"' if chosen else ""
    # Square roots: what is unlikely, but not impossible, is to be seen.
    filled = FAINT + (1 - FAINT) * math.sqrt(probability)
    middle, angle = (inner + outer) / 2, place * math.pi / 6
    x, y = middle * math.sin(angle), -middle * math.cos(angle)
    name = label.format("short") if isinstance(label, Key) else str(label).split(" ")[0]
    return (
        f'<g><title>{escape(str(label))}: {probability:.1%}</title><path d="{path}"{outline} '
        f'fill="hsl({place * 30} 70% 50%)" fill-opacity="{filled:.3f}"/>'
        f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em">{escape(name)}</text></g>'
    )
