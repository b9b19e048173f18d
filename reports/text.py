"""The answer in a sentence, and the table behind it, for a terminal and for Markdown."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.record.race_file import Record
from benchmarks.record.statistics import Total
from reports.analysis import Analysis, Panel
from reports.charts.words import cell_words, conditions, describe, whiskers
from reports.style import UNMEASURED, digits, duration, factor, plain
from reports.tables.crossovers import notable_crossovers

DISCRIMINATING = 0.01
"""A bound whose 2-norm is more than this share of its array's does not discriminate."""


class Story(NamedTuple):
    """The story of a panel: a sentence, a table and remarks."""

    answer: str
    head: list[str]
    rows: list[list[str]]
    remarks: list[str]


class Section(NamedTuple):
    """A part of a report: a table, and a picture of it with the name of its file."""

    title: str
    head: list[str]
    rows: list[list[str]]
    figure: Figure | None = None
    name: str = ""


def story(analysis: Analysis, panel: Panel, baseline: str) -> Story:
    """The story of one panel; of a headline, that of all its steps."""
    rows, shape = analysis.rows(panel, baseline), analysis.shape(panel.workload)
    found = analysis.totals(panel)
    if found:
        steps = f"{analysis.record.settings['steps']:,} steps of {rows['batch_size'].max()} samples"
        on_one = analysis.totals(panel._replace(ranks=1)) or found
        return _headline(steps, describe(rows, shape), found, on_one, common(rows))
    over = rows["baseline"].iloc[0]
    target = analysis.record.settings.get("target")
    words = [*fallback(rows, baseline), *remarks(rows, over), *wide(rows, target)]
    return Story(answer(rows, over, shape), *grid(rows, over), words)


def fallback(rows: pd.DataFrame, baseline: str) -> list[str]:
    """The baseline of a panel's speedups if it is not the one of the request, in words."""
    first = rows.iloc[0]
    over, on = first["baseline"], conditions(first, "baseline_")
    if (over, on) == (baseline, conditions(first)):
        return []
    name = f"{plain(over)} ({on})"
    return [f"{plain(baseline)} was not measured here: speedups are over the fallback baseline, {name}."]


def _headline(
    steps: str, where: str, found: Mapping[str, Total], on_one: Mapping[str, Total], remarks: list[str]
) -> Story:
    """A sentence on the fastest, and on the slowest on one rank, which is the baseline of the factors."""
    (slow, slowest), (fast, fastest) = next(iter(on_one.items())), list(found.items())[-1]
    words = f"{steps} take {plain(fast)} {duration(fastest.mean)}{_projected(fastest)}"
    if (fast, fastest) != (slow, slowest):
        name = plain(slow) + (" on one rank" if on_one != found else "")
        words += f" and {name} {duration(slowest.mean)}{_projected(slowest)}"
        words += f": {factor(slowest.mean / fastest.mean)}"
    words += f" ({where})."
    rows = [
        [plain(name), duration(total.mean), factor(slowest.mean / total.mean), _how(total)]
        for name, total in found.items()
    ]
    return Story(words, ["", "time", "factor", "how"], rows, remarks)


def _projected(total: Total) -> str:
    return "" if total.in_full else " (projected)"


def _how(total: Total) -> str:
    if total.in_full:
        return "run in full"
    if not np.isfinite(total.low):
        return "projected from one process"
    return f"projected: {duration(total.low)} to {duration(total.high)}"


def answer(panel: pd.DataFrame, baseline: str, shape: str = "") -> str:
    """One sentence: how much faster, with its interval, and from which batch size on."""
    timed = panel[np.isfinite(panel["speedup"]) & (panel["status"] == "measured")]
    others = timed[timed["implementation"] != baseline]
    if others.empty:
        return f"No implementation was measured beside {plain(baseline)} here: {describe(panel, shape)}."
    # A speedup that rests on a prediction is quoted where there is no other.
    ranked = others.assign(measured=others["basis"] != "projected")
    best = ranked.sort_values(["measured", "speedup"]).iloc[-1]
    projected = " (projected)" if best["basis"] == "projected" else ""
    words = (
        f"{plain(best['implementation'])} is {factor(best['speedup'])} as fast as {plain(baseline)}"
        f"{projected} at m = {best['batch_size']}{_between(best)} ({describe(panel, shape)})"
    )
    ranks = timed.sort_values("seconds").groupby("batch_size", sort=True)["implementation"].first()
    leaders = [f"{plain(name)} from m = {size}" for size, name in ranks[ranks != ranks.shift()].items()]
    return f"{words}. Fastest: {', '.join(leaders)}."


def _between(row: pd.Series) -> str:
    if not np.isfinite(row["speedup_low"]):
        return ""
    one = row["pairs"] == 1 or row["spread"] == "rounds"
    kind = "rounds of one process" if one else "95 % interval"
    return f", {kind} {factor(row['speedup_low'])} to {factor(row['speedup_high'])}"


