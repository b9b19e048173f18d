"""What the page computes from: the record's cells, packed small, and how each implementation looks."""

from __future__ import annotations

import unicodedata
from typing import Any

import pandas as pd

from benchmarks.record.statistics import t_quantile
from reports.analysis import Analysis, Panel
from reports.style import MARKS, look

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

FIGURES = ("error_of_bound", "error_ulp", "compile_seconds", "predicted_seconds", "flops")


def shown(text: str, longest: int = 60) -> str:
    """`text` for a page: every script as it is, control and direction marks as U+FFFD, shortened."""
    kept = neutral(text[: longest + 1])
    return (kept[: longest - 1] + "…" if len(text) > longest else kept) or "(no name)"


def neutral(text: str, keep: str = "") -> str:
    """`text` with control and direction marks, but for those in `keep`, as U+FFFD."""
    marks = ("Cc", "Cf", "Cs", "Co")
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if c not in keep and unicodedata.category(c) in marks else c for c in text
    )


def distinct(names: list[str], longest: int = 60) -> list[str]:
    """What each name is shown as; those that would look alike are numbered."""
    labels = [shown(name, longest) for name in names]
    return [f"{label} ({k})" if labels.count(label) > 1 else label for k, label in enumerate(labels, 1)]


def pack(analysis: Analysis, panel: Panel, baseline: str) -> dict[str, Any]:
    """Columns of numbers and of places in lists of names; times to six digits, one a process."""
    table, record, names = analysis.cells, analysis.record, analysis.implementations
    places: dict[str, list[Any]] = {"implementation": names, "workload": list(record.workloads)}
    for key in ("phase", "dtype", "threads", "status", "reason"):
        places[key] = list(dict.fromkeys(table[key]))
    columns: dict[str, list[Any]] = {
        key: table[key].map({value: k for k, value in enumerate(found)}).tolist()
        for key, found in places.items()
    }
    columns["m"] = table["batch_size"].tolist()
    for key in FIGURES:
        columns[key] = [_short(value) for value in table[key]]
    timed = [analysis.times.get(cell, {}) for cell in analysis.measurements]
    columns["process"] = [list(found) for found in timed]
    for key in ("fastest", "median"):
        columns[key] = [[_short(getattr(each, key)) for each in found.values()] for found in timed]
    labels = distinct(names)
    return {
        "implementations": [
            _implementation(analysis, name, label) for name, label in zip(names, labels, strict=True)
        ],
        "workload": distinct(places["workload"]),
        "shape": ["-".join(map(str, w.widths)) for w in record.workloads.values()],
        "phase": distinct(places["phase"]),
        "dtype": distinct(places["dtype"]),
        "threads": places["threads"],
        "status": places["status"],
        "marks": [MARKS.get(status, "") for status in places["status"]],
        "reason": [shown(reason, 300) if reason else "" for reason in places["reason"]],
        "float64": places["dtype"].index("float64") if "float64" in places["dtype"] else -1,
        "one": places["threads"].index(1) if 1 in places["threads"] else -1,
        "baseline": names.index(baseline),
        "panel": {key: places[key].index(value) for key, value in panel._asdict().items()},
        "t": [_short(value) for value in map(t_quantile, range(1, len(record.processes) + 1))],
        "cells": columns,
    }


def _implementation(analysis: Analysis, name: str, label: str) -> dict[str, Any]:
    colour, marker, dash = look(name)
    facts = analysis.record.implementations.get(name)
    below = facts.differs_from if facts else None
    names = analysis.implementations
    return {
        "label": label,
        "colour": colour,
        "shape": SHAPES[marker],
        "dash": DASHES[dash],
        "below": names.index(below) if below in names else None,
        "idea": shown(facts.idea, 120) if facts else "",
    }


def _short(value: Any) -> float | int | None:
    """Six digits are a thousand times finer than any interval; whole numbers stay whole."""
    if pd.isna(value):
        return None
    if float(value).is_integer() and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.6g}")
