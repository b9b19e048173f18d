"""Records side by side: each implementation's factor between machines, or versions of Python or NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.record.race_file import Record
from benchmarks.record.statistics import interval, quotient
from reports.analysis import CELL, Analysis, Panel, UnknownChoice, panel_of
from reports.charts import speed
from reports.charts.canvas import canvas, settings
from reports.charts.machines import machines_chart
from reports.charts.scales import factor_axis
from reports.charts.words import describe
from reports.style import factor, plain
from reports.tables import machines
from reports.text import Section, escape, grid, markdown_table

NOTE = (
    "Ratios between machines or versions describe them; they are not a regression test: nothing ran side "
    "by side. To judge a change, measure both sides in turns on one machine (gradrace gate run)."
)


def factors(first: Analysis, other: Analysis, panel: Panel) -> pd.DataFrame:
    """The cells measured in both, with columns of `Analysis.speedups`: the speedup of `other` over `first`.

    The processes of two records cannot be paired: the interval adds the two in quadrature, and is NaN if
    one record holds a single process (`pairs` is the fewer of both). Raises UnknownChoice if a record
    lacks the panel.
    """
    if any(panel not in each.panels for each in (first, other)):
        raise UnknownChoice(
            f"expected both records to hold {' '.join(map(str, panel))}, got one that does not"
        )
    rows = []
    for cell, timed in other.times.items():
        if panel_of(cell) == panel and (base := first.times.get(cell)):
            here, there = (interval(t.fastest for t in each.values()) for each in (timed, base))
            ratio, low, high = quotient(there, here)
            found = {"speedup": ratio, "speedup_low": low, "speedup_high": high}
            rows.append(vars(cell) | found | {"pairs": min(len(timed), len(base))})
    columns = [*CELL, "speedup", "speedup_low", "speedup_high", "pairs"]
    return pd.DataFrame(rows, columns=columns).assign(status="measured", basis="unpaired")


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


def differences(records: Mapping[str, Record]) -> list[list[str]]:
    """The facts of machine and versions in which the records differ: one row of name and values per fact."""
    facts: list[Mapping[str, Any]] = [{**record.machine, **record.versions} for record in records.values()]
    names = dict.fromkeys(name for each in facts for name in each)
    rows = [[plain(name), *(plain(str(each.get(name, "-")), 60) for each in facts)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def side_by_side(
    found: Mapping[str, Analysis], panel: Panel, baseline: str
) -> tuple[list[Section], list[str]]:
    """The sections of a comparison of several records, by name, and the remarks on it.

    What differs; each machine's ranking; each other record against the first. Raises UnknownChoice if a
    record lacks the panel.
    """
    (first, base), *others = found.items()
    factored = {name: factors(base, other, panel) for name, other in others}
    named = machines.named(found)
    where = describe(base.rows(panel, baseline), base.shape(panel.workload))
    sections = [
        Section("What differs", ["", *found], differences({k: each.record for k, each in found.items()})),
        Section(
            "The ranking on each machine",
            *machines.rankings(named, panel),
            machines_chart(
                {name: each.rows(panel, baseline) for name, each in named.items()}, baseline, where, [NOTE]
            ),
            "compare-machines",
        ),
    ]
    for k, (name, both) in enumerate(factored.items(), 1):
        title = f"{name} against {first}"
        sections.append(Section(title, *grid(both, None), chart(both, first, name), f"compare-{k}"))
    return sections, [*machines.remarks(named, panel), NOTE]


def markdown(sections: Sequence[Section], remarks: Sequence[str]) -> str:
    """compare.md: every section with its picture, and the remarks."""
    lines = ["# Records side by side"]
    for section in sections:
        lines += ["", f"## {escape(section.title)}", ""]
        if section.figure is not None:
            lines += [f"![{escape(section.title)}]({section.name}.svg)", ""]
        lines += markdown_table(list(map(escape, section.head)), section.rows)
    return "\n".join([*lines, "", *(f"- {escape(words)}" for words in remarks), ""])