def grid(panel: pd.DataFrame, baseline: str | None) -> tuple[list[str], list[list[str]]]:
    """One row per implementation, one column per batch size: times of the baseline, factors of the others."""
    sizes = sorted(panel["batch_size"].unique())
    names = sorted(dict.fromkeys(panel["implementation"]), key=lambda name: name != baseline)
    entries = {
        (cell["implementation"], cell["batch_size"]): " ".join(
            filter(None, cell_words(cell, cell["implementation"] == baseline))
        )
        for _, cell in panel.iterrows()
    }
    rows = [[plain(name), *(entries.get((name, size), "") for size in sizes)] for name in names]
    return ["", *(f"m = {size}" for size in sizes)], rows


def remarks(panel: pd.DataFrame, baseline: str) -> list[str]:
    """The remarks on a panel: the spread, crossovers, the meanings of marks, the largest error."""
    words = [f"{plain(baseline)}: time of one call; the others: times as fast; {whiskers(panel)}."]
    words += [
        f"{plain(row.passer)} passes {plain(row.passed)} at m ≈ {digits(row.batch_size, 2)}."
        for row in notable_crossovers(panel, baseline)
    ]
    return words + common(panel)


LONGEST = 8
"""The largest number of cells that are listed."""


def wide(panel: pd.DataFrame, target: object) -> list[str]:
    """The speedups whose intervals are wider than the race's target, a half-width (0.05 is +-5 %)."""
    if not isinstance(target, float):
        return []
    half = panel["speedup_high"] / panel["speedup"] - 1
    wider = (panel["pairs"] > 1) & (half > target)
    rows = panel.assign(half=half)[wider].sort_values("half", ascending=False)
    if rows.empty:
        return []
    named = [
        f"{plain(row['implementation'])} at m = {row['batch_size']} (±{row['half']:.1%})"
        for row in rows.head(LONGEST).to_dict("records")
    ]
    more = f", and {len(rows) - LONGEST} more" if len(rows) > LONGEST else ""
    return [f"Not known to ±{target:.0%}: {', '.join(named)}{more}."]


def common(panel: pd.DataFrame) -> list[str]:
    """The remarks on any phase: the meanings of statuses, and the largest error that the referee found."""
    used = [found for status, found in UNMEASURED.items() if (panel["status"] == status).any()]
    words = ["; ".join(f"{found.mark}: {found.meaning}" for found in used) + "."] if used else []
    errors = panel["error_of_bound"].max()
    if np.isfinite(errors):
        words.append(f"Every timed cell passed the referee: largest error {digits(errors)} of its bound.")
    bounds = panel["bound_of_norm"].dropna()
    loose = bounds[bounds > DISCRIMINATING]
    if not loose.empty:
        words.append(
            f"The elementwise bound does not discriminate in {len(loose)} of {len(bounds)} cells: it has up "
            f"to {digits(loose.max())} of the norm of what it bounds; there the error of each array as a "
            "whole is what counts."
        )
    return words


def warnings(record: Record) -> list[str]:
    """Every distinct warning of the record's processes, with the number of processes that gave it."""
    counts = collections.Counter(words for each in record.processes for words in dict.fromkeys(each.warnings))
    total = len(record.processes)
    return [f"{plain(words, 300)} ({count} of {total} processes)" for words, count in counts.items()]


def escape(text: str) -> str:
    """`text` for Markdown, shown as it is: no markup, no HTML, no new table cell."""
    marked = re.sub(r"([\\`*_{}\[\]<>()#+!|~&$@-])", r"\\\1", text).replace("\\-", "-")
    return " ".join(marked.splitlines())


def markdown(record: Record, shown: Story, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """summary.md: the sentence, the pictures (title, file name), the table, remarks, the machine."""
    lines = ["# gradrace", "", escape(shown.answer), ""]
    for title, name in pictures:
        lines += [f"![{title}]({name})", ""]
    lines += [
        *markdown_table(shown.head, shown.rows),
        "",
        *(f"- {escape(words)}" for words in shown.remarks),
        *(f"- Warning: {escape(words)}" for words in warnings(record)),
        "",
        escape(machine(record)),
        "",
    ]
    return "\n".join(lines)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table with names in the first column and figures in the others."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(escape(words) for words in row) + " |" for row in rows),
    ]


def machine(record: Record) -> str:
    """The machine, the date and the versions, on one line."""
    facts = [*record.machine.items(), *record.versions.items()]
    words = ", ".join(f"{plain(str(key), 30)} {plain(str(value), 60)}" for key, value in facts)
    return f"Raced {plain(record.created, 40)} by {plain(record.command, 200)} on: {words}."
