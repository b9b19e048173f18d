"""Names and figures beside their marks, in the order of the marks, without overlaps.

Places are in pixels at the figure's own dots per inch, measured on the figure as it will be drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from reports.charts.canvas import INK, MARGIN, figure_of
from reports.style import darker, look, plain


@functools.cache
def _measure(dpi: float) -> RendererAgg:
    """A renderer that measures text; it draws nothing, so that its canvas is one pixel."""
    return RendererAgg(1, 1, dpi)  # type: ignore[no-untyped-call]


def extent(text: Text, figure: Figure) -> Bbox:
    """The box that `text` will take."""
    return text.get_window_extent(_measure(figure.dpi))


def spread(wanted: ArrayLike, gap: float, least: float, most: float) -> NDArray[np.float64]:
    """Positions as near to `wanted` (least squares) as they get, `gap` apart, within `least` ... `most`.

    Taking k gaps off the k-th of the sorted positions turns "at least a gap apart" into "never falling",
    which is isotonic regression; the order stays. Too many for the room share it evenly.
    """
    near = np.asarray(wanted, dtype=float)
    order = np.argsort(near, kind="stable")
    gap = min(gap, (most - least) / max(len(near) - 1, 1))
    steps = gap * np.arange(len(near))
    placed = np.empty(len(near))
    if len(near):
        free = isotonic_regression(near[order] - steps).x
        placed[order] = np.clip(free, least, most - steps[-1]) + steps
    return placed


class LineEnd(NamedTuple):
    """The end of an implementation's line: words to write beside its name, and where it is in the data."""

    implementation: str
    words: str
    x: float
    y: float


def name_lines(axes: Axes, ends: Sequence[LineEnd]) -> None:
    """Write each line's name and words at the right of the axes, which make room, level with its end."""
    figure = figure_of(axes)
    looks = [look(end.implementation) for end in ends]
    texts = [
        figure.text(
            0, 0, f"{plain(end.implementation)}  {end.words}".strip(), color=darker(colour), va="center"
        )
        for end, (colour, _, _) in zip(ends, looks, strict=True)
    ]
    boxes = [extent(text, figure) for text in texts]
    width, height = figure.bbox.size
    room = axes.get_position()
    widest = max((box.width for box in boxes), default=0.0)
    axes.set_position((room.x0, room.y0, 1 - (widest + MARGIN + 30) / width - room.x0, room.height))
    frame = axes.get_window_extent()
    points = axes.transData.transform(np.array([end[2:] for end in ends]).reshape(-1, 2))
    gap = max((box.height for box in boxes), default=0.0) + 2
    places = spread(points[:, 1], gap, frame.y0, frame.y1)
    for text, (x, y), place, (colour, marker, _) in zip(texts, points, places, looks, strict=True):
        text.set_position(((frame.x1 + 26) / width, place / height))
        far = ":" if x < frame.x1 - 40 else "-"
        _draw(figure, [x + 5, frame.x1 + 12], [y, place], color=colour, lw=0.8, ls=far, alpha=0.7)
        _draw(figure, [frame.x1 + 17], [place], color=colour, marker=marker, ms=5.5, ls="")


def name_above(
    axes: Axes, marks: Sequence[tuple[float, float, str]], colours: Sequence[str] = (), slant: float = 0.0
) -> list[Text]:
    """Write each mark's words above the axes, in the order of the marks, and lead a line from them to it.

    `marks`: x, y in data coordinates, words. The lines turn above the axes and fall straight from there: no
    two of them cross. Words that do not fit side by side, the last of them, are left out.
    """
    figure = figure_of(axes)
    width, height = figure.bbox.size
    frame = axes.get_window_extent()
    style: dict[str, Any] = {"ha": "left" if slant else "center", "va": "bottom", "rotation_mode": "anchor"}
    texts = [figure.text(0, 0, words, fontsize=8.5, rotation=slant, **style) for _, _, words in marks]
    gap = max((extent(text, figure).width + 8 for text in texts), default=1.0)
    if slant:
        gap = 14 / np.sin(np.radians(slant))  # what lies between two lines of text
    for text in texts[int(frame.width / gap) + 1 :]:
        text.remove()
    texts = texts[: int(frame.width / gap) + 1]
    points = axes.transData.transform(np.array([mark[:2] for mark in marks]).reshape(-1, 2))[: len(texts)]
    places = spread(points[:, 0], gap, frame.x0, frame.x1)
    for k, (text, (x, y), place) in enumerate(zip(texts, points, places, strict=True)):
        colour = colours[k] if colours else INK
        text.set(color=darker(colour), position=(place / width, (frame.y1 + 21) / height))
        _draw(figure, [place, x, x], [frame.y1 + 20, frame.y1, y], color=colour, lw=0.6, alpha=0.6)
    return texts


def _draw(figure: Figure, x: Sequence[float], y: Sequence[float], **style: Any) -> None:
    """A line on the figure itself, through places in pixels."""
    width, height = figure.bbox.size
    figure.add_artist(Line2D(np.array(x) / width, np.array(y) / height, **style))


def name_rows(axes: Axes, names: Sequence[str], words: Sequence[str] = ()) -> None:
    """A row for each implementation, the first on top, with its name, if any, or `words` at the left."""
    axes.set_ylim(len(names) - 0.4, -0.6)
    labels = words or [plain(name, 20) if name else "" for name in names]
    axes.set_yticks(range(len(names)), labels, fontsize=9.0)
    axes.tick_params(axis="y", length=0)
    for name, label in zip(names, axes.get_yticklabels(), strict=True):
        label.set_color(darker(look(name).colour))
