"""The probabilities of keys on the circle of fifths, as SVG to put into a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from stonekey.keys import NO_KEY, ClassLabel, Key, KeySignature

_SIZE = 320
_CENTRE = _SIZE / 2
# Inner and outer radius of the ring of major keys, of minor keys, and of key signatures.
_MAJOR, _MINOR, _BOTH = (106, 154), (62, 104), (74, 154)
# Readable on white and on black; what is coloured by probability stands for itself.
_HUE, _GREY = "#d97706", "#808080"
_STYLE = "font-family:system-ui,sans-serif;color:inherit"


def circle_of_fifths(
    probabilities: Mapping[ClassLabel, float], label: ClassLabel | None, confidence: float
) -> str:
    """An SVG element: a sector for each key, the stronger the more probable.

    C major is at the top, sharps follow clockwise; minor keys are inside, each beside its relative
    major. It has a title and a description for screen readers, no script, and takes the colour
    of text from the page.

    Args:
        probabilities: of each key or key signature; empty for silence.
        label: the answer, None for "no key".
        confidence: its probability.
    """
    title = NO_KEY if label is None else f"{label}, confidence {confidence:.0%}"
    likely = sorted(probabilities.items(), key=lambda item: -item[1])[:3]
    listed = ", ".join(f"{k} {p:.0%}" for k, p in likely)
    described = f"Circle of fifths. Most probable: {listed}." if listed else "Circle of fifths."
    signatures = any(isinstance(k, KeySignature) for k in probabilities)
    parts = []
    for tonic in range(12):
        signature = KeySignature(tonic)
        for key, ring in (
            [(signature, _BOTH)]
            if signatures
            else [(signature.major, _MAJOR), (signature.minor, _MINOR)]
        ):
            parts.append(_sector(key, ring, probabilities.get(key, 0.0), key == label))
    # The answer's outline lies on top of its neighbours.
    parts.sort(key=lambda part: part[0])
    middle = _middle(label, confidence)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}" width="{_SIZE}" '
        f'height="{_SIZE}" role="img" style="{_STYLE}"><title>{escape(title)}</title>'
        f"<desc>{escape(described)}</desc>{''.join(part for _, part in parts)}{middle}</svg>"
    )


def _sector(
    key: ClassLabel, ring: tuple[int, int], probability: float, answer: bool
) -> tuple[bool, str]:
    """Whether it is the answer, and the elements of one sector."""
    middle = math.radians(30 * key.signature.fifths)
    a, b = middle - math.radians(15), middle + math.radians(15)
    inner, outer = ring
    path = (
        f"M{_at(outer, a)}A{outer} {outer} 0 0 1 {_at(outer, b)}"
        f"L{_at(inner, b)}A{inner} {inner} 0 0 0 {_at(inner, a)}Z"
    )
    outline = f'stroke="{_HUE}" stroke-width="3"' if answer else f'stroke="{_GREY}"'
    # The square root: small probabilities are to be seen, too.
    fill = f'fill="{_HUE}" fill-opacity="{math.sqrt(probability):.2f}"'
    lines = [key.format("short")]
    if isinstance(key, KeySignature):
        lines = key.format("short").split(" / ")
    size = 15 if ring is not _MINOR else 13
    x, y = _at((inner + outer) / 2, middle).split()
    text = "".join(
        f'<tspan x="{x}" y="{float(y) + (i - (len(lines) - 1) / 2) * 16:.1f}">{escape(line)}</tspan>'
        for i, line in enumerate(lines)
    )
    return answer, (
        f'<path d="{path}" {fill} {outline}><title>{escape(f"{key} {probability:.1%}")}</title>'
        f'</path><text font-size="{size}" font-weight="{"bold" if answer else "normal"}" '
        f'text-anchor="middle" dominant-baseline="central" fill="currentColor" '
        f'pointer-events="none">{text}</text>'
    )


def _middle(label: ClassLabel | None, confidence: float) -> str:
    """The answer in the middle."""
    lines = [NO_KEY]
    if label is not None:
        lines = [*(str(label).split(" / ")), f"{confidence:.0%}"]
    return "".join(
        f'<text x="{_CENTRE:g}" y="{_CENTRE + (i - (len(lines) - 1) / 2) * 21:.1f}" '
        f'font-size="{17 if isinstance(label, Key) or label is None else 15}" '
        f'font-weight="{"normal" if i and i == len(lines) - 1 else "bold"}" text-anchor="middle" '
        f'dominant-baseline="central" fill="currentColor">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )


def _at(radius: float, angle: float) -> str:
    """A point, the angle clockwise from the top."""
    x, y = _CENTRE + radius * math.sin(angle), _CENTRE - radius * math.cos(angle)
    return f"{x:.1f} {y:.1f}"
