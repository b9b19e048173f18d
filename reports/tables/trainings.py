"""Comparison of trainings: a step beyond its gradients, the factor of vectorizing, time to accuracy."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Measurement, Record, RecordedTraining, RecordedWorkload
from benchmarks.record.statistics import (
    UNKNOWN,
    Interval,
    Speedup,
    TimingByProcess,
    arithmetic,
    interval,
    speedup,
    time_of,
)
from reports import text
from reports.analysis import Analysis, Panel, panel_of
from reports.charts.words import cell_words, describe
from reports.style import digits, duration, factor, plain
from reports.text import Story

VECTORIZED = "numpy"
"""The textbook's vectorization, whose factors are shown beside those of the fastest."""


def labels(record: Record, workloads: Iterable[str]) -> dict[str, str]:
    """The labels of these workloads: their trainings if these differ, else their names."""
    words = {name: record.workloads[name].training.words for name in workloads}
    apart = len(set(words.values())) == len(words)
    return {name: plain(of_it if apart else name, 40) for name, of_it in words.items()}


def alike(analysis: Analysis, panel: Panel) -> list[Panel]:
    """The panels that differ from this one only in their training, in the record's order."""
    known, workloads = set(analysis.panels), analysis.record.workloads
    own = _in_plain(workloads[panel.workload])
    others = (panel._replace(workload=name) for name, each in workloads.items() if _in_plain(each) == own)
    return [other for other in others if other in known]


def _in_plain(workload: RecordedWorkload) -> RecordedWorkload:
    """The same network and data in plain gradient descent."""
    return dataclasses.replace(workload, training=RecordedTraining())


def _on_any_ranks(analysis: Analysis, panels: Iterable[Panel]) -> list[Panel]:
    """Each of these panels, followed by those that differ from it only in their ranks."""
    return [
        other
        for each in panels
        for other in (each, *(known for known in analysis.panels if known != each))
        if other._replace(ranks=each.ranks) == each
    ]


class StepCost(NamedTuple):
    """The time of an implementation's step in one training at one batch size.

    `beyond` is the seconds of a step less those of its gradients, `over_gradients` their ratio, both within a
    process; `over_plain` is the ratio to a step of plain gradient descent. None if a part was not raced.
    """

    workload: str
    implementation: str
    batch_size: int
    step: Interval
    beyond: Interval | None
    over_gradients: Speedup | None
    over_plain: Speedup | None


def steps(analysis: Analysis, panel: Panel) -> list[StepCost]:
    """The steps of every training of the panel's dtype and threads, by batch size and implementation."""
    known = analysis.record.workloads
    found = []
    for each in alike(analysis, panel._replace(phase="step")):
        as_plain = _in_plain(known[each.workload])
        plain_one = next((name for name, other in known.items() if other == as_plain), "")
        for cell, own in analysis.times.items():
            if panel_of(cell) != each:
                continue
            gradients = analysis.times.get(dataclasses.replace(cell, phase="gradients"), {})
            below = analysis.times.get(dataclasses.replace(cell, workload=plain_one), {})
            found.append(
                StepCost(
                    cell.workload,
                    cell.implementation,
                    cell.batch_size,
                    time_of(own),
                    _difference(own, gradients) if gradients else None,
                    speedup(own, gradients) if gradients else None,
                    speedup(own, below) if below and plain_one != cell.workload else None,
                )
            )
    return sorted(found, key=lambda step: step.batch_size)


def _difference(own: TimingByProcess, other: TimingByProcess) -> Interval:
    """The mean difference of the two, in seconds, paired within each process."""
    both = own.keys() & other.keys()
    if not both:
        return Interval(time_of(own).mean - time_of(other).mean, *UNKNOWN[1:])
    return arithmetic([own[process].fastest - other[process].fastest for process in sorted(both)])


def steps_grid(analysis: Analysis, found: Sequence[StepCost]) -> tuple[list[str], list[list[str]]]:
    """Steps in words: the heads, and a row for each training, implementation and batch size."""
    names = labels(analysis.record, [one.workload for one in found])
    head = ["", "a step", "beyond its gradients", "over its gradients", "over a plain step"]
    rows = [
        [
            f"{names[one.workload]}, {plain(one.implementation)}, m = {one.batch_size}",
            duration(one.step.mean),
            "-" if one.beyond is None else _seconds(one.beyond),
            *("-" if ratio is None else _ratio(ratio) for ratio in (one.over_gradients, one.over_plain)),
        ]
        for one in found
    ]
    return head, rows


