"""A picture on a dark page: the same SVG in colours that are legible there."""

from __future__ import annotations

import colorsys
import re
from pathlib import Path

from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from benchmarks.record import files
from reports.charts.canvas import drawn

DARK_PAGE, LIGHT_INK = 0.07, 0.93
"""Lightness of the page and of the strongest ink in the dark; GitHub's dark page is #0d1117."""

LEAST = 0.62
"""The least lightness of a colour that stands for something, on the dark page."""

GREY = 0.15
"""Up to this saturation a colour is a grey, and means nothing but ink, grid or page."""


def both_themes(figure: Figure, path: Path) -> list[Path]:
    """Write `figure` as an SVG for a light page and one for a dark page; returns the files written."""
    light = drawn(figure, "svg")
    return [files.write(Path(f"{path}.svg"), light), files.write(Path(f"{path}-dark.svg"), dark(light))]


def dark(svg: bytes) -> bytes:
    """`svg` with its greys turned from ink on white to light on dark, and its colours made lighter."""
    return re.sub(rb"#[0-9a-fA-F]{6}\b", lambda found: _colour(found[0].decode()).encode(), svg)


def _colour(colour: str) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    if saturation <= GREY or lightness > 0.97:
        lightness = LIGHT_INK + (DARK_PAGE - LIGHT_INK) * lightness
    elif lightness > 0.85:  # a tint behind words
        lightness = 1 - 0.8 * lightness
    else:
        lightness = max(lightness, LEAST)
    return to_hex(colorsys.hls_to_rgb(hue, lightness, saturation))
