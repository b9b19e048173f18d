"""The figure that every chart is drawn on: its title, notes and axes, in the settings of this project."""

from __future__ import annotations

import contextlib
import io
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.record import files

INK, FAINT, GRID = "#222222", "#5c5c5c", "#e3e3e3"

SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.parse_math": False,  # a dollar sign in a name does not begin mathematics
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "svg.hashsalt": "gradrace",  # the same ids, hence the same bytes, on every run
    "svg.fonttype": "none",  # text that can be searched, selected and read aloud
}

DPI = 160
"""Of PNG files."""

MARGIN = 14.0
"""Pixels, at the figure's own 100 dots an inch, between its edge and anything drawn."""


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """A block with matplotlib's settings for drawing and saving; it restores the caller's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()  # ignore the user's matplotlibrc
        mpl.rcParams.update(cast("Any", SETTINGS))
        yield


def canvas(
    title: str,
    subtitle: str,
    notes: Sequence[str] = (),
    size: tuple[float, float] = (9.0, 5.6),
    margins: tuple[float, float] = (84.0, 20.0),
    above: float = 38.0,
    below: float = 46.0,
) -> tuple[Figure, Axes]:
    """A figure of `size` inches with a headline, a line below it, notes at its foot, and axes between them.

    `margins`: pixels left and right of the axes; `above` and `below`: pixels between them and the words.
    """
    figure = Figure(figsize=size, dpi=100, facecolor="white")
    width, height = figure.bbox.size
    y = height - MARGIN
    for words, points, colour, weight in ((title, 12.5, INK, "bold"), (subtitle, 9.0, FAINT, "normal")):
        for line in _lines(words, width, points):
            at = MARGIN / width, y / height
            figure.text(*at, line, fontsize=points, color=colour, va="top", fontweight=weight)
            y -= points * 100 / 72 * 1.25
        y -= 4
    foot = MARGIN
    for line in reversed([line for note in notes for line in _lines(note, width, 8.0)]):
        figure.text(MARGIN / width, foot / height, line, fontsize=8.0, color=FAINT, va="bottom")
        foot += 13
    left, right = margins
    bottom = foot + below
    place = left / width, bottom / height, (width - left - right) / width, (y - above - bottom) / height
    axes = figure.add_axes(place)
    axes.tick_params(length=3)
    return figure, axes


def _lines(words: str, width: float, points: float) -> list[str]:
    """`words` in lines that fit the figure: a character of DejaVu Sans is 0.6 em wide on average."""
    return textwrap.wrap(words, int((width - 2 * MARGIN) / (points * 0.6 * 100 / 72)))


def columns(axes: Axes, count: int, gap: float) -> list[Axes]:
    """Equal axes side by side in the place of `axes`, `gap` pixels apart."""
    figure = figure_of(axes)
    box = axes.get_position()
    axes.remove()
    apart = gap / figure.bbox.width
    each = (box.width + apart) / count
    return [figure.add_axes((box.x0 + k * each, box.y0, each - apart, box.height)) for k in range(count)]


def figure_of(axes: Axes) -> Figure:
    """The figure of `axes`."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def nothing(axes: Axes, words: str) -> Figure:
    """The figure of `axes`, emptied, with the reason in their middle."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, f"nothing to draw: {words}", ha="center", color=FAINT, transform=axes.transAxes)
    return figure_of(axes)


def drawn(figure: Figure, kind: str) -> bytes:
    """`figure` as an "svg" or a "png": the same bytes for the same figure, without a date."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": "gradrace"} if kind == "svg" else {"Software": "gradrace"}
    with settings():
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    content = buffer.getvalue()
    if kind == "svg":  # Verdana has the widths of DejaVu Sans, on systems that lack it
        content = content.replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif")
    return content


def picture(figure: Figure, path: Path) -> list[Path]:
    """Write `figure` as `path` with the endings svg and png; returns the files written."""
    return [files.write(Path(f"{path}.{kind}"), drawn(figure, kind)) for kind in ("svg", "png")]