def costs_grid(analysis: Analysis, panel: Panel, size: int) -> tuple[list[str], list[list[str]]]:
    """The steps of one batch size: a row for each training, a column for each implementation.

    A cell has the time of a step beyond its gradients, and its ratio to a step of plain gradient descent.
    """
    found = [one for one in steps(analysis, panel) if one.batch_size == size]
    names = labels(analysis.record, [one.workload for one in found])
    implementations = list(dict.fromkeys(one.implementation for one in found))
    words = {
        (one.workload, one.implementation): ", over plain ".join(
            filter(None, [one.beyond and _seconds(one.beyond), one.over_plain and _ratio(one.over_plain)])
        )
        for one in found
    }
    rows = [
        [label, *(words.get((workload, name), "-") for name in implementations)]
        for workload, label in names.items()
    ]
    return ["", *map(plain, implementations)], rows


def _seconds(found: Interval) -> str:
    """`1.20 µs (1.15 to 1.25)`; it may be negative by noise."""
    words = [f"{'-' * (value < 0)}{duration(abs(value))}" for value in found]
    return words[0] if words[1] == "-" else f"{words[0]} ({words[1]} to {words[2]})"


def _ratio(found: Speedup) -> str:
    if found.pairs < 2:
        return factor(found.mean)
    return f"{factor(found.mean)} ({digits(found.low)} to {digits(found.high)})"


def factors_grid(analysis: Analysis, panel: Panel, over: str) -> tuple[list[str], list[list[str]]]:
    """The speedups of a step over that of `over`: a row for each training, and for each batch size those of
    `VECTORIZED` and of the fastest, with the half-width of the interval.
    """
    panels = alike(analysis, panel._replace(phase="step"))
    names = labels(analysis.record, [each.workload for each in panels])
    tables = {each.workload: analysis.rows(each, over) for each in panels}
    sizes = sorted({size for table in tables.values() for size in table["batch_size"]})
    head = ["", *(f"{who}, m = {size}" for size in sizes for who in (VECTORIZED, "fastest"))]
    rows = []
    for workload, table in tables.items():
        row = [names[workload]]
        for size in sizes:
            at = table[(table["batch_size"] == size) & (table["status"] == "measured")]
            at = at[(at["basis"] == "paired") & (at["baseline"] == over)].sort_values("seconds")
            for who, rows_of in ((VECTORIZED, at[at["implementation"] == VECTORIZED]), ("", at)):
                if rows_of.empty:
                    row.append("-")
                    continue
                best = rows_of.iloc[0]
                name = "" if who else f"{plain(best['implementation'])} "
                row.append(name + " ".join(filter(None, cell_words(best, absolute=False))))
        rows.append(row)
    return head, rows


class TimeToTarget(NamedTuple):
    """The time of an implementation until its training reaches the accuracy on held-out digits.

    `steps` are those of the training, the same for every implementation; `step` is the seconds of one, and
    `seconds` their product, seed by seed. `reached` is the number of the `seeds` that reached it; the others
    have no steps and no seconds. `loss` and `accuracy` are those at the end.
    """

    workload: str
    implementation: str
    ranks: int
    batch_size: int
    seeds: int
    reached: int
    steps: Interval
    step: Interval
    seconds: Interval
    loss: float
    accuracy: Interval


def reached(analysis: Analysis, panel: Panel) -> list[TimeToTarget]:
    """Trainings of the panel's dtype and threads, on any ranks: soonest first, those without a time last."""
    settings, processes = analysis.record.settings, analysis.record.processes
    share, whole = float(settings["accuracy"]), int(settings["steps"])
    found = []
    for each in _on_any_ranks(analysis, alike(analysis, panel)):
        cells = {
            cell: measured
            for cell, measured in analysis.measurements.items()
            if panel_of(cell) == each and cell in analysis.times
        }
        of_training = _steps_to(share, whole, cells, [process.seed for process in processes])
        for cell, measured in cells.items():
            fastest = {processes[k].seed: t.fastest for k, t in analysis.times[cell].items()}
            taken = {seed: of_training[seed] for seed in fastest if of_training.get(seed)}
            every = bool(taken) and len(taken) == len(fastest)
            ends = [one for one in measured if len(one.seconds) * one.iterations >= whole]
            found.append(
                TimeToTarget(
                    cell.workload,
                    cell.implementation,
                    cell.ranks,
                    cell.batch_size,
                    seeds=len(fastest),
                    reached=len(taken),
                    steps=interval(taken.values()) if every else UNKNOWN,
                    step=interval(fastest.values()),
                    seconds=interval(n * fastest[seed] for seed, n in taken.items()) if every else UNKNOWN,
                    loss=statistics.fmean(one.losses[-1] for one in ends) if ends else UNKNOWN.mean,
                    accuracy=arithmetic([one.accuracies[-1] for one in ends if one.accuracies]),
                )
            )
    return sorted(found, key=lambda one: one.seconds.mean if one.seconds.mean > 0 else float("inf"))


