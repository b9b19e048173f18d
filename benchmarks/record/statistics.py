"""The statistics of a race, for the race itself and for every report.

The unit is a process: each gives one value of a cell, its fastest round, since a disturbance makes a round
longer, never shorter. Times and their ratios vary by factors, so that their logarithms are averaged: the mean
of 2x and 1/2x is 1x. Intervals are Student's t on the logarithms; a bootstrap of the mean covers too little
at the few processes of a race (about 0.90 instead of 0.95 at ten of them). A speedup is a ratio of two times
of the same process, which share its conditions.
"""

from __future__ import annotations

import collections
import functools
import itertools
import math
import operator
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Measurement

CONFIDENCE = 0.95

SLOWER = 1.3
"""A round is undisturbed if the probe takes at most this many times its shortest time. Work on the other
thread of the core makes it 1.6 to 2 times as long; the clock frequency, interrupts and the like about 1.1
times."""


class Interval(NamedTuple):
    """A mean and its 95 % interval, whose ends are NaN for a single value."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """The relative distance from the mean to the upper end (0.05 is +-5 %); infinite if unknown."""
        return math.inf if math.isnan(self.high) else self.high / self.mean - 1


UNKNOWN = Interval(math.nan, math.nan, math.nan)


@functools.cache
def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Student's t at the upper end of a two-sided interval; NaN without a degree of freedom."""
    from scipy import special  # imported on use: a process that measures does not need it

    return float(special.stdtrit(freedom, (1 + confidence) / 2)) if freedom > 0 else math.nan


def arithmetic(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean of the values, one for each process, and Student's interval; unknown without values."""
    if not values:
        return UNKNOWN
    n, mean = len(values), statistics.fmean(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(n - 1, 1))
    half = t_quantile(n - 1, confidence) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def interval(values: Iterable[float], confidence: float = CONFIDENCE) -> Interval:
    """The geometric mean of positive values, one for each process, and its interval; unknown without any."""
    return Interval(*map(math.exp, arithmetic([math.log(value) for value in values], confidence)))


def quotient(above: Interval, below: Interval) -> Interval:
    """The ratio of two means of different processes; half-widths of logarithms add in quadrature."""
    half = math.hypot(*(math.log(each.high / each.low) / 2 for each in (above, below)))
    ratio = above.mean / below.mean
    return Interval(ratio, ratio * math.exp(-half), ratio * math.exp(half))


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """The least-squares slope of log y over log x, which is the power of x by which y grows."""
    return statistics.linear_regression([*map(math.log, x)], [*map(math.log, y)]).slope


class Timing(NamedTuple):
    """The times of a cell in one process: the seconds of its fastest and of its median round."""

    fastest: float
    median: float


TimingByProcess = Mapping[int, Timing]
"""The timings of one cell, by process."""


def counting(measurements: Sequence[Measurement]) -> list[bool]:
    """Whether the time of each measurement counts: if it is undisturbed, or if fewer than two of its cell
    are.

    A time is undisturbed if the probe took at most `SLOWER` times its shortest time in the race.
    """
    fastest = min((m.probe for m in measurements if m.probe is not None), default=0.0)
    measured = [m.status == "measured" and bool(m.seconds) for m in measurements]
    undisturbed = [m.probe is None or m.probe <= SLOWER * fastest for m in measurements]
    cells = [m.cell for m in measurements]
    found = collections.Counter(itertools.compress(cells, map(operator.and_, measured, undisturbed)))
    return [
        done and (good or found[cell] < 2)
        for cell, done, good in zip(cells, measured, undisturbed, strict=True)
    ]


def times(measurements: Sequence[Measurement]) -> dict[Cell, dict[int, Timing]]:
    """The timings that count, of every cell that was measured."""
    found: dict[Cell, dict[int, Timing]] = {}
    for m in itertools.compress(measurements, counting(measurements)):
        found.setdefault(m.cell, {})[m.process] = Timing(min(m.seconds), statistics.median(m.seconds))
    return found


def time_of(timed: TimingByProcess) -> Interval:
    """The mean of the processes' fastest rounds; for one process, low and high are its fastest and median."""
    found = interval(each.fastest for each in timed.values())
    return Interval(found.mean, *next(iter(timed.values()))) if len(timed) == 1 else found


class Speedup(NamedTuple):
    """A speedup with its interval, over `pairs` pairs of times of the same process.

    With one pair, low and high are the widest ratios of its fastest and median rounds. Without any it is the
    ratio of means over different processes.
    """

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def half_width(self) -> float:
        """The half-width of the interval; infinite with fewer than two pairs."""
        return Interval(*self[:3]).half_width if self.pairs > 1 else math.inf


def speedup(base: TimingByProcess, own: TimingByProcess, confidence: float = CONFIDENCE) -> Speedup:
    """The speedup over a cell with the times `base` of one with the times `own`."""
    pairs = [(base[process], mine) for process, mine in own.items() if process in base]
    if not pairs:
        return Speedup(*quotient(time_of(base), time_of(own)), 0)
    found = interval((theirs.fastest / mine.fastest for theirs, mine in pairs), confidence)
    if len(pairs) == 1:
        ((theirs, mine),) = pairs
        found = Interval(found.mean, theirs.fastest / mine.median, theirs.median / mine.fastest)
    return Speedup(*found, len(pairs))


def baseline(cell: Cell, among: Iterable[Cell], over: str) -> Cell:
    """The cell that `cell` is compared with: of the implementation `over`, or the fallback baseline.

    That is the implementation `over` in another dtype, on other threads or ranks, else the first
    implementation, of the cells `among` which there are those of the same workload, phase and batch size;
    without any, `cell`.
    """
    same = [
        c
        for c in among
        if (c.workload, c.phase, c.batch_size) == (cell.workload, cell.phase, cell.batch_size)
    ]
    return min(
        same,
        key=lambda c: (
            *(c.implementation != over, c.dtype != cell.dtype),
            *(c.threads != cell.threads, c.ranks != cell.ranks, c.threads, c.ranks),
        ),
        default=cell,
    )


def speedups(measurements: Sequence[Measurement], over: str) -> dict[Cell, Speedup]:
    """The speedup of every measured cell that was paired with its baseline."""
    timed = times(measurements)
    found = {}
    for cell, own in timed.items():
        base = baseline(cell, timed, over)
        if base != cell and own.keys() & timed[base].keys():
            found[cell] = speedup(timed[base], own)
    return found


class Total(NamedTuple):
    """Seconds of all the steps of a headline, as run `in_full` or projected, with the interval."""

    mean: float
    low: float
    high: float
    in_full: bool


def total(measurements: Sequence[Measurement], steps: int) -> Total:
    """The seconds of `steps` steps: as run in full, or projected from the mean of each process."""
    means = [statistics.fmean(m.seconds) * steps for m in measurements]
    in_full = all(len(m.seconds) * m.iterations >= steps for m in measurements)
    if in_full and len(means) == 1:
        return Total(means[0], means[0], means[0], in_full=True)
    return Total(*interval(means), in_full)
