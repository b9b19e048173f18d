"""Logarithmic axes in human units, ticked where the numbers have room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from reports.style import short_duration


def logarithmic(
    axes: Axes,
    which: Literal["x", "y"],
    values: Iterable[float],
    label: str,
    words: Callable[[float], str] = "{:,g}".format,
    ticks: ticker.Locator | None = None,
) -> None:
    """Make one axis logarithmic, name it `label`, and tick it in `words`; it holds `values` and some air.

    Values that are not positive and finite do not count. Ticks, unless given: powers of ten, and where the
    axis is short, twice and five times these.
    """
    good = [value for value in values if np.isfinite(value) and value > 0] or [1.0, 10.0]
    low, high = min(good), max(good)
    air = max((high / low) ** 0.05, 1.25)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low / air, high * air), f"{which}label": label})
    axis = axes.xaxis if which == "x" else axes.yaxis
    usual = ticker.LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 30 else (1.0,), numticks=12)
    axis.set_major_locator(ticks or usual)
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: words(value)))


def seconds_axis(axes: Axes, values: Iterable[float], label: str = "time of one call") -> None:
    """A y axis of times: 10 µs, 1 ms, 10 s."""
    logarithmic(axes, "y", values, label, short_duration)


def factor_axis(axes: Axes, values: Iterable[float], label: str = "times as fast") -> None:
    """A y axis of factors that shows 1x: 0.1x, 1x, 100x."""
    logarithmic(axes, "y", [*values, 1.0], label, "{:,g}x".format)


def byte_axis(axes: Axes, values: Sequence[float], label: str) -> None:
    """A y axis of bytes, ticked at powers of two."""
    step = int(np.ceil(np.log2(max(values) / min(values) * 2) / 8))
    logarithmic(axes, "y", values, label, _round_size, ticker.LogLocator(base=2.0**step))


def _round_size(count: float) -> str:
    for name, unit in (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if count >= unit:
            return f"{count / unit:g} {name}"
    return f"{count:g} B"


def batch_axis(axes: Axes, sizes: Iterable[int]) -> None:
    """An x axis of batch sizes, ticked at those that were measured."""
    known = sorted(set(sizes))
    logarithmic(axes, "x", known, "batch size m (samples)", "{:g}".format, _Measured(axes, known))


class _Measured(ticker.Locator):
    """Ticks at given sizes, from the largest down, where their numbers have room when they are drawn."""

    def __init__(self, axes: Axes, sizes: Sequence[int]) -> None:
        self.axes, self.sizes = axes, sizes

    def __call__(self) -> list[int]:
        shown: list[int] = []
        last = np.inf
        for size in reversed(self.sizes):
            x, _ = self.axes.transData.transform((size, 1.0))
            # 7 pixels a digit at 9 points, and a gap
            if not shown or last - x > 7 * (len(str(size)) + len(str(shown[-1]))) / 2 + 10:
                shown.append(size)
                last = x
        return shown
