"""The selected track, the microphone, the keyboard, what is remembered, accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_tools import Page

from stonekey.estimate.estimator import KeyEstimator
from stonekey.keys import Key
from stonekey.synthesis import cadence, write_wav

AXE = Path(__file__).resolve().parents[2] / "page" / "node_modules" / "axe-core" / "axe.min.js"


def closer(page: Page) -> None:
    """Wait until the keys over time are found."""
    page.until(lambda: page.tab.locator(".over-time[aria-busy=false]").count())


def test_the_selected_track(page: Page, tmp_path: Path, music: dict[str, Path]) -> None:
    parts = [
        cadence(Key.parse(key), seconds=seconds)
        for key, seconds in (("C major", 40), ("E major", 20))
    ]
    path = tmp_path / "changing.wav"
    write_wav(path, np.concatenate(parts))
    page.choose(path, *music.values())
    page.done(6)
    tab = page.tab
    tab.get_by_role("button", name="changing.wav", exact=True).click()
    closer(page)
    spans = tab.locator(".spans tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [span[2] for span in spans] == ["C major", "E major"]
    assert spans[0][0] == "0:00"
    assert spans[0][1] == spans[1][0]
    assert spans[0][1] in {f"0:{second}" for second in range(36, 45)}
    assert spans[1][1] == "1:00"
    # The circle says the probabilities, as Python finds them.
    said = tab.locator(".of-fifths .circle").get_attribute("aria-label")
    shares = {key: int(share) for key, share in re.findall(r"(\S+ \w+), (\d+) %", said)}
    likely = KeyEstimator()(path).top(24)
    for key, probability in likely:
        if probability > 0.02:
            assert abs(shares[str(key)] - 100 * probability) < 1.1
    assert tab.locator(".of-fifths .sector").count() == 24
    assert tab.locator(".of-fifths .best title").inner_html().startswith(str(likely[0][0]))
    # Its neighbours, nearest first: a click on one selects it.
    tab.get_by_role("button", name="C major.wav", exact=True).click()
    mixes = tab.locator(".details .mixes-list li")
    assert mixes.locator(".title").all_inner_texts() == [
        "changing.wav",
        "A minor.wav",
        "D minor.wav",
    ]  # fmt: skip
    mixes.filter(has_text="A minor.wav").get_by_role("button").click()
    assert tab.locator(".details h2").inner_text() == "A minor.wav"
    assert tab.locator(".details .big-key").inner_text() == "A minor"


def test_play_and_seek(page: Page, music: dict[str, Path]) -> None:
    page.choose(music["A minor"])
    page.done(1)
    tab = page.tab
    slider = tab.get_by_role("slider", name="Position")
    assert slider.get_attribute("aria-valuemax") == "12"
    box = slider.bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + 10)
    page.until(lambda: slider.get_attribute("aria-valuenow") == "6")
    page.button("Play").click()
    page.until(lambda: int(slider.get_attribute("aria-valuenow")) > 6)
    page.button("Pause").click()
    page.until(lambda: page.button("Play").is_visible())
    slider.press("Home")
    page.until(lambda: slider.get_attribute("aria-valuetext") == "0:00 of 0:12, A minor")
    slider.press("ArrowRight")
    page.until(lambda: slider.get_attribute("aria-valuenow") == "5")


def test_keyboard_alone(page: Page, music: dict[str, Path]) -> None:
    """From the top: notation, choosing files, the rows, one removed, the details."""
    tab = page.tab

    def focused() -> str:
        return tab.evaluate(
            "() => document.activeElement.getAttribute('aria-label') ||"
            " document.activeElement.closest('label')?.textContent.slice(0, 8) ||"
            " document.activeElement.textContent"
        )

    choosers: list[Any] = []
    tab.on("filechooser", lambda chooser: choosers.append(chooser))
    seen = []
    for _ in range(5):
        tab.keyboard.press("Tab")
        seen.append(focused())
    assert seen == ["Notation", "ColoursA", "Microphone", "Choose files", "Choose a folder"]
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")
    page.until(lambda: choosers)
    choosers[0].set_files([str(path) for path in music.values()])
    page.done(5)
    while focused() != "A minor.wav":
        tab.keyboard.press("Tab")
    tab.keyboard.press("ArrowDown")
    assert focused() == "C major.wav"
    assert tab.locator(".details .big-key").inner_text() == "C major"
    tab.keyboard.press("End")
    assert tab.locator(".details .big-key").inner_text() == "F♯ minor"
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Delete")
    assert focused() == "F# minor.wav"
    assert "Eb major.wav" not in page.rows()
    # Focus can be seen.
    outline = tab.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_settings_outlive_a_reload(page: Page, music: dict[str, Path]) -> None:
    tab = page.tab
    page.choose(music["Eb major"])
    page.done(1)
    notation = tab.get_by_label("Notation")
    for name, key in (("sharps", "D♯ major"), ("camelot", "5B"), ("openkey", "10d")):
        notation.select_option(name)
        assert page.rows()["Eb major.wav"]["key"] == key
        assert tab.locator(".details .big-key").inner_text() == key
    assert '"key":"10d"' in page.save("Save the table as JSON")
    tab.get_by_label("Colours").select_option("dark")
    dark = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    tab.reload()
    assert tab.get_by_role("heading", name="Drop music here").is_visible()
    assert tab.evaluate("() => getComputedStyle(document.body).backgroundColor") == dark
    page.choose(music["Eb major"])
    assert page.done(1)["Eb major.wav"]["key"] == "10d"
    tab.get_by_label("Colours").select_option("light")
    light = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert light != dark


def test_leaving_is_asked_about_while_it_works(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_wav(path, cadence(Key.parse("G major"), seconds=120))
    page.choose(path)
    page.tab.locator(".name").click()  # a page that nobody has touched may not ask
    asked = []
    page.tab.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.tab.reload()
    assert asked == ["beforeunload"]
    assert page.rows() == {}


def test_microphone(new_page: Callable[..., Page], music: dict[str, Path]) -> None:
    page = new_page(permissions=["microphone"])
    page.choose(music["C major"], music["F# minor"])
    page.done(2)
    page.button("Microphone").click()
    heard = page.tab.locator(".microphone .big-key")
    page.until(lambda: heard.inner_text() == "A minor")
    assert page.tab.locator(".microphone .sector.best title").inner_html().startswith("A minor")
    # What is playing mixes with one of the tracks here.
    assert page.tab.locator(".microphone .mixes-list .title").all_inner_texts() == ["C major.wav"]
    page.button("Stop listening").click()
    assert not heard.is_visible()
    assert page.button("Microphone").is_visible()


def test_microphone_is_asked_for_once(new_page: Callable[..., Page]) -> None:
    """Of two streams one would never be stopped."""
    page = new_page(permissions=["microphone"])
    asked = page.tab.evaluate(
        """() => {
          const devices = navigator.mediaDevices;
          const ask = devices.getUserMedia.bind(devices);
          let count = 0;
          devices.getUserMedia = (wanted) => { count++; return ask(wanted); };
          const button = document.querySelector("button.listen");
          button.click();
          button.click();
          return count;
        }"""
    )
    assert asked == 1
    page.button("Stop listening").click()
    assert page.button("Microphone").is_visible()


def test_microphone_refused(page: Page) -> None:
    page.button("Microphone").click()
    refused = page.tab.get_by_text("The browser refused the microphone.")
    page.until(refused.is_visible)
    assert page.button("Microphone").is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_accessible(
    new_page: Callable[..., Page], music: dict[str, Path], tmp_path: Path, width: int
) -> None:
    """axe finds nothing wrong: empty; with a track shown, a broken file and the microphone."""
    if not AXE.exists():
        pytest.skip("needs the packages that `npm ci` fetches in page/")
    page = new_page(permissions=["microphone"])
    tab = page.tab
    tab.set_viewport_size({"width": width, "height": 900})

    def violations() -> list[str]:
        all_found = []
        for colours in ("light", "dark"):
            tab.emulate_media(color_scheme=colours)
            found = tab.evaluate("() => axe.run()")["violations"]
            all_found += [
                f"{v['id']}: {v['help']}: {[n['html'] for n in v['nodes']]}" for v in found
            ]
        return all_found

    tab.evaluate(AXE.read_text(encoding="utf-8"))
    assert violations() == []
    (tmp_path / "broken.mp3").write_bytes(b"ID3")
    page.choose(music["A minor"], music["C major"], tmp_path / "broken.mp3")
    page.done(3)
    closer(page)
    tab.locator(".over-time summary").click()
    page.button("Microphone").click()
    page.until(lambda: tab.locator(".microphone .circle").count())
    assert violations() == []
    # Nothing is wider than the screen.
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
