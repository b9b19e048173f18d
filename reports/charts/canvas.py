"""What every chart shares: a figure with its words, axes in human units, lines with names at their ends."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from reports.charts import layout
from reports.style import MARKS, MEANINGS, darker, duration, look, plain, short_duration

Floats = NDArray[np.float64]

INK, FAINT, GRID = "#222222", "#5c5c5c", "#e3e3e3"

SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "svg.hashsalt": "gradrace",  # the same ids, hence the same bytes, on every run
    "svg.fonttype": "path",
}

MARGIN = 14.0
"""Pixels, at the figure's own 100 dots an inch, between its edge and anything drawn."""


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """matplotlib's settings for drawing and for saving; those of the caller come back afterwards."""
    with mpl.rc_context(cast("Any", SETTINGS)):
        yield


def canvas(
    title: str,
    subtitle: str,
    notes: Sequence[str] = (),
    size: tuple[float, float] = (9.0, 5.6),
    margins: tuple[float, float] = (66.0, 20.0),
    above: float = 12.0,
    below: float = 46.0,
) -> tuple[Figure, Axes]:
    """A figure of `size` inches with a headline, a line below it, notes at its foot, and axes between them.

    `margins`: pixels left and right of the axes; `above` and `below`: pixels between them and the words.
    """
    figure = Figure(figsize=size, dpi=100, facecolor="white")
    width, height = figure.bbox.size
    y = height - MARGIN
    for words, points, colour, weight in ((title, 12.5, INK, "bold"), (subtitle, 9.0, FAINT, "normal")):
        y = _paragraph(figure, words, points, colour, y, weight) - 4
    lines = [line for note in notes for line in textwrap.wrap(note, _characters(width, 8.0))]
    foot = MARGIN
    for line in reversed(lines):
        figure.text(MARGIN / width, foot / height, line, fontsize=8.0, color=FAINT, va="bottom")
        foot += 13
    left, right = margins
    bottom = foot + below
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (y - above - bottom) / height)
    )
    axes.tick_params(length=3, which="major")
    axes.tick_params(length=0, which="minor")
    return figure, axes


def _characters(width: float, points: float) -> int:
    """How many characters of DejaVu Sans, of 0.6 em on average, fit a line of the figure."""
    return int((width - 2 * MARGIN) / (points * 0.6 * 100 / 72))


def _paragraph(figure: Figure, words: str, points: float, colour: str, y: float, weight: str) -> float:
    width, height = figure.bbox.size
    for line in textwrap.wrap(words, _characters(width, points)):
        figure.text(
            MARGIN / width, y / height, line, fontsize=points, color=colour, va="top", fontweight=weight
        )
        y -= points * 100 / 72 * 1.25
    return y


def columns(axes: Axes, count: int, gap: float, left: float = 0.0) -> list[Axes]:
    """Equal axes side by side in the place of `axes`: `gap` pixels apart, `left` pixels in from its edge."""
    figure = figure_of(axes)
    width = figure.bbox.width
    box = axes.get_position()
    axes.remove()
    each = (box.width - (left + gap * (count - 1)) / width) / count
    starts = [box.x0 + left / width + k * (each + gap / width) for k in range(count)]
    return [figure.add_axes((start, box.y0, each, box.height)) for start in starts]


def figure_of(axes: Axes) -> Figure:
    """The figure of `axes`."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def nothing(axes: Axes, words: str) -> None:
    """Empty `axes`, with the reason in their middle."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", color=FAINT, transform=axes.transAxes)


def room_right(axes: Axes, pixels: float) -> None:
    """Narrow the axes so that `pixels` are left between them and the figure's right edge."""
    figure = figure_of(axes)
    box = axes.get_position()
    axes.set_position((box.x0, box.y0, 1 - pixels / figure.bbox.width - box.x0, box.height))


