"""The validation study of the race: whether its intervals hold what they claim, on this machine.

A/A: two copies of one implementation, whose ratio is 1. A/B: a copy with a known extra cost, whose ratio is
that. Prediction: cells predicted from smaller batches, as the race predicts what it skips. Agreement: the
medians of pyperf, which measures the same calls in processes of its own. Display: races with a live display
in a terminal, each beside one without any, whose times are the same.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import rich.console
from scipy import stats

from benchmarks import options
from benchmarks.measure import clock
from benchmarks.measure.process import ROOT
from benchmarks.race.conductor import Race, RacePlan
from benchmarks.race.progress import Progress, RaceProgress
from benchmarks.race.questions import Speedups
from benchmarks.record import race_file
from benchmarks.record.cells import Cell
from benchmarks.record.statistics import CONFIDENCE, Interval, interval, speedups, time_of, times

MODULE = "tests.studies.timing_implementations"
PARTS = ("aa", "ab", "prediction", "pyperf", "display")
TARGET, BUDGET, TIMEOUT = 0.05, 215.0, 120.0  # those of a race that is asked for nothing else
PREDICTED, AGREED = 0.25, 0.05
EXTRAS = {"Spun3": 1.03, "Spun5": 1.05, "Spun10": 1.10, "Spun20": 1.20}


@dataclasses.dataclass(frozen=True)
class Share:
    """A share in words, with its binomial 95 % interval (Clopper and Pearson)."""

    held: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return "none of none"
        low, high = stats.binomtest(self.held, self.of).proportion_ci(CONFIDENCE)
        return f"{self.held} of {self.of} = {self.held / self.of:.1%} (95 %: {low:.1%} to {high:.1%})"


TimeRatio = tuple[str, int, Interval]
"""An implementation, a batch size, and the implementation's time in units of another's."""


Say = Callable[[str], None]


def silent(_: RaceProgress) -> None:
    """No display."""


def race(
    names: Sequence[str],
    batch_sizes: Sequence[int],
    shown: Callable[[RaceProgress], None] = silent,
    target: float = TARGET,
) -> Race:
    """A race of these implementations, of all where there are none, that has ended."""
    settings, known = options.settings(implementations=names, batch_sizes=batch_sizes)
    described = {name: workload.described() for name, workload in known.items()}
    question = Speedups(settings.implementations[0], target)
    plan = RacePlan(settings, described, ("gradients",), question, BUDGET, TIMEOUT, "a study")
    with tempfile.TemporaryDirectory() as folder:
        running = Race(plan, Path(folder) / "record.json", shown)
        running.run()
    return running


def race_all(number: int, names: Sequence[str], batch_sizes: Sequence[int], say: Say) -> Iterator[TimeRatio]:
    """Every cell of several races of the study's implementations, in units of the first of them."""
    targets = [f"{MODULE}:{name}" for name in names]
    for k in range(number):
        running = race(targets, batch_sizes)
        say(f"race {k + 1} of {number}: {len(running.processes)} processes in {running.seconds:.0f} s")
        for cell, each in speedups(running.measurements, over=targets[0]).items():
            taken = Interval(1 / each.mean, 1 / each.high, 1 / each.low)
            yield cell.implementation.rpartition(":")[2], cell.batch_size, taken


def displayed(number: int, batch_sizes: Sequence[int], say: Say) -> Interval:
    """The times of races with a live display over those of races without any, in as many pairs.

    Each pair gives one value, the geometric mean over its cells; the race with the display comes first in
    every second one.
    """
    ratios = []
    for k in range(number):
        taken = {}
        for live in (True, False) if k % 2 else (False, True):
            with open(os.devnull, "w") as terminal:  # noqa: PTH123 - a device, and no path
                console = rich.console.Console(file=terminal, force_terminal=True, width=120)
                with Progress(quiet=not live, console=console) as shown:
                    running = race(["numpy", "numba"], batch_sizes, shown, target=1e9)
            taken[live] = {cell: time_of(each).mean for cell, each in times(running.measurements).items()}
        shares = [taken[True][cell] / without for cell, without in taken[False].items()]
        ratios.append(statistics.geometric_mean(shares))
        say(f"pair {k + 1} of {number}: {ratios[-1]:.4f}")
    return interval(ratios)


def judge(found: Sequence[TimeRatio], truth: Callable[[str], float]) -> tuple[Share, float]:
    """The number of intervals that contain the true value, and the median distance of their means from it."""
    held = sum(each.low <= truth(name) <= each.high for name, _, each in found)
    off = [abs(each.mean / truth(name) - 1) for name, _, each in found]
    return Share(held, len(found)), statistics.median(off)


def predictions(record: race_file.Record) -> dict[Cell, float]:
    """Predicted over measured time, of every cell with two smaller batch sizes to predict it from."""
    times: dict[Cell, list[float]] = {}
    for m in record.measurements:
        if m.status == "measured":
            times.setdefault(m.cell, []).append(m.fastest)
    typical = {cell: statistics.median(values) for cell, values in times.items()}
    found = {}
    for cell, seconds in typical.items():
        smaller = {
            other.batch_size: taken
            for other, taken in typical.items()
            if other.batch_size < cell.batch_size
            and dataclasses.replace(other, batch_size=cell.batch_size) == cell
        }
        predicted = clock.predict(smaller, cell.batch_size)
        if len(smaller) >= 2 and predicted is not None:
            found[cell] = predicted / seconds
    return found


