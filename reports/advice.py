"""The answer to which implementation to use, in words and a table for each batch size."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from benchmarks.record.ranking import HOPELESS, MATTERS, Rank, groups, light, ranking
from reports.analysis import Analysis, of_panel, panel_of
from reports.style import UNMEASURED, cores, digits, duration, factor, plain, size
from reports.tables.break_even import break_even, courses
from reports.text import Story

HEAD = [
    *("", "verdict", "time", "times as long", "interval", "install", "compile", "repaid after", "memory"),
    "processes",
]


def stories(analysis: Analysis) -> list[Story]:
    """A story for each panel and batch size in which something was timed."""
    lean = light(analysis.record.implementations)
    found = [
        ranking({cell: analysis.times[cell] for cell in group}, lean) for group in groups(analysis.times)
    ]
    return [_story(analysis, places, lean) for places in found]


def _story(analysis: Analysis, places: list[Rank], lean: set[str]) -> Story:
    cell = places[0].cell
    panel = of_panel(analysis.cells, panel_of(cell))
    rows = panel[panel["batch_size"] == cell.batch_size]
    alone = next((place for place in places if place.cell.implementation in lean), None)
    repaid = _repaid(rows, alone)
    cells = f"{plain(cell.workload, 100)}, {plain(cell.phase)}, {plain(cell.dtype)}"
    where = f"{cells}, {cores(cell.threads, cell.ranks)}, m = {cell.batch_size}"
    return Story(
        f"{where}: {' '.join(_sentences(places, alone, repaid))}",
        HEAD,
        [_row(analysis, rows, place, repaid) for place in places],
        list(_remarks(rows, places, repaid)),
    )


def _sentences(places: list[Rank], alone: Rank | None, repaid: dict[str, float]) -> Iterable[str]:
    """The answer, where `alone` is the fastest that needs nothing beyond NumPy."""
    first = places[0]
    of: dict[str, list[Rank]] = {}
    for place in places:
        of.setdefault(place.verdict, []).append(place)
    if "unknown" in of:
        yield (
            f"{_name(first)} was fastest so far: {duration(first.seconds.mean)}; too few processes to "
            f"distinguish it from {_listed(map(_name, of['unknown']))}."
        )
    else:
        yield f"{_name(first)} is fastest: {duration(first.seconds.mean)}."
    if "tie" in of:
        tied = _listed(f"{_name(place)} ({_closeness(place)})" for place in of["tie"])
        yield f"{tied} {'tie' if len(of['tie']) > 1 else 'ties'} with it."
    behind = [place for place in of.get("behind", ()) if place != alone]
    if behind:
        yield f"{_listed(f'{_name(place)} takes {factor(place.behind.mean)} as long' for place in behind)}."
    if "dropped" in of:
        least = factor(min(place.behind.mean for place in of["dropped"]))
        others = f"{len(of['dropped'])} others" if len(of["dropped"]) > 1 else _name(of["dropped"][0])
        yield f"{others} {'take' if len(of['dropped']) > 1 else 'takes'} {least} as long or longer."
    if alone == first:
        yield "It needs nothing beyond NumPy."
    elif alone is not None:
        yield f"The fastest that needs nothing beyond NumPy is {_name(alone)}{_worth(first, alone, repaid)}."


def _worth(first: Rank, alone: Rank, repaid: dict[str, float]) -> str:
    """The speedup of the fastest over `alone`, the fastest that needs nothing beyond NumPy."""
    if alone.verdict == "tie":
        return ", which ties"
    if alone.verdict == "unknown":
        return ""
    steps = repaid.get(first.cell.implementation, math.nan)
    pays = (
        f": {_name(first)} has repaid its start after {_calls(steps, first.cell.phase)}"
        if math.isfinite(steps)
        else ""
    )
    return f", which takes {factor(alone.behind.mean)} as long{pays}"


def _row(analysis: Analysis, rows: pd.DataFrame, place: Rank, repaid: dict[str, float]) -> list[str]:
    name = place.cell.implementation
    row = rows[rows["implementation"] == name].iloc[0]
    facts = analysis.record.implementations.get(name)
    cold = np.isfinite(row["cold_compile_seconds"])
    compiling = row["cold_compile_seconds"] if cold else row["compile_seconds"]
    needed = facts.install_bytes if facts else None
    return [
        _name(place),
        _verdict(place),
        duration(place.seconds.mean),
        factor(place.behind.mean),
        _interval(place),
        "-" if needed is None else size(needed) if needed else "nothing",
        ("" if cold else "≥ ") + duration(compiling) if compiling > 0 else "none" if compiling == 0 else "-",
        _calls(repaid[name], place.cell.phase) if name in repaid else "-",
        size(row["peak_bytes"]) if np.isfinite(row["peak_bytes"]) else "-",
        str(row["processes"]),
    ]


def _remarks(rows: pd.DataFrame, places: list[Rank], repaid: dict[str, float]) -> Iterable[str]:
    yield (
        "times as long: over the fastest, paired within a process; intervals: 95 % for all pairs of "
        f"contenders together; a tie: the interval contains 1, or the lead is below {MATTERS:.0%}."
    )
    yield (
        "install: what it needs beyond NumPy, on disk; compile: with no cache on disk, ≥ where a cache may "
        "have helped; memory: the most of one call beyond what stood before it."
    )
    if repaid:
        yield (
            "repaid after: construction and compilation, over the fastest that needs nothing beyond NumPy."
        )
    dropped = [place for place in places if place.verdict == "dropped"]
    if dropped:
        rules = (
            f"more than {share:g} times the fastest in "
            f"{'every process' if few == 1 else f'each of {few} processes or more'}"
            for few, share in HOPELESS.items()
        )
        yield f"Dropped, at {_listed(rules, 'or')}: {_listed(map(_name, dropped))}."
    for status, shown in UNMEASURED.items():
        for reason, names in rows[rows["status"] == status].groupby("reason")["implementation"]:
            yield f"Not tried ({shown.meaning}): {', '.join(map(plain, names))}: {plain(str(reason), 200)}."


def _repaid(rows: pd.DataFrame, alone: Rank | None) -> dict[str, float]:
    """The calls after which each implementation is ahead of the fastest that needs nothing beyond NumPy."""
    if alone is None:
        return {}
    found = {course.implementation: course for course in courses(rows, alone.cell.batch_size)}
    below = found.pop(alone.cell.implementation, None)
    return {name: break_even(course, below) for name, course in found.items()} if below else {}


def _interval(place: Rank) -> str:
    if place.verdict in ("first", "unknown", "dropped"):
        return "-"
    return f"{factor(place.behind.low)} to {factor(place.behind.high)}"


def _verdict(place: Rank) -> str:
    words = {"first": "fastest", "behind": "behind", "unknown": "not known", "dropped": "dropped"}
    return words.get(place.verdict) or f"tie, {_closeness(place)}"


def _closeness(place: Rank) -> str:
    if place.closer:
        return f"closer than {MATTERS:.0%}"
    return "not distinguished" if place.behind.low <= 1 else f"{place.behind.mean - 1:.1%} behind"


def _calls(count: float, phase: str) -> str:
    if not math.isfinite(count):
        return "never"
    unit = "steps" if phase == "step" else "calls"
    whole = math.ceil(count)
    return f"{whole if whole < 1000 else digits(whole)} {unit}" if whole > 0 else "at once"


def _name(place: Rank) -> str:
    return plain(place.cell.implementation)


def _listed(words: Iterable[str], conjunction: str = "and") -> str:
    *most, last = words
    return f"{', '.join(most)} {conjunction} {last}" if most else last
