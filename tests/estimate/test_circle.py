"""An estimate as notebooks show it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np

from stonekey import KeyEstimate, KeyEstimator

RATE = 22050


def picture(estimate: KeyEstimate) -> ElementTree.Element:
    """The picture; the whole is well formed, so nothing in it is markup by accident."""
    svg = ElementTree.fromstring(estimate._repr_html_())[0]
    assert svg.tag.endswith("svg")
    return svg


def named(svg: ElementTree.Element) -> list[str]:
    return ["".join(part.itertext()) for part in svg]


def test_all_keys_and_the_answer(estimator: KeyEstimator, music: np.ndarray) -> None:
    estimate = estimator(music, RATE)
    title, said, *sectors = named(picture(estimate))
    assert title == "Eb minor"
    assert said.startswith(f"Eb minor {estimate.confidence:.0%}, ")
    assert len(sectors) == 24
    assert sectors[-1].startswith(f"Eb minor: {estimate.confidence:.1%}")  # drawn over the others
    outlined = [p for p in picture(estimate).iter() if p.get("stroke-width")]
    assert len(outlined) == 1


def test_signatures_and_no_key(music: np.ndarray) -> None:
    signatures = KeyEstimator("template12", threads=1)
    assert len(named(picture(signatures(music, RATE)))) == 2 + 12
    silent = signatures(np.zeros(RATE), RATE)
    assert named(picture(silent)) == ["no key", "nothing heard"]


def test_text_from_outside_is_escaped(estimator: KeyEstimator, music: np.ndarray) -> None:
    odd = replace(estimator(music, RATE), model="<script>&", warnings=("<b>",))
    assert "<script>&" in "".join(ElementTree.fromstring(odd._repr_html_()).itertext())


def test_fifths_go_clockwise_from_c(estimator: KeyEstimator, music: np.ndarray) -> None:
    places = {}
    for part in list(picture(estimator(music, RATE)))[2:]:
        text = part[-1]
        places[text.text] = float(text.get("x", "")), float(text.get("y", ""))
    assert places["C"][0] == places["Am"][0] == 0
    assert places["C"][1] < places["Am"][1] < 0
    assert places["G"][0] > 0 > places["F"][0]