PYPERF = """
import pyperf

def to_workers(command, given):
    command += [given.name, given.batch_size]

runner = pyperf.Runner(add_cmdline_args=to_workers)
runner.argparser.add_argument("name")
runner.argparser.add_argument("batch_size")
given = runner.parse_args()

import time

from benchmarks.measure.noise import Moments
from benchmarks.measure.threads import limit_threads
from benchmarks.record.statistics import SLOWER

limit_threads(1)  # before NumPy is loaded, as in a race

import impls
from benchmarks import workloads

problem = workloads.problem(workloads.named("digits"), int(given.batch_size))
call = impls.load(given.name)(problem).gradients
moments = Moments(SLOWER)
moments.listen()

def undisturbed(loops):
    moments.wait()
    call()
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return time.perf_counter() - start

runner.bench_time_func(f"{given.name}/{given.batch_size}", undisturbed)
"""


def pyperf_median(name: str, batch_size: int) -> float:
    """The median of `gradients()` in seconds, as pyperf measures it.

    In processes of its own, with its own calibration, warm-up and number of values. Each value begins in an
    undisturbed moment, since disturbances are not what is to be compared, and is short, to end in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        script, out = Path(folder) / "bench.py", Path(folder) / "out.json"
        script.write_text(PYPERF)
        command = [
            sys.executable,
            str(script),
            name,
            str(batch_size),
            "--quiet",
            "--inherit-environ=PYTHONPATH",
            "--min-time=0.01",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([*command, "-o", str(out)], check=True, env=environment)
        runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
    return statistics.median(float(value) for run in runs for value in run.get("values", ()))


def agreement(record: race_file.Record, say: Callable[[str], None]) -> dict[Cell, float]:
    """The race's median over pyperf's, of every cell of the record that was measured."""
    rounds: dict[Cell, list[float]] = {}
    for m in record.measurements:
        if m.status == "measured":
            rounds.setdefault(m.cell, []).append(statistics.median(m.seconds))
    found = {}
    for cell, medians in rounds.items():
        found[cell] = statistics.median(medians) / pyperf_median(cell.implementation, cell.batch_size)
        say(f"{cell.implementation} at m = {cell.batch_size}: {found[cell]:.3f}")
    return found


def within(found: Mapping[Cell, float], share: float) -> Share:
    """The number of ratios within the share of 1, on either side."""
    return Share(sum(abs(value - 1) <= share for value in found.values()), len(found))


def study(number: int, batch_sizes: Sequence[int], parts: Sequence[str], say: Say) -> str:
    """Run the parts of the study; returns its result as a Markdown table."""
    if "pyperf" in parts and importlib.util.find_spec("pyperf") is None:
        raise ValueError("--part pyperf: expected pyperf, got none; pip install pyperf, or name other parts")
    rows = []
    if "aa" in parts:
        held, off = judge(list(race_all(number, ["CopyA", "CopyB"], batch_sizes, say)), lambda _: 1.0)
        rows += [("A/A: the interval holds 1.0", str(held)), ("A/A: median distance from 1.0", f"{off:.2%}")]
    if "ab" in parts:
        found = list(race_all(number, ["Spun", *EXTRAS], batch_sizes, say))
        for name, truth in EXTRAS.items():
            held, off = judge([each for each in found if each[0] == name], EXTRAS.__getitem__)
            rows.append((f"A/B, {truth - 1:.0%} more: recovered", f"{held}, {off:.2%} off"))
    if "prediction" in parts:
        near = within(predictions(race((), batch_sizes).record()), PREDICTED)
        rows.append((f"predicted within {PREDICTED:.0%}", str(near)))
    if "pyperf" in parts:
        near = within(agreement(race(["numpy", "numba"], batch_sizes).record(), say), AGREED)
        rows.append((f"medians within {AGREED:.0%} of pyperf's", str(near)))
    if "display" in parts:
        ratio = displayed(number, batch_sizes, say)
        words = f"{ratio.mean:.4f} (95 %: {ratio.low:.4f} to {ratio.high:.4f}), {number} pairs of races"
        rows.append(("times with a live display over those without", words))
    return "\n".join(["| study | result |", "|---|---|", *(f"| {what} | {came} |" for what, came in rows)])


BATCH_SIZES = options.listed(
    "--batch-sizes", item=options.COUNT, help="Samples per batch.", show_default="1,4,16,64,256,1024"
)
PARTS_OPTION = options.listed(
    "--part", "parts", item=options.Name(lambda: PARTS), help=f"Of {', '.join(PARTS)}.", show_default="all"
)


@click.command(params=[BATCH_SIZES, PARTS_OPTION])
@click.option(
    "--races", default=30, type=options.COUNT, show_default=True, help="Races of each part that takes many."
)
def main(races: int, batch_sizes: tuple[int, ...], parts: tuple[str, ...]) -> None:
    """Validate the race itself: do its intervals hold what they claim, here? Takes an hour."""
    click.echo(study(races, batch_sizes, parts or PARTS, lambda line: click.echo(line, err=True)))


if __name__ == "__main__":
    main()
