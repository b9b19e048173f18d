"""A picture for a dark page: the same marks, legible there."""

from __future__ import annotations

import colorsys
import re

import pytest

from reports.charts.canvas import FAINT, GRID, INK
from reports.charts.themes import dark
from reports.style import look

PAGE = 0.07


def lightness(colour: str) -> float:
    return colorsys.rgb_to_hls(*(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)))[1]


def turned(colour: str) -> str:
    return dark(colour.encode()).decode()


def test_ink_is_light_the_page_dark_and_the_grid_near_the_page() -> None:
    assert lightness(turned("#ffffff")) == pytest.approx(PAGE, abs=0.01)
    assert lightness(turned(INK)) > 0.8
    assert lightness(turned(FAINT)) > 0.5
    assert PAGE < lightness(turned(GRID)) < 0.25


def hue_and_saturation(colour: str) -> tuple[float, float]:
    hue, _, saturation = colorsys.rgb_to_hls(*(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)))
    return hue, saturation


@pytest.mark.parametrize("name", ["numpy", "numba", "numba-blocked", "jax", "torch"])
def test_the_colour_of_an_implementation_keeps_its_hue_and_is_legible(name: str) -> None:
    colour = look(name).colour
    assert 0.5 < lightness(turned(colour)) < 0.9
    assert hue_and_saturation(turned(colour))[0] == pytest.approx(hue_and_saturation(colour)[0], abs=0.03)
    assert hue_and_saturation(turned(colour))[1] > 0.2


def test_the_grey_of_loops_stays_grey_and_is_legible() -> None:
    assert hue_and_saturation(turned(look("loops").colour))[1] < 0.05
    assert lightness(turned(look("loops").colour)) > 0.4


def test_nothing_but_colours_changes() -> None:
    svg = b'<svg><text style="fill: #222222" id="a#b">#1 of 2</text><use href="#m12ab34ffcc"/></svg>'
    assert re.sub(rb"#[0-9a-f]{6}\b", b"", dark(svg)) == re.sub(rb"#[0-9a-f]{6}\b", b"", svg)
    assert b'href="#m12ab34ffcc"' in dark(svg)