def batch_axis(axes: Axes, sizes: Sequence[int], label: str = "batch size m (samples)") -> None:
    """A logarithmic x axis, ticked at the measured batch sizes where their numbers have room."""
    axes.set_xscale("log", base=2)
    axes.set_xlabel(label)
    low, high = min(sizes), max(sizes)
    pad = 1.6 if low == high else (high / low) ** 0.03
    axes.set_xlim(low / pad, high * pad)
    pixels = axes.transData.transform([(size, 1.0) for size in sizes])[:, 0]
    shown: list[int] = []
    last = np.inf
    for size, x in sorted(zip(sizes, pixels, strict=True), reverse=True):
        # 7 pixels a digit at 9 points, and a gap
        if not shown or last - x > 7 * (len(str(size)) + len(str(shown[-1]))) / 2 + 10:
            shown.append(size)
            last = x
    axes.xaxis.set_major_locator(ticker.FixedLocator(sorted(shown)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def seconds_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic y axis of times: 10 µs, 1 ms, 10 s."""
    decades(axes, values)
    axes.yaxis.set_major_formatter(SECONDS)


def factor_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic y axis of factors: 0.1x, 1x, 100x."""
    decades(axes, [*values, 1.0])
    axes.yaxis.set_major_formatter(FACTORS)


def decades(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic y axis that holds `values` with some air, ticked at powers of ten, or at 1, 2, 5."""
    axes.set_yscale("log")
    good = [value for value in values if np.isfinite(value) and value > 0]
    low, high = (min(good), max(good)) if good else (1.0, 10.0)
    pad = max((high / low) ** 0.05, 1.25)
    axes.set_ylim(low / pad, high * pad)
    short = high / low < 30
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0) if short else (1.0,), numticks=12))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def byte_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic y axis of bytes, ticked at powers of two."""
    axes.set_yscale("log", base=2)
    low, high = min(values) / 1.4, max(values) * 1.4
    axes.set_ylim(low, high)
    step = int(np.ceil(np.log2(high / low) / 8))
    axes.yaxis.set_major_locator(ticker.LogLocator(base=2.0**step))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _round_size(value)))


def _round_size(count: float) -> str:
    for name, unit in (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if count >= unit:
            return f"{count / unit:g} {name}"
    return f"{count:g} B"


FACTORS = ticker.FuncFormatter(lambda value, _: f"{value:,g}x")
SECONDS = ticker.FuncFormatter(lambda value, _: short_duration(value))


def bars(
    axes: Axes,
    names: Sequence[str],
    values: Floats,
    low: Floats,
    high: Floats,
    words: Sequence[str],
    hollow: Sequence[bool] = (),
    origin: float = 1.0,
) -> None:
    """Horizontal bars on a logarithmic axis, the first on top, from `origin`, with words at their ends."""
    axes.set_xscale("log")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    every = np.concatenate([values, low, high, [origin]])
    every = every[np.isfinite(every)]
    least, most = float(every.min()), float(every.max())
    # Words of 7 pixels a character stand beyond both ends.
    pixels = axes.get_window_extent().width
    share = min(0.4, (max(map(len, words), default=0) * 6.5 + 12) / pixels)
    decades_wide = max(np.log10(most / least), 0.3) / (1 - share * (2 if least < origin * 0.999 else 1))
    axes.set_xlim(
        least / 10 ** (decades_wide * (share if least < origin * 0.999 else 0)),
        max(most, least * 2) * 10 ** (decades_wide * share),
    )
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    wide = np.log10(axes.get_xlim()[1] / axes.get_xlim()[0])
    step = max(1, int(np.ceil(wide * 46 / pixels)))
    air = wide * 12 / pixels  # no tick so near to the edge that its number hangs far over
    first = int(np.ceil(np.log10(axes.get_xlim()[0]) + air))
    last = int(np.floor(np.log10(axes.get_xlim()[1]) - air))
    axes.set_xticks([10.0**k for k in range(first, last + 1, step)])
    for k, (name, value, left, right, text) in enumerate(zip(names, values, low, high, words, strict=True)):
        colour = look(name).colour
        open_bar = bool(hollow) and hollow[k]
        axes.barh(
            k,
            value - origin,
            left=origin,
            height=0.62,
            color="white" if open_bar else colour,
            edgecolor=colour,
            hatch="////" if open_bar else None,
            alpha=0.9,
        )
        if np.isfinite(left) and np.isfinite(right):
            axes.plot([left, right], [k, k], color=INK, lw=1.2, marker="|", ms=6)
        ends = [end for end in (value, left, right) if np.isfinite(end)]
        backwards = value < origin
        axes.annotate(
            text,
            (min(ends) if backwards else max([*ends, origin]), k),
            (-5 if backwards else 5, 0),
            textcoords="offset points",
            ha="right" if backwards else "left",
            va="center",
            fontsize=8.5,
        )
    axes.axvline(origin, color=FAINT, lw=1.0)


def line(
    axes: Axes, name: str, x: Floats, y: Floats, low: Floats, high: Floats, guessed: NDArray[np.bool_]
) -> None:
    """One implementation's line with whiskers; predicted points are hollow, and the way to them dotted."""
    colour, marker, dash = look(name)
    solid = ~guessed
    if not solid.all():
        axes.plot(x, y, color=colour, lw=1.0, ls=":", zorder=2)
    axes.plot(x[solid], y[solid], color=colour, lw=1.7, ls=dash, zorder=3)
    axes.plot(x[solid], y[solid], color=colour, ls="", marker=marker, ms=5.5, mec="white", mew=0.5, zorder=4)
    axes.plot(x[~solid], y[~solid], color=colour, ls="", marker=marker, ms=5.5, mfc="white", zorder=4)
    held = solid & np.isfinite(low) & np.isfinite(high)
    arms = [np.maximum(y - low, 0)[held], np.maximum(high - y, 0)[held]]
    axes.errorbar(x[held], y[held], arms, color=colour, ls="", elinewidth=1.0, capsize=2.5, zorder=3)


def name_lines(axes: Axes, ends: Sequence[tuple[str, str, float, float]]) -> list[Text]:
    """Write each line's name and figure at the right of the axes, level with its end, none over another.

    `ends`: implementation, figure, and the data coordinates of the line's last point.
    """
    figure = figure_of(axes)
    texts = []
    for name, value, _, _ in ends:
        colour = darker(look(name).colour)
        texts.append(figure.text(0, 0, f"{plain(name)}  {value}".strip(), color=colour, va="center"))
    boxes = [layout.extent(text, figure) for text in texts]
    room_right(axes, max((box.width for box in boxes), default=0.0) + MARGIN + 30)
    width, height = figure.bbox.size
    frame = axes.get_window_extent()
    tall = max((box.height for box in boxes), default=0.0)
    points = axes.transData.transform(np.array([end[2:] for end in ends]).reshape(-1, 2))
    # Labels may hang over the axes by half their height, never into the words above and below.
    places = layout.spread([y for _, y in points], tall + 2, frame.y0, frame.y1)
    for (name, *_), text, (x, y), place in zip(ends, texts, points, places, strict=True):
        text.set_position(((frame.x1 + 26) / width, place / height))
        colour, marker, _ = look(name)
        far = x < frame.x1 - 40
        figure.add_artist(
            Line2D(
                [(x + 5) / width, (frame.x1 + 12) / width],
                [y / height, place / height],
                color=colour,
                lw=0.8,
                ls=":" if far else "-",
                alpha=0.7,
            )
        )
        figure.add_artist(
            Line2D([(frame.x1 + 17) / width], [place / height], color=colour, marker=marker, ms=5.5, ls="")
        )
    return texts


def ring(axes: Axes, places: Sequence[tuple[float, float, str]], texts: Sequence[Text]) -> list[Text]:
    """Ring each place (x, y in data coordinates) and write its words beside it where there is room.

    Clear of every line if it can be, clear of points and of other words in any case.
    """
    figure = figure_of(axes)
    taken = [layout.extent(text, figure) for text in texts]
    lines = []
    for drawn in axes.lines:
        dots = drawn.get_transform().transform(drawn.get_xydata())
        if drawn.get_marker() not in ("", "None", None):
            taken += [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in dots]
        elif len(dots) > 1:
            lines += [Bbox.from_bounds(x - 1, y - 1, 2, 2) for x, y in along(dots)]
    placed = []
    for x, y, words in places:
        axes.plot([x], [y], marker="o", ms=10, mfc="none", mec=INK, mew=1.1, ls="", zorder=5)
        text = figure.text(0, 0, words, fontsize=8.5, color=INK, ha="left", va="bottom", zorder=6)
        text.set_bbox({"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.0})
        box = layout.settle(text, axes, axes.transData.transform((x, y)), taken, lines, INK)
        if box is not None:
            taken.append(box)
            placed.append(text)
    return placed


def along(dots: NDArray[np.float64], step: float = 4.0) -> NDArray[np.float64]:
    """Points on the line through `dots` (pixels), no further than `step` apart."""
    legs = np.linalg.norm(np.diff(dots, axis=0), axis=1)
    reach = np.concatenate([[0.0], np.cumsum(legs)])
    at = np.linspace(0.0, reach[-1], int(reach[-1] / step) + 2)
    return np.column_stack([np.interp(at, reach, dots[:, 0]), np.interp(at, reach, dots[:, 1])])


def missing(panel: pd.DataFrame) -> list[str]:
    """A note for each status but measured: which implementations, at which batch sizes, with which
    prediction.
    """
    notes = []
    for status, meaning in MEANINGS.items():
        lost = panel[panel["status"] == status]
        names = []
        for name, group in lost.groupby("implementation", sort=False):
            words = plain(str(name))
            if len(group) < (panel["implementation"] == name).sum():
                words += f" at m = {', '.join(map(str, sorted(group['batch_size'])))}"
            guess = group["predicted_seconds"].max()
            names.append(words + (f" ({duration(guess)} a call)" if np.isfinite(guess) else ""))
        if names:
            notes.append(f"{MARKS[status]}, {meaning}: {'; '.join(names)}")
    return notes


def whiskers(panel: pd.DataFrame) -> str:
    """What the whiskers of this panel are."""
    timed = panel[panel["status"] == "measured"]
    if timed.empty:
        return "nothing was measured"
    counts = sorted(timed["processes"].unique())
    if counts[-1] == 1:
        return "whiskers: rounds of one process, fastest to median, no interval"
    if counts[0] == 1:
        return f"whiskers: 95 % interval over up to {counts[-1]} processes; of one, fastest round to median"
    over = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    return f"whiskers: 95 % interval over {over} processes"


def describe(panel: pd.DataFrame, shape: str = "") -> str:
    """The panel in words: workload, shape, phase, dtype, threads."""
    if panel.empty:
        return "nothing was raced"
    first = panel.iloc[0]
    threads = f"{first['threads']} thread" + ("" if first["threads"] == 1 else "s")
    workload = f"{plain(first['workload'])} {shape}".strip()
    return f"{workload}, {plain(first['phase'])}, {plain(first['dtype'])}, {threads}"
