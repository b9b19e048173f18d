"""The data of the page, compact: the record's cells, all speedups, and the implementations' style."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.record.cells import Cell
from reports.analysis import PANEL, Analysis, Panel
from reports.charts.words import conditions, describe, whiskers
from reports.page.markup import distinct, shown
from reports.style import PARALLEL, UNMEASURED, look
from reports.tables.scaling import scalings
from reports.text import story

SHAPES = {
    "o": "circle",
    "8": "circle",
    "s": "square",
    "D": "diamond",
    "d": "diamond",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    ">": "triangle-right",
    "P": "cross",
    "X": "M-.9,-.6L-.6,-.9L0,-.3L.6,-.9L.9,-.6L.3,0L.9,.6L.6,.9L0,.3L-.6,.9L-.9,.6L-.3,0Z",
    "p": "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",
    "h": "M0,-1L.87,-.5L.87,.5L0,1L-.87,.5L-.87,-.5Z",
    "H": "M-1,0L-.5,-.87L.5,-.87L1,0L.5,.87L-.5,.87Z",
    "*": "M0,-1L.22,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.22,-.31Z",
}
"""matplotlib's markers as Vega's symbols."""
DASHES = {"-": [], "--": [6, 3], "-.": [6, 3, 1, 3], ":": [2, 3]}


def pack(analysis: Analysis, panel: Panel, baseline: str) -> dict[str, Any]:
    """Everything that the page shows, beginning with `panel` over `baseline`; numbers to six digits.

    `cells` are columns, in the order of `panels`, each of which owns the cells from `start` to `stop`.
    `speedups` are columns like them, a set for each baseline, null if the baseline has no time in any panel
    like it; each set has, for each panel, the panel of the baseline's times if it is another. The panel of a
    headline has its answer as a sentence; the page makes those of other panels from the reader's choice.
    """
    table, names = analysis.cells, analysis.implementations
    panels = {Panel._make(key): rows for key, rows in table.groupby(PANEL, sort=False)}
    known = list(panels)
    statuses, reasons = (list(dict.fromkeys(table[key])) for key in ("status", "reason"))
    workloads = list(analysis.record.workloads)
    titles = {name: f"{label} {analysis.shape(name)}" for name, label in distinct(workloads).items()}
    measured = table["status"] == "measured"
    return {
        "implementations": [_implementation(analysis, *pair) for pair in distinct(names).items()],
        "panels": [
            {
                "workload": titles[one.workload],
                "phase": shown(one.phase),
                "dtype": shown(one.dtype),
                "threads": int(one.threads),
                "ranks": int(one.ranks),
                "start": int(rows.index[0]),
                "stop": int(rows.index[-1]) + 1,
                "words": describe(rows, analysis.shape(one.workload)),
                "whiskers": whiskers(rows),
                "answer": story(analysis, one, analysis.baseline()).answer if analysis.totals(one) else None,
            }
            for one, rows in panels.items()
        ],
        "statuses": statuses,
        "marks": [UNMEASURED[status].mark if status in UNMEASURED else "" for status in statuses],
        "reasons": [shown(reason, 300) if reason else "" for reason in reasons],
        "baseline": names.index(analysis.rows(panel, baseline)["baseline"].iloc[0]),
        "panel": known.index(panel),
        "cells": {
            "implementation": table["implementation"].map(names.index).tolist(),
            "m": table["batch_size"].tolist(),
            "status": table["status"].map(statuses.index).tolist(),
            "reason": table["reason"].map(reasons.index).tolist(),
            "seconds": _short(table["seconds"].where(measured, table["predicted_seconds"])),
            "low": _short(table["low"]),
            "high": _short(table["high"]),
            "processes": table["processes"].tolist(),
            "rate": _short(table["flops"] / table["seconds"] / 1e9),
            "compile": _short(table["compile_seconds"]),
            "bound": _short(table["error_of_bound"]),
            "ulp": _short(table["error_ulp"]),
        },
        "speedups": [_speedups(analysis, name, known) for name in names],
        "scaling": _scaling(analysis, known),
    }


def _scaling(analysis: Analysis, panels: list[Panel]) -> dict[str, list[float | None]]:
    """The speedup of each cell on several threads over one: columns like those of the cells."""
    place = {cell: k for k, cell in enumerate(analysis.measurements)}
    found = np.full((len(place), 3), math.nan)
    for panel in dict.fromkeys(one.on_one for one in panels):
        for one in scalings(analysis, panel, "strong"):
            on = Cell(*panel[:2], one.batch_size, panel.dtype, one.workers, one.implementation)
            found[place[on]] = one.speedup[:3]
    return {end: _short(values) for end, values in zip(("value", "low", "high"), found.T, strict=True)}


def _implementation(analysis: Analysis, name: str, label: str) -> dict[str, Any]:
    colour, marker, dash = look(name)
    facts = analysis.record.implementations.get(name)
    names = analysis.implementations
    return {
        "label": label,
        "colour": colour,
        "shape": SHAPES[marker],
        "dash": DASHES[dash],
        "below": names.index(facts.differs_from) if facts and facts.differs_from in names else None,
        "idea": shown(facts.idea.replace("`", ""), 120) if facts else "",
        "parallel": name in PARALLEL,
    }


def _speedups(analysis: Analysis, baseline: str, panels: list[Panel]) -> dict[str, Any]:
    table = analysis.speedups(baseline)
    table = table[table["baseline"] == baseline].reindex(table.index)
    return {
        "value": _short(table["speedup"]),
        "low": _short(table["speedup_low"]),
        "high": _short(table["speedup_high"]),
        "pairs": [int(pairs) for pairs in table["pairs"].fillna(0)],
        "projected": np.flatnonzero(table["basis"] == "projected").tolist(),
        "fallbacks": [_fallback(analysis, panel, baseline) for panel in panels],
    }


def _fallback(analysis: Analysis, panel: Panel, baseline: str) -> str | None:
    first = analysis.rows(panel, baseline).iloc[0]
    on = conditions(first, "baseline_")
    return None if on == conditions(first) else f"{shown(baseline)} in {on}"


def _short(values: Iterable[float]) -> list[float | None]:
    """Six digits are a thousand times finer than any interval; what is not finite is null."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
