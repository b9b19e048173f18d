"""Where labels go so that none overlaps another: measured on the drawn figure, in pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray


@functools.cache
def _measure(dpi: float) -> RendererAgg:
    """What measures text as it will be drawn; it draws nothing, so that one pixel is enough of a canvas."""
    return RendererAgg(1, 1, dpi)  # type: ignore[no-untyped-call]


def extent(text: Text, figure: Figure) -> Bbox:
    """The box that `text` will take, in pixels of the figure's own dpi."""
    return text.get_window_extent(_measure(figure.dpi))


def spread(wanted: Sequence[float], gap: float, least: float, most: float) -> list[float]:
    """Positions as near to `wanted` as they get while `gap` apart and within `least` ... `most`.

    The least-squares answer: taking k gaps off the k-th of the sorted positions turns "at least a gap apart"
    into "never falling", which pooling adjacent violators solves. Too many for the room share it evenly.
    """
    if not len(wanted):
        return []
    order = np.argsort(wanted, kind="stable")
    gap = min(gap, (most - least) / max(len(wanted) - 1, 1))
    steps = gap * np.arange(len(wanted))
    blocks: list[tuple[float, int]] = []  # mean, members
    for target in np.asarray(wanted, dtype=float)[order] - steps:
        mean, members = float(target), 1
        while blocks and blocks[-1][0] > mean:
            below, count = blocks.pop()
            mean = (mean * members + below * count) / (members + count)
            members += count
        blocks.append((mean, members))
    free = np.concatenate([np.full(members, mean) for mean, members in blocks])
    placed = np.clip(free, least, most - steps[-1]) + steps
    out = np.empty(len(wanted))
    out[order] = placed
    return [float(position) for position in out]


def settle(
    text: Text,
    axes: Axes,
    anchor: NDArray[np.float64],
    taken: Sequence[Bbox],
    soft: Sequence[Bbox],
    colour: str,
) -> Bbox | None:
    """Move `text` to where it fits near `anchor` (pixels), clear of `taken`, and of `soft` if that can be.

    A thin line leads to one that stands far off. Returns the place; None, and no text, where there is none.
    """
    figure = text.get_figure()
    assert isinstance(figure, Figure)
    own = extent(text, figure)
    room = axes.get_window_extent()
    spot = (own.width, own.height, (float(anchor[0]), float(anchor[1])))
    box = free_box(*spot, [*taken, *soft], room) or free_box(*spot, taken, room)
    if box is None:
        text.remove()
        return None
    text.set_position((box.x0 / figure.bbox.width, box.y0 / figure.bbox.height))
    near = np.clip(anchor, [box.x0, box.y0], [box.x1, box.y1])
    if np.hypot(*(near - anchor)) > 20:
        ends = np.array([anchor, near]) / figure.bbox.size
        figure.add_artist(Line2D(ends[:, 0], ends[:, 1], color=colour, lw=0.6, alpha=0.7))
    return box


def free_box(
    width: float, height: float, anchor: tuple[float, float], taken: Sequence[Bbox], room: Bbox
) -> Bbox | None:
    """A box of this size near `anchor`, within `room` and clear of all `taken`; None where there is none."""
    x, y = anchor
    for distance in (8.0, 16.0, 28.0, 44.0, 64.0, 90.0):
        for towards_x, towards_y in ((0, -1), (1, -1), (-1, -1), (0, 1), (1, 1), (-1, 1), (1, 0), (-1, 0)):
            middle_x = x + towards_x * (distance + width / 2)
            middle_y = y + towards_y * (distance + height / 2)
            box = Bbox.from_bounds(middle_x - width / 2, middle_y - height / 2, width, height)
            inside = box.x0 >= room.x0 and box.x1 <= room.x1 and box.y0 >= room.y0 and box.y1 <= room.y1
            if inside and not any(box.overlaps(other) for other in taken):
                return box
    return None
