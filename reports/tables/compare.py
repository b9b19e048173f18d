"""Records side by side: each implementation's factor between machines, or versions of Python or NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.record.race_file import Record
from reports.charts import speed
from reports.charts.canvas import canvas, settings
from reports.charts.scales import factor_axis
from reports.charts.words import describe
from reports.style import factor, plain
from reports.tables.frames import CELL, Panel, UnknownChoice, cells, of_panel
from reports.text import escape

NOTE = (
    "Ratios between machines or versions describe them; they are no regression test: nothing here ran side "
    "by side. To judge a change, measure both of its sides in turns on one machine (gradrace gate run)."
)


def factors(first: Record, other: Record, panel: Panel) -> pd.DataFrame:
    """The cells measured in both: `speedup` of `other` over `first`, with its interval.

    The processes of two records cannot be paired: the interval adds the two in quadrature, and is NaN where
    one record holds a single process. Raises UnknownChoice where a record lacks the panel.
    """
    tables = [of_panel(cells(record), panel) for record in (first, other)]
    if any(table.empty for table in tables):
        raise UnknownChoice(
            f"expected both records to hold {' '.join(map(str, panel))}, got one that does not"
        )
    keep = [*CELL, "status", "seconds", "low", "high", "spread"]
    one, two = (table.loc[table["status"] == "measured", keep] for table in tables)
    both = one.merge(two, on=CELL, suffixes=("_first", ""))
    both["speedup"] = both["seconds_first"] / both["seconds"]
    halves = [np.log(both["high" + end] / both["low" + end]) / 2 for end in ("_first", "")]
    half = np.sqrt(halves[0] ** 2 + halves[1] ** 2)
    half[(both["spread_first"] != "interval") | (both["spread"] != "interval")] = np.nan
    both["speedup_low"] = both["speedup"] * np.exp(-half)
    both["speedup_high"] = both["speedup"] * np.exp(half)
    return both


@settings()
def chart(both: pd.DataFrame, first: str, other: str) -> Figure:
    """Each implementation's factor of `other` over `first`, against batch size."""
    figure, axes = canvas(
        f"{plain(other, 40)} against {plain(first, 40)}",
        f"{describe(both)}; times as fast; whiskers: 95 % intervals",
        [NOTE],
    )
    drawn = both.assign(
        value=both["speedup"], least=both["speedup_low"], most=both["speedup_high"], guess=False
    )
    speed.race(axes, drawn, None, factor, factor_axis)
    return figure


def differences(records: Mapping[str, Record]) -> list[tuple[str, list[str]]]:
    """The facts of machine and versions in which the records differ: name, and a value for each."""
    facts: list[Mapping[str, Any]] = [{**record.machine, **record.versions} for record in records.values()]
    names = dict.fromkeys(name for each in facts for name in each)
    rows = [(plain(name), [plain(str(each.get(name, "-")), 60) for each in facts]) for name in names]
    return [row for row in rows if len(set(row[1])) > 1]


def grid(both: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A row an implementation, a column a batch size."""
    sizes = sorted(both["batch_size"].unique())
    shown = {
        (row["implementation"], row["batch_size"]): factor(row["speedup"])
        + (
            f" ±{100 * (np.sqrt(row['speedup_high'] / row['speedup_low']) - 1):.1f} %"
            if np.isfinite(row["speedup_low"])
            else ""
        )
        for row in both.to_dict("records")
    }
    names = dict.fromkeys(both["implementation"])
    rows = [[plain(name), *(shown.get((name, size), "") for size in sizes)] for name in names]
    return ["", *(f"m = {size}" for size in sizes)], rows


def markdown(records: Mapping[str, Record], tables: Mapping[str, pd.DataFrame], pictures: list[str]) -> str:
    """compare.md: what differs, each record against the first, and the note."""
    first, *_ = records
    lines = ["# Records side by side", "", "| | " + " | ".join(map(escape, records)) + " |"]
    lines.append("|---|" + "---|" * len(records))
    for name, values in differences(records):
        lines.append(f"| {escape(name)} | " + " | ".join(map(escape, values)) + " |")
    for (name, table), picture in zip(tables.items(), pictures, strict=True):
        head, rows = grid(table)
        lines += ["", f"## {escape(name)} against {escape(first)}", "", f"![factors]({picture})", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(map(escape, row)) + " |" for row in rows]
    return "\n".join([*lines, "", NOTE, ""])