def _steps_to(
    share: float, whole: int, cells: Mapping[Cell, list[Measurement]], seeds: list[int]
) -> dict[int, int]:
    """The steps of one training until its accuracy is `share`, by seed; 0 if it was not reached.

    Implementations differ by roundings only: the steps are the median over those that trained long enough.
    """
    taken: dict[int, list[int]] = {}
    for one in (one for measured in cells.values() for one in measured):
        first = next((k for k, read in enumerate(one.accuracies, 1) if read >= share), 0)
        if first or len(one.seconds) * one.iterations >= whole:
            taken.setdefault(seeds[one.process], []).append(first * one.iterations)
    return {seed: statistics.median_low(found) for seed, found in taken.items()}


def _on_ranks(ranks: int) -> str:
    return f" on {ranks} ranks" if ranks > 1 else ""


def _share(found: Interval) -> str:
    words = [f"{100 * value:.1f}" for value in found if value >= 0]
    if not words:
        return "-"
    return f"{words[0]} %" + (f" ({words[1]} to {words[2]})" if len(words) == 3 else "")


def percent(analysis: Analysis) -> str:
    """The accuracy on held-out digits that a training has to reach: `95 %`."""
    return f"{100 * analysis.record.settings['accuracy']:.4g} %"


def reached_grid(analysis: Analysis, found: Sequence[TimeToTarget]) -> tuple[list[str], list[list[str]]]:
    """The times to the accuracy, in words: the heads, and a row for each training and implementation."""
    names = labels(analysis.record, [one.workload for one in found])
    share = percent(analysis)
    head = ["", f"steps to {share}", "a step", f"time to {share}", "loss", "held-out digits"]
    rows = [
        [
            f"{names[one.workload]}, {plain(one.implementation)}{_on_ranks(one.ranks)}",
            digits(one.steps.mean) if one.steps.mean > 0 else f"{one.reached} of {one.seeds} seeds",
            duration(one.step.mean),
            _seconds(one.seconds) if one.seconds.mean > 0 else "-",
            digits(one.loss),
            _share(one.accuracy),
        ]
        for one in found
    ]
    return head, rows


def story(analysis: Analysis, panel: Panel, baseline: str) -> Story:
    """The story of one panel; for a training, the first implementation to reach the accuracy, and all others.

    For a headline with several trainings, or on several ranks, those of all.
    """
    if panel.phase == "headline":
        return _headline(analysis, _on_any_ranks(analysis, alike(analysis, panel)), baseline)
    if panel.phase != "train":
        return text.story(analysis, panel, baseline)
    rows = analysis.rows(panel, baseline)
    found = reached(analysis, panel)
    names = labels(analysis.record, [one.workload for one in found])
    share = percent(analysis)
    where = describe(rows, analysis.shape(panel.workload))
    soonest = [one for one in found if math.isfinite(one.seconds.mean)]
    if soonest:
        first, last = soonest[0], soonest[-1]
        words = (
            f"{plain(first.implementation)}{_on_ranks(first.ranks)} with {names[first.workload]} "
            f"reads {share} of the held-out digits after {duration(first.seconds.mean)}: "
            f"{digits(first.steps.mean)} steps of {first.batch_size} samples, "
            f"{duration(first.step.mean)} each"
        )
        if len(soonest) > 1:
            words += (
                f"; {plain(last.implementation)}{_on_ranks(last.ranks)} with {names[last.workload]} "
                f"after {duration(last.seconds.mean)}"
            )
    else:
        words = (
            f"No training read {share} of the held-out digits within {analysis.record.settings['steps']:,} "
            "steps from every seed"
        )
    seeds = max((one.seeds for one in found), default=0)
    remark = (
        "Times are those of steps alone: the training's steps, the same for every implementation, times the "
        f"implementation's time of one; means over {seeds} seeds, each in a process of its own, "
        "in brackets the 95 % interval."
    )
    return Story(f"{words} ({where}).", *reached_grid(analysis, found), [remark, *text.common(rows)])


def _headline(analysis: Analysis, panels: list[Panel], baseline: str) -> Story:
    first, *more = (text.story(analysis, each, baseline) for each in panels)
    if not more:
        return first
    names = labels(analysis.record, [each.workload for each in panels])
    rows = [
        [f"{names[panel.workload]}, {row[0]}{_on_ranks(panel.ranks)}", *row[1:]]
        for panel, of_it in zip(panels, (first, *more), strict=True)
        for row in of_it.rows
    ]
    return first._replace(answer=" ".join(each.answer for each in (first, *more)), rows=rows)
