"""Speedups on several machines, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.charts.canvas import MARGIN, canvas, columns, nothing, settings
from reports.charts.labels import name_rows
from reports.charts.marks import bars
from reports.style import factor, plain

MOST = 4
"""Machines of one picture."""


@settings()
def machines_chart(found: Mapping[str, pd.DataFrame], baseline: str, where: str, notes: list[str]) -> Figure:
    """Speedups over the baseline: one column per machine, one row per implementation.

    At the largest batch size that all of them have. `found` are panels of `Analysis.speedups` by the
    machines' names. Rows are in the order of the first machine, the slowest first: where bars do not grow
    downwards, the ranking is another.
    """
    common = set.intersection(*(set(panel["batch_size"][panel["speedup"] > 0]) for panel in found.values()))
    size = max(common, default=0)
    rows = {
        name: panel[(panel["batch_size"] == size) & np.isfinite(panel["speedup"])].set_index("implementation")
        for name, panel in list(found.items())[:MOST]
    }
    names = list(dict.fromkeys(name for each in rows.values() for name in each.sort_values("speedup").index))
    if len(found) > MOST:
        notes = [*notes, f"{len(found) - MOST} more machines are in the tables"]
    figure, axes = canvas(
        f"Times as fast as {plain(baseline)}, machine by machine",
        f"{where}, m = {size}; whiskers: 95 % intervals",
        notes,
        size=(10.0, 2.2 + 0.34 * max(len(names), 2)),
        margins=(150.0, MARGIN),
    )
    if not names:
        return nothing(axes, "no cell was measured")
    sides = columns(axes, len(rows), 26)
    for side, (machine, each) in zip(sides, rows.items(), strict=True):
        values, low, high = (
            each[key].reindex(names).to_numpy(dtype=float)
            for key in ("speedup", "speedup_low", "speedup_high")
        )
        words = [factor(value) if np.isfinite(value) else "not measured" for value in values]
        bars(side, names, np.nan_to_num(values, nan=1.0), low, high, words)
        side.set_title(plain(machine, 200 // len(rows)))
    lowest, highest = zip(*(side.get_xlim() for side in sides), strict=True)
    for side in sides:
        side.set_xlim(min(lowest), max(highest))  # bars of one length are one factor
    name_rows(sides[0], names, [plain(name, 20) for name in names])
    return figure
